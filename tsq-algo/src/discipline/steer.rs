//! From an offset to what is done to the clock about it: by how much it is stepped, or how fast it is slewed and for how long.

use super::settings::Settings;

/// What is done about an offset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Steering {
    /// The clock is set at once.
    Step,
    /// It gains `rate` per second for so many seconds.
    Slew {
        /// Positive: it runs faster.
        rate: f64,
        seconds: f64,
    },
}

/// What is known when an offset is to be steered off, in s.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation {
    /// Positive: the clock is behind.
    pub(crate) offset: f64,
    /// Its standard deviation as it was expected before the last exchange; None the first time.
    pub(crate) expected: Option<f64>,
    /// The standard deviation of the oscillator's frequency, s/s.
    pub(crate) frequency_deviation: f64,
    /// Until the next update.
    pub(crate) until_next: f64,
    /// Updates so far.
    pub(crate) updates: u32,
}

/// An offset is slewed over so many times the time until the next update: gently, for it may be noise...
const GENTLY: f64 = 1.4;
/// ...but over no more than so many seconds.
const LONGEST: f64 = 256.0;
/// One beyond so many deviations expected beforehand is no noise, and is slewed in as much less time.
const SURPRISE: f64 = 2.0;
/// A rate that is so many deviations of the frequency does little harm: nobody knows the frequency better.
const HARMLESS: f64 = 1.0;
/// No slew is shorter, in s: a timer's precision.
const SHORTEST: f64 = 0.1;

impl Situation {
    pub(crate) fn steer(&self, settings: &Settings) -> Steering {
        let offset = self.offset.abs();
        let rule = &settings.step;
        let early = rule.updates.is_none_or(|updates| self.updates < updates);
        if early && offset > rule.above.as_secs_f64() {
            return Steering::Step;
        }
        if offset == 0.0 {
            return Steering::Slew {
                rate: 0.0,
                seconds: SHORTEST,
            };
        }
        let harmless = offset / (HARMLESS * self.frequency_deviation);
        let unhurried = (GENTLY * self.until_next).min(LONGEST).min(harmless);
        let noise = SURPRISE * self.expected.unwrap_or(0.0);
        let hurried = unhurried * (noise / offset).min(1.0);
        let fastest = f64::from(settings.max_slew_ppm.max(1)) * 1e-6;
        let seconds = hurried.max(offset / fastest).max(SHORTEST);
        Steering::Slew {
            rate: self.offset / seconds,
            seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn situation(offset: f64) -> Situation {
        Situation {
            offset,
            expected: Some(1e-4),
            frequency_deviation: 1e-9,
            until_next: 64.0,
            updates: 0,
        }
    }

    #[test]
    fn step_needs_an_offset_above_the_rule_and_one_of_the_first_updates() {
        let settings = Settings::default();
        let steps = |offset, updates| {
            let situation = Situation {
                updates,
                ..situation(offset)
            };
            situation.steer(&settings) == Steering::Step
        };
        assert!(steps(1.001, 0) && steps(-1.001, 2));
        assert!(!steps(1.0, 0) && !steps(-1.001, 3));
    }

    #[test]
    fn offset_within_what_was_expected_is_slewed_gently_and_one_beyond_in_less_time() {
        let settings = Settings::default();
        for (offset, expected) in [(1e-5, 89.6), (-2e-4, 89.6), (4e-4, 44.8), (-2e-3, 8.96)] {
            let Steering::Slew { rate, seconds } = situation(offset).steer(&settings) else {
                panic!("{offset} is stepped");
            };
            assert!((seconds - expected).abs() < 1e-9, "{offset}: {seconds} s");
            assert!((rate * seconds - offset).abs() < 1e-12);
        }
    }

    #[test]
    fn slew_is_as_fast_as_the_frequency_is_unsure() {
        let settings = Settings::default();
        let young = Situation {
            frequency_deviation: 5e-6,
            ..situation(1e-4)
        };
        let Steering::Slew { rate, seconds } = young.steer(&settings) else {
            panic!("0.1 ms is stepped");
        };
        assert!((rate - 5e-6).abs() < 1e-12 && (seconds - 20.0).abs() < 1e-9);
    }

    #[test]
    fn slew_is_never_faster_than_its_limit() {
        let settings = Settings {
            max_slew_ppm: 500,
            ..Settings::default()
        };
        let Steering::Slew { rate, seconds } = situation(-0.9).steer(&settings) else {
            panic!("0.9 s is stepped");
        };
        assert!((rate + 5e-4).abs() < 1e-12 && (seconds - 1800.0).abs() < 1e-6);
    }
}
