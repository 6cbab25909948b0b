//! A way to explain exchanges: a noise in each direction, a wander, and what is believed before the first of them.

use super::change::Change;
use super::noise::{Noise, Scatter};
use super::state::{Covariance, Seen, State, Way};
use super::window::{Residual, Trend};

/// What is known of a frequency before anything was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Prior {
    pub(crate) frequency: f64,
    pub(crate) deviation: f64,
}

impl Default for Prior {
    /// A good crystal's, around its nominal one.
    fn default() -> Self {
        Self {
            frequency: 0.0,
            deviation: 8e-6,
        }
    }
}

/// Some crystals are worse, as are kept frequencies after a change of hardware: so much, and so often as the logarithm says.
const ODD_CRYSTAL: f64 = 8e-5;
const ODD_CRYSTALS: f64 = -5.0;
/// A noise in each direction and a wander.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    pub(crate) up: Noise,
    pub(crate) down: Noise,
    pub(crate) wander_squared: f64,
}

impl Model {
    /// Goes on to the next observation and takes in both halves of it.
    pub(crate) fn step(
        &self,
        state: &mut State,
        before: f64,
        observation: &Residual,
        wait: f64,
    ) -> [Seen; 2] {
        state.advance(observation.at - before, self.wander_squared);
        let [offset, frequency] = observation.rebase;
        state.offset += offset;
        state.frequency += frequency;
        if let Some(change) = observation.change {
            open(change, state, observation.at - before, wait);
        }
        [
            state.observe(Way::Up, observation.up, &self.up),
            state.observe(Way::Down, observation.down, &self.down),
        ]
    }
}

/// The belief starts at the quickest of the first exchanges: over a whole window the frequency may have walked farther than a wait.
pub(crate) const FIRST: usize = 8;

/// What is believed before the first observation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    offset: f64,
    frequency: f64,
    frequency_deviation: f64,
    delay: f64,
    deviation: f64,
    /// One direction's wait, in s.
    pub(crate) wait: f64,
    /// How much it is believed beside others, as a natural logarithm.
    pub(crate) log_weight: f64,
}

impl Start {
    pub(crate) fn new(
        window: &[Residual],
        trend: &Trend,
        scatter: &Scatter,
        prior: &Prior,
    ) -> Self {
        let quickest = window
            .iter()
            .take(FIRST)
            .min_by(|a, b| a.round_trip().total_cmp(&b.round_trip()));
        Self {
            offset: quickest.map_or(0.0, Residual::offset),
            frequency: prior.frequency - trend.frequency,
            frequency_deviation: prior.deviation,
            delay: scatter.least / 2.0,
            deviation: 5.0 * scatter.spread.max(scatter.core),
            wait: scatter.core.max(scatter.spread.min(scatter.core * 10.0)),
            log_weight: 0.0,
        }
    }

    /// The same with a worse crystal.
    pub(crate) fn odd(self) -> Self {
        Self {
            frequency_deviation: self.frequency_deviation.max(ODD_CRYSTAL),
            log_weight: ODD_CRYSTALS,
            ..self
        }
    }

    pub(crate) fn state(&self) -> State {
        State {
            offset: self.offset,
            frequency: self.frequency,
            delay: self.delay,
            covariance: Covariance {
                offset: self.deviation * self.deviation,
                offset_frequency: 0.0,
                offset_delay: 0.0,
                frequency: self.frequency_deviation * self.frequency_deviation,
                frequency_delay: 0.0,
                delay: 4.0 * self.wait * self.wait,
            },
        }
    }
}

/// Opens the belief for what may have happened in the last `seconds`; `wait` is one direction's, in s.
fn open(change: Change, state: &mut State, seconds: f64, wait: f64) {
    let p = &mut state.covariance;
    match change {
        // At any moment of the interval alike: it has acted for half of it, and its mean square is a third.
        Change::Frequency => {
            let jump = FREQUENCY_JUMP * FREQUENCY_JUMP;
            p.frequency += jump;
            p.offset_frequency += jump * seconds / 2.0;
            p.offset += jump * seconds * seconds / 3.0;
        }
        Change::Path => p.delay += (PATH_JUMP * wait) * (PATH_JUMP * wait),
        Change::Phase => {
            p.offset += PHASE_JUMP * PHASE_JUMP;
            p.frequency += PHASE_FREQUENCY * PHASE_FREQUENCY;
        }
    }
}

/// By how much a change may move things: the standard deviation of the frequency, of the base delay in waits, of the offset in s.
const FREQUENCY_JUMP: f64 = 3e-5;
const PATH_JUMP: f64 = 10.0;
const PHASE_JUMP: f64 = 1.0;
/// A machine that slept is colder, and may be another one.
const PHASE_FREQUENCY: f64 = 5e-6;
