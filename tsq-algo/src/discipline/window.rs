//! The last exchanges with one source, and the trend they have.

use super::change::Change;

/// One exchange, in seconds. Our side was stamped with a clock that nobody steers, the server's with its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// When, halfway between T1 and T4.
    pub at: f64,
    /// T2 - T1: the way up, and how far our clock is behind.
    pub up: f64,
    /// T4 - T3: the way down, less how far our clock is behind.
    pub down: f64,
    /// What happened to the path or the clocks since the exchange before.
    pub change: Option<Change>,
}

impl Observation {
    pub(crate) fn round_trip(&self) -> f64 {
        self.up + self.down
    }

    pub(crate) fn offset(&self) -> f64 {
        (self.up - self.down) / 2.0
    }

    /// Whether two clocks and a path can have made it.
    pub(crate) fn is_possible(&self) -> bool {
        let is_sane = |seconds: f64| seconds.abs() < FARTHEST;
        is_sane(self.at) && is_sane(self.up) && is_sane(self.down) && self.round_trip() >= 0.0
    }
}

/// No time is farther away, in s: some 300 years.
const FARTHEST: f64 = 1e10;

/// A straight line through the offsets: what is taken out before anything is learnt from the delays.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trend {
    /// Where it passes through `offset`.
    pub(crate) at: f64,
    pub(crate) offset: f64,
    pub(crate) frequency: f64,
}

/// A crystal runs so far from its nominal frequency; what a few exchanges a second apart seem to say beyond it is noise.
const CRYSTAL: f64 = 1e-4;

impl Trend {
    /// The least squares of the offsets, each weighted by what its round trip has beyond the least; at the last of them.
    pub(crate) fn of(window: &[Observation]) -> Self {
        let trips = || window.iter().map(Observation::round_trip);
        let least = trips().fold(f64::INFINITY, f64::min);
        let mean = trips().sum::<f64>() / window.len().max(1) as f64;
        let at = window.last().map_or(0.0, |last| last.at);
        let usual = (mean - least) / 2.0 + 1e-9;
        let mut sums = [0.0; 5];
        for observation in window {
            let deviation = 0.5 * (usual + (observation.round_trip() - least));
            let weight = 1.0 / (deviation * deviation);
            let time = observation.at - at;
            let offset = observation.offset();
            let terms = [1.0, time, time * time, offset, time * offset];
            for (sum, term) in sums.iter_mut().zip(terms) {
                *sum += weight * term;
            }
        }
        let [one, time, square, offset, product] = sums;
        let square = square + 1.0 / (CRYSTAL * CRYSTAL);
        let determinant = one * square - time * time;
        if determinant <= 0.0 {
            return Self {
                at,
                offset: 0.0,
                frequency: 0.0,
            };
        }
        Self {
            at,
            offset: (offset * square - product * time) / determinant,
            frequency: (product * one - offset * time) / determinant,
        }
    }

    fn value(&self, at: f64) -> f64 {
        self.offset + self.frequency * (at - self.at)
    }
}

/// An observation without the trend of its stretch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Residual {
    pub(crate) at: f64,
    pub(crate) up: f64,
    pub(crate) down: f64,
    pub(crate) change: Option<Change>,
    /// What a belief about the offset and the frequency gains on the way from the trend of the observation before to this one's.
    pub(crate) rebase: [f64; 2],
}

impl Residual {
    pub(crate) fn round_trip(&self) -> f64 {
        self.up + self.down
    }

    pub(crate) fn offset(&self) -> f64 {
        (self.up - self.down) / 2.0
    }
}

/// The observations without their trend, and the trends of the first and the last stretch. A stretch ends where a clock changed.
pub(crate) fn detrend(window: &[Observation]) -> (Vec<Residual>, Trend, Trend) {
    let ends_stretch = |_: &Observation, next: &Observation| {
        matches!(next.change, Some(Change::Frequency | Change::Phase))
    };
    let mut residuals = Vec::with_capacity(window.len());
    let mut before: Option<Trend> = None;
    let mut first = None;
    for stretch in window.chunk_by(|a, b| !ends_stretch(a, b)) {
        let trend = Trend::of(stretch);
        let rebase = before.map_or([0.0; 2], |before| {
            let at = stretch[0].at;
            [
                before.value(at) - trend.value(at),
                before.frequency - trend.frequency,
            ]
        });
        residuals.extend(stretch.iter().enumerate().map(|(index, observation)| {
            let line = trend.value(observation.at);
            Residual {
                at: observation.at,
                up: observation.up - line,
                down: observation.down + line,
                change: observation.change,
                rebase: if index == 0 { rebase } else { [0.0; 2] },
            }
        }));
        first.get_or_insert(trend);
        before = Some(trend);
    }
    (
        residuals,
        first.unwrap_or_default(),
        before.unwrap_or_default(),
    )
}
