//! Where a value stands on an axis, and which values are written at it.

/// An axis from its least to its greatest value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    Linear { from: f64, to: f64, step: f64 },
    Logarithmic { from: f64, to: f64 },
}

/// Past this ratio of the greatest to the least the small ones could not be told apart on a linear axis.
const WIDEST_LINEAR: f64 = 20.0;

impl Scale {
    /// An axis for these values: from zero where that shows them all, else logarithmic; zeros then stand at its end.
    pub(super) fn of(values: &[f64]) -> Self {
        let most = values.iter().copied().fold(0.0, f64::max);
        let least = values.iter().copied().fold(0.0, f64::min);
        let least_positive = values
            .iter()
            .copied()
            .filter(|value| *value > 0.0)
            .fold(f64::INFINITY, f64::min);
        if least < 0.0 || most == 0.0 || most / least_positive <= WIDEST_LINEAR {
            Self::linear(least, most)
        } else {
            Self::Logarithmic {
                from: round_down(least_positive),
                to: round_up(most),
            }
        }
    }

    fn linear(least: f64, most: f64) -> Self {
        let span = if most > least { most - least } else { 1.0 };
        let step = round_up(span / 5.0);
        Self::Linear {
            from: (least / step).floor() * step,
            to: ((most / step).ceil() * step).max(step),
            step,
        }
    }

    /// 0 at the left end and 1 at the right one; what lies outside stands at the end.
    pub(super) fn at(self, value: f64) -> f64 {
        let part = match self {
            Self::Linear { from, to, .. } => (value - from) / (to - from),
            Self::Logarithmic { from, to } => (value / from).ln() / (to / from).ln(),
        };
        // The logarithm of zero and of less is no place.
        if part.is_nan() {
            0.0
        } else {
            part.clamp(0.0, 1.0)
        }
    }

    /// The values to write, at most about `most` of them.
    pub(super) fn ticks(self, most: usize) -> Vec<f64> {
        match self {
            Self::Linear { from, to, step } => {
                let steps = (0_u16..).map(|n| from + f64::from(n) * step);
                steps.take_while(|tick| *tick <= to + step / 2.0).collect()
            }
            Self::Logarithmic { from, to } => {
                let all: Vec<f64> = series(from, to).collect();
                let decades: Vec<f64> = all.iter().copied().filter(|t| is_decade(*t)).collect();
                let chosen = if all.len() <= most { all } else { decades };
                let every = chosen.len().div_ceil(most.max(1)).max(1);
                chosen.into_iter().step_by(every).collect()
            }
        }
    }

    pub(super) fn is_linear(self) -> bool {
        matches!(self, Self::Linear { .. })
    }
}

/// 1, 2, 5, 10, 20, ... from one to the other.
fn series(from: f64, to: f64) -> impl Iterator<Item = f64> {
    let first = from.log10().floor();
    (0_u8..30)
        .flat_map(move |decade| {
            let decade = 10_f64.powf(first + f64::from(decade));
            [1.0, 2.0, 5.0].map(|digit| digit * decade)
        })
        .filter(move |tick| *tick >= from * 0.999 && *tick <= to * 1.001)
}

fn is_decade(tick: f64) -> bool {
    (tick.log10() - tick.log10().round()).abs() < 1e-6
}

/// The greatest of 1, 2, 5, 10, ... that is not more.
fn round_down(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    [5.0, 2.0, 1.0]
        .map(|digit| digit * decade)
        .into_iter()
        .find(|round| *round <= value * 1.000_001)
        .unwrap_or(decade)
}

/// The least of 1, 2, 5, 10, ... that is not less.
fn round_up(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|digit| digit * decade)
        .into_iter()
        .find(|round| *round >= value * 0.999_999)
        .unwrap_or(decade * 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_times_is_the_limit_of_a_linear_axis() {
        assert!(Scale::of(&[1.0, 20.0]).is_linear());
        assert!(!Scale::of(&[1.0, 20.1]).is_linear());
    }

    #[test]
    fn linear_axis_begins_at_zero_and_holds_the_greatest() {
        let scale = Scale::of(&[2.0, 9.5]);
        assert_eq!(scale.ticks(6), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(scale.at(0.0), 0.0);
        assert_eq!(scale.at(5.0), 0.5);
    }

    #[test]
    fn logarithmic_axis_has_equal_steps_for_equal_factors() {
        let scale = Scale::of(&[1.0, 100.0]);
        assert_eq!(scale.at(1.0), 0.0);
        assert!((scale.at(10.0) - 0.5).abs() < 1e-9);
        assert_eq!(scale.ticks(4), [1.0, 10.0, 100.0]);
        assert_eq!(scale.ticks(9).len(), 7);
    }

    #[test]
    fn zero_stands_at_the_end_of_a_logarithmic_axis() {
        let scale = Scale::of(&[0.0, 1.0, 100.0]);
        assert!(!scale.is_linear());
        assert_eq!(scale.at(0.0), 0.0);
        assert_eq!(scale.at(-1.0), 0.0);
    }

    #[test]
    fn values_below_zero_and_zeros_alone_have_an_axis() {
        assert!(Scale::of(&[-5.0, 100.0]).is_linear());
        assert_eq!(Scale::of(&[0.0]).at(0.0), 0.0);
        assert!(Scale::of(&[]).ticks(5).iter().all(|tick| tick.is_finite()));
    }
}
