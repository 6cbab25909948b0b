//! How well a clock was kept, in numbers: smaller is better in all.

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// `rms_s`
    Rms,
    /// `p99_s`
    P99,
    /// `max_s`
    Max,
    /// `freq_rms_ppm`
    FrequencyRms,
    /// `below_X_s`
    Below(Level),
    /// `back_X_s`
    Back(Level),
    /// `peak_s`
    Peak,
    /// `false_selected`
    FalseSelected,
    /// `requests_per_hour`
    RequestsPerHour,
    /// `steps`
    Steps,
    /// `bound_broken`
    BoundBroken,
}

/// A size of an error that a clock comes below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// 0.1 s
    Ms100,
    /// 0.01 s
    Ms10,
    /// 1 ms
    Ms1,
    /// 100 us
    Us100,
    /// 10 us
    Us10,
}

impl Level {
    /// All, from the coarsest.
    pub const ALL: [Self; 5] = [Self::Ms100, Self::Ms10, Self::Ms1, Self::Us100, Self::Us10];

    /// In s.
    pub fn seconds(self) -> f64 {
        match self {
            Self::Ms100 => 0.1,
            Self::Ms10 => 0.01,
            Self::Ms1 => 1e-3,
            Self::Us100 => 1e-4,
            Self::Us10 => 1e-5,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ms100 => "100ms",
            Self::Ms10 => "10ms",
            Self::Ms1 => "1ms",
            Self::Us100 => "100us",
            Self::Us10 => "10us",
        }
    }
}

impl Metric {
    /// All, in the order they are printed in.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::Rms, Self::P99, Self::Max, Self::FrequencyRms];
        all.extend(Level::ALL.map(Self::Below));
        all.extend(Level::ALL.map(Self::Back));
        all.extend([
            Self::Peak,
            Self::FalseSelected,
            Self::RequestsPerHour,
            Self::Steps,
            Self::BoundBroken,
        ]);
        all
    }

    /// As in files and in JSON.
    pub fn name(self) -> String {
        match self {
            Self::Rms => "rms_s".to_owned(),
            Self::P99 => "p99_s".to_owned(),
            Self::Max => "max_s".to_owned(),
            Self::FrequencyRms => "freq_rms_ppm".to_owned(),
            Self::Below(level) => format!("below_{}_s", level.name()),
            Self::Back(level) => format!("back_{}_s", level.name()),
            Self::Peak => "peak_s".to_owned(),
            Self::FalseSelected => "false_selected".to_owned(),
            Self::RequestsPerHour => "requests_per_hour".to_owned(),
            Self::Steps => "steps".to_owned(),
            Self::BoundBroken => "bound_broken".to_owned(),
        }
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|metric| metric.name() == name)
    }

    /// Whether its values are whole numbers.
    pub fn is_count(self) -> bool {
        matches!(
            self,
            Self::Below(_) | Self::Back(_) | Self::FalseSelected | Self::Steps | Self::BoundBroken
        )
    }
}

/// A metric's value; None: it never came about, which is greater than any number.
pub type Value = Option<f64>;

/// One run's values, in the order of [`Metric::all`]; what does not apply is left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values(pub Vec<(Metric, Value)>);

impl Values {
    /// That metric's; None where it does not apply.
    pub fn get(&self, metric: Metric) -> Option<Value> {
        self.0
            .iter()
            .find(|(of, _)| *of == metric)
            .map(|(_, value)| *value)
    }

    /// Each metric's median over these runs; of an even number the mean of the middle two.
    pub fn median(runs: &[Self]) -> Self {
        Self::over(runs, |values| {
            let middle = values.len() / 2;
            match values.len() % 2 {
                1 => values[middle],
                _ => Some((values[middle - 1]? + values[middle]?) / 2.0),
            }
        })
    }

    /// Each metric's greatest value over these runs.
    pub fn worst(runs: &[Self]) -> Self {
        Self::over(runs, |values| values[values.len() - 1])
    }

    fn over(runs: &[Self], of: impl Fn(&[Value]) -> Value) -> Self {
        let all = Metric::all().into_iter().filter_map(|metric| {
            let mut values: Vec<Value> = runs.iter().filter_map(|run| run.get(metric)).collect();
            values.sort_by(|a, b| {
                let number = |value: &Value| value.unwrap_or(f64::INFINITY);
                number(a).total_cmp(&number(b))
            });
            (!values.is_empty()).then(|| (metric, of(&values)))
        });
        Self(all.collect())
    }
}

/// The client's clock at one whole second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When, s.
    pub at: u64,
    /// Its error, s; positive: ahead.
    pub error: f64,
    /// d(clock)/dt - 1.
    pub frequency: f64,
    /// The error that its daemon thinks possible, s, if it claims one.
    pub bound: Option<f64>,
}

/// What a run is measured over.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// s.
    pub measure_from: u64,
    /// s.
    pub duration: u64,
    /// s.
    pub mark: Option<u64>,
}

/// A clock must stay below a level for so many samples.
const HOLD: usize = 600;

