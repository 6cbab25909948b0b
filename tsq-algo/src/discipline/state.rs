//! What is believed of a source's clock at one moment, and what one half of an exchange adds to it.

use super::noise::Noise;
use super::normal::{CutNormal, PEAK, mills_ratio};

/// A Gaussian belief: offset in s, frequency (s/s) and base delay in s.
///
/// An exchange makes two observations of it: up, T2 - T1 = delay + offset + wait, and down, T4 - T3 = delay - offset + wait. Waits are never
/// negative, so an observation cuts the belief off on one side rather than pulling it to a middle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub(crate) offset: f64,
    pub(crate) frequency: f64,
    pub(crate) delay: f64,
    pub(crate) covariance: Covariance,
}

/// The upper half of the covariance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Covariance {
    pub(crate) offset: f64,
    pub(crate) offset_frequency: f64,
    pub(crate) offset_delay: f64,
    pub(crate) frequency: f64,
    pub(crate) frequency_delay: f64,
    pub(crate) delay: f64,
}

/// Which half of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Up,
    Down,
}

/// How an observation was for the belief before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// The natural logarithm of how likely it was.
    pub(crate) likelihood: f64,
    /// Later than expected, which a wait explains; earlier is harder to explain.
    pub(crate) late: bool,
}

/// What an observation says of the sum it observed: how likely it was, and mean and variance of what is left open.
#[derive(Clone, Copy, Debug)]
struct Posterior {
    likelihood: f64,
    shift: f64,
    variance: f64,
}

/// No belief is firmer, in s^2: a femtosecond; so that nothing is ever divided by zero.
const LEAST_VARIANCE: f64 = 1e-30;

/// The likelihood of what the model holds impossible: finite, so that the log is.
const IMPOSSIBLE: f64 = 1e-280;

impl State {
    /// Goes on by `seconds`, with a frequency that walks by `wander` per sqrt(s) (its square is given).
    pub(crate) fn advance(&mut self, seconds: f64, wander_squared: f64) {
        self.offset += seconds * self.frequency;
        let p = &mut self.covariance;
        let walk = wander_squared * seconds;
        p.offset += seconds * (2.0 * p.offset_frequency + seconds * p.frequency)
            + walk * seconds * seconds / 3.0;
        p.offset_frequency += seconds * p.frequency + walk * seconds / 2.0;
        p.offset_delay += seconds * p.frequency_delay;
        p.frequency += walk;
    }

    /// Takes in what one half of an exchange took, in s.
    pub(crate) fn observe(&mut self, way: Way, observed: f64, noise: &Noise) -> Seen {
        let p = &self.covariance;
        let sign = match way {
            Way::Up => 1.0,
            Way::Down => -1.0,
        };
        let gain = [
            sign * p.offset + p.offset_delay,
            sign * p.offset_frequency + p.frequency_delay,
            sign * p.offset_delay + p.delay,
        ];
        let variance = sign * gain[0] + gain[2] + noise.soft;
        let surprise = observed - sign * self.offset - self.delay;
        let posterior = noise.posterior(surprise, variance);
        self.update(gain, &posterior, variance);
        Seen {
            likelihood: libm::log(posterior.likelihood.max(IMPOSSIBLE)),
            late: surprise > 0.0,
        }
    }

    fn update(&mut self, gain: [f64; 3], posterior: &Posterior, variance: f64) {
        let [offset, frequency, delay] = gain;
        let shift = posterior.shift / variance;
        self.offset += offset * shift;
        self.frequency += frequency * shift;
        self.delay += delay * shift;
        let less = (variance - posterior.variance) / (variance * variance);
        let p = &mut self.covariance;
        p.offset = (p.offset - offset * offset * less).max(LEAST_VARIANCE);
        p.offset_frequency -= offset * frequency * less;
        p.offset_delay -= offset * delay * less;
        p.frequency = (p.frequency - frequency * frequency * less).max(LEAST_VARIANCE);
        p.frequency_delay -= frequency * delay * less;
        p.delay = (p.delay - delay * delay * less).max(LEAST_VARIANCE);
    }
}

impl Noise {
    /// What is left of a sum with this `variance`, the soft edge included, that was observed `surprise` above its mean.
    fn posterior(&self, surprise: f64, variance: f64) -> Posterior {
        let Some(wait) = self.wait else {
            return gaussian(surprise, variance);
        };
        let deviation = variance.sqrt();
        let core = one_sided(surprise, variance, deviation, wait);
        match self.tail {
            None => core,
            Some(tail) => {
                let late = one_sided(surprise, variance, deviation, tail.wait);
                mixed(&core, &late, tail.share)
            }
        }
    }
}

/// The update of a Kalman filter.
fn gaussian(surprise: f64, variance: f64) -> Posterior {
    let likelihood = PEAK / variance.sqrt() * libm::exp(-0.5 * surprise * surprise / variance);
    Posterior {
        likelihood,
        shift: surprise,
        variance: 0.0,
    }
}

/// The observation had waited, exponentially with mean `wait`: the wait tilts the belief, and the edge cuts it off.
fn one_sided(surprise: f64, variance: f64, deviation: f64, wait: f64) -> Posterior {
    let edge = deviation / wait - surprise / deviation;
    if edge > 0.0 {
        let ratio = mills_ratio(edge);
        let cut = CutNormal::beyond(edge, ratio);
        let density = PEAK * libm::exp(-0.5 * surprise * surprise / variance);
        return Posterior {
            likelihood: density * ratio / wait,
            shift: surprise - deviation * cut.excess,
            variance: variance * cut.variance,
        };
    }
    let density = PEAK * libm::exp(-0.5 * edge * edge);
    let above = 1.0 - density * mills_ratio(-edge);
    let hazard = density / above;
    Posterior {
        likelihood: above / wait * libm::exp((0.5 * variance / wait - surprise) / wait),
        shift: variance / wait - hazard * deviation,
        variance: variance * (1.0 + hazard * (edge - hazard)),
    }
}

/// Both together, the second with this prior `share`, by mean and variance.
fn mixed(core: &Posterior, late: &Posterior, share: f64) -> Posterior {
    let likelihoods = [core.likelihood * (1.0 - share), late.likelihood * share];
    let likelihood = (likelihoods[0] + likelihoods[1]).max(IMPOSSIBLE);
    let weight = likelihoods[0] / likelihood;
    let rest = 1.0 - weight;
    let apart = core.shift - late.shift;
    Posterior {
        likelihood,
        shift: weight * core.shift + rest * late.shift,
        variance: weight * core.variance + rest * late.variance + weight * rest * apart * apart,
    }
}
