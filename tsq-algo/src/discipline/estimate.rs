//! What one source's exchanges say of its clock against ours.

use super::noise::Scatter;
use super::state::State;
use super::window::Trend;

/// A source's clock less ours, at one moment and from there on. Seconds and seconds per second; our clock is the one nobody steers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The moment: that of the last exchange.
    pub at: f64,
    /// How far our clock is behind the source's.
    pub offset: f64,
    /// How much faster the source's runs.
    pub frequency: f64,
    /// The base delay of one direction, if both are alike.
    pub delay: f64,
    /// A usual wait beyond it: the geometric mean of both directions'.
    pub wait: f64,
    offset_variance: f64,
    covariance: f64,
    frequency_variance: f64,
    pub(crate) wander_squared: f64,
}

/// (10 ps)^2.
const LEAST_VARIANCE: f64 = 1e-22;

impl Estimate {
    /// The mixture of all that is believed; None where the numbers were too large for it.
    pub(crate) fn mixed(trend: &Trend, believed: &[Believed], scatter: &Scatter) -> Option<Self> {
        let sum: f64 = believed.iter().map(|one| one.weight).sum();
        let mean = |of: &dyn Fn(&Believed) -> f64| -> f64 {
            believed.iter().map(|one| one.weight * of(one)).sum::<f64>() / sum
        };
        let offset = mean(&|m| m.state.offset);
        let frequency = mean(&|m| m.state.frequency);
        let mixed = Self {
            at: trend.at,
            offset: offset + trend.offset,
            frequency: frequency + trend.frequency,
            delay: mean(&|m| m.state.delay),
            wait: scatter.telling(),
            offset_variance: mean(&|m| {
                let apart = m.state.offset - offset;
                m.state.covariance.offset + apart * apart
            }),
            covariance: mean(&|m| {
                let apart = (m.state.offset - offset) * (m.state.frequency - frequency);
                m.state.covariance.offset_frequency + apart
            }),
            frequency_variance: mean(&|m| {
                let apart = m.state.frequency - frequency;
                m.state.covariance.frequency + apart * apart
            }),
            wander_squared: mean(&|m| m.wander_squared),
        };
        mixed.is_finite().then_some(mixed)
    }

    fn is_finite(&self) -> bool {
        let numbers = [
            self.offset,
            self.frequency,
            self.delay,
            self.offset_variance,
            self.covariance,
            self.frequency_variance,
            self.wander_squared,
        ];
        numbers.iter().all(|number| number.is_finite())
    }

    /// How far our clock is behind at this moment.
    pub fn offset_at(&self, at: f64) -> f64 {
        self.offset + self.frequency * (at - self.at)
    }

    /// The variance of [`offset_at`](Self::offset_at), in s^2: what the noise left open, and how far the frequency may have walked since.
    pub fn variance_at(&self, at: f64) -> f64 {
        let age = (at - self.at).max(0.0);
        let walked = self.wander_squared * age * age * age / 3.0;
        let grown = age * (2.0 * self.covariance + age * self.frequency_variance) + walked;
        // Rounding must not make it negative, and nobody knows a clock better than its stamps.
        (self.offset_variance + grown).max(LEAST_VARIANCE)
    }

    /// The covariance of offset and frequency at this moment.
    pub(crate) fn covariance_at(&self, at: f64) -> f64 {
        let age = (at - self.at).max(0.0);
        self.covariance + age * self.frequency_variance + self.wander_squared * age * age / 2.0
    }

    /// The variance of the frequency at this moment.
    pub fn frequency_variance_at(&self, at: f64) -> f64 {
        self.frequency_variance + self.wander_squared * (at - self.at).max(0.0)
    }
}

/// A state, and how far it is believed beside others.
pub(crate) struct Believed {
    pub(crate) weight: f64,
    pub(crate) state: State,
    pub(crate) wander_squared: f64,
}