/// The metrics of the clock itself.
pub fn of_clock(samples: &[Sample], span: &Span) -> Vec<(Metric, Value)> {
    let measured = || {
        samples
            .iter()
            .filter(|sample| (span.measure_from..span.duration).contains(&sample.at))
    };
    let mut errors: Vec<f64> = measured().map(|sample| sample.error.abs()).collect();
    errors.sort_unstable_by(f64::total_cmp);
    let mut values = vec![
        (Metric::Rms, root_mean_square(errors.iter().copied())),
        (Metric::P99, rank(&errors, 0.99)),
        (Metric::Max, errors.last().copied()),
        (
            Metric::FrequencyRms,
            root_mean_square(measured().map(|sample| sample.frequency * 1e6)),
        ),
    ];
    values.extend(Level::ALL.map(|level| (Metric::Below(level), first_below(samples, 0, level))));
    if let Some(mark) = span.mark {
        let back = |level| first_below(samples, mark, level).map(|at| at - mark as f64);
        values.extend(Level::ALL.map(|level| (Metric::Back(level), back(level))));
        let after = samples
            .iter()
            .filter(|sample| (mark..span.duration).contains(&sample.at));
        let peak = after
            .map(|sample| sample.error.abs())
            .max_by(f64::total_cmp);
        values.push((Metric::Peak, peak));
    }
    values
}

/// In how many samples the error was beyond the bound claimed; None where none was claimed.
pub fn bound_broken(samples: &[Sample]) -> Option<f64> {
    let claimed = || {
        samples
            .iter()
            .filter_map(|sample| Some((sample.error.abs(), sample.bound?)))
    };
    claimed().next()?;
    Some(claimed().filter(|(error, bound)| error > bound).count() as f64)
}

fn root_mean_square(values: impl Iterator<Item = f64>) -> Value {
    let (count, sum) = values.fold((0.0, 0.0), |(n, sum), value| (n + 1.0, sum + value * value));
    (count > 0.0).then(|| f64::sqrt(sum / count))
}

/// The value of rank ceil(part n) of n sorted ones.
fn rank(sorted: &[f64], part: f64) -> Value {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.checked_sub(1)?).copied()
}

/// The first time from `from` on at which the error stays below the level for [`HOLD`] samples running.
fn first_below(samples: &[Sample], from: u64, level: Level) -> Value {
    let mut run = 0;
    for (index, sample) in samples.iter().enumerate() {
        if sample.at < from || sample.error.abs() >= level.seconds() {
            run = 0;
            continue;
        }
        run += 1;
        if run == HOLD {
            return Some(samples[index + 1 - HOLD].at as f64);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span {
        measure_from: 100,
        duration: 2000,
        mark: Some(1000),
    };

    fn samples(error: impl Fn(u64) -> f64) -> Vec<Sample> {
        let sample = |at| Sample {
            at,
            error: error(at),
            frequency: -2e-6,
            bound: None,
        };
        (0..2000).map(sample).collect()
    }

    fn value(samples: &[Sample], metric: Metric) -> Value {
        let values = of_clock(samples, &SPAN);
        values
            .iter()
            .find(|(of, _)| *of == metric)
            .and_then(|(_, value)| *value)
    }

    #[test]
    fn only_the_measured_stretch_counts() {
        let clock = samples(|at| if at < 100 { 9.0 } else { -2e-3 });
        for metric in [Metric::Rms, Metric::P99, Metric::Max, Metric::Peak] {
            let value = value(&clock, metric).expect("a value");
            assert!((value - 2e-3).abs() < 1e-15, "{metric:?}: {value}");
        }
        let frequency = value(&clock, Metric::FrequencyRms).expect("a value");
        assert!((frequency - 2.0).abs() < 1e-12);
    }

    #[test]
    fn p99_is_the_value_of_its_rank() {
        // 1900 values: 0.99 of them are 1881, so 19 are greater.
        let clock = samples(|at| at as f64);
        assert_eq!(value(&clock, Metric::P99), Some(100.0 + 1880.0));
    }

    #[test]
    fn below_needs_600_samples_running() {
        let dip = |length: u64| {
            samples(move |at| {
                if (200..200 + length).contains(&at) {
                    1e-4
                } else {
                    1e-2
                }
            })
        };
        let below = Metric::Below(Level::Ms1);
        assert_eq!(value(&dip(600), below), Some(200.0));
        assert_eq!(value(&dip(599), below), None);
        // On the level is not below it.
        assert_eq!(value(&samples(|_| 1e-3), below), None);
    }

    #[test]
    fn back_counts_from_the_mark() {
        let clock = samples(|at| {
            if (1000..1050).contains(&at) {
                5e-3
            } else {
                1e-5
            }
        });
        assert_eq!(value(&clock, Metric::Back(Level::Ms1)), Some(50.0));
        assert_eq!(value(&clock, Metric::Back(Level::Ms10)), Some(0.0));
    }

    #[test]
    fn never_is_greater_than_any_number() {
        let run = |value| Values(vec![(Metric::Steps, value)]);
        let runs = [run(Some(1.0)), run(None), run(Some(3.0))];
        assert_eq!(Values::median(&runs).get(Metric::Steps), Some(Some(3.0)));
        assert_eq!(Values::worst(&runs).get(Metric::Steps), Some(None));
        assert_eq!(Values::median(&runs[..2]).get(Metric::Steps), Some(None));
        assert_eq!(
            Values::median(&[run(Some(1.0)), run(Some(2.0))]).get(Metric::Steps),
            Some(Some(1.5))
        );
    }

    #[test]
    fn every_metric_is_found_by_its_name() {
        for metric in Metric::all() {
            assert_eq!(Metric::named(&metric.name()), Some(metric));
        }
    }
}
