//! What a keeper is told to do.

use std::time::Duration;

use crate::Rules;

/// How a clock is to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whose word counts.
    pub rules: Rules,
    /// When the clock may be stepped.
    pub step: StepRule,
    /// The fastest an error may be slewed off, in parts per million, on top of the frequency correction.
    pub max_slew_ppm: u32,
    /// The largest correction of the oscillator's frequency, in parts per million.
    pub max_frequency_ppm: u32,
    /// Sources are asked no more often than the deviation expected at the next poll needs to stay below this.
    pub target_error: Duration,
    /// How fast a clock may drift from where it was measured without anyone noticing, in parts per billion: what bounds grow by.
    pub max_drift_ppb: u32,
}

impl Default for Settings {
    /// Steps above 1 s in the first three updates; slews by 1/12 and corrects by 500 ppm at most; 80 us; 25 ppm.
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            step: StepRule::default(),
            max_slew_ppm: 83_333,
            max_frequency_ppm: 500,
            target_error: Duration::from_micros(80),
            max_drift_ppb: 25_000,
        }
    }
}

/// When the clock may be stepped; what must not be stepped is slewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepRule {
    /// Only for an error above this.
    pub above: Duration,
    /// Only in so many of the first updates; None: always.
    pub updates: Option<u32>,
}

impl Default for StepRule {
    fn default() -> Self {
        Self {
            above: Duration::from_secs(1),
            updates: Some(3),
        }
    }
}

/// How often a source is asked: powers of two, in s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollRange {
    /// The shortest interval: 2^min s.
    pub min: u8,
    /// The longest.
    pub max: u8,
}

impl Default for PollRange {
    /// 64 s to 1024 s.
    fn default() -> Self {
        Self { min: 6, max: 10 }
    }
}
