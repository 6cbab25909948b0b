//! How much a measurement may spend: its part of a whole run, and a time as it is typed.

use std::time::Duration;

/// How much a section may spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// How long it may take, starting and stopping its programs included.
    pub time: Duration,
    /// The whole run takes three minutes: every cell is filled, few rounds.
    pub quick: bool,
}

impl Effort {
    /// `full`, or `quick` in a quick run: a number of rounds or runs.
    #[must_use]
    pub fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// From a tenth of a second, for a figure worth printing, to an hour.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if (0.1..=3600.0).contains(&number) => Ok(number),
        _ => Err("not a number from 0.1 to 3600".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_of_no_time_is_refused() {
        for wrong in ["0", "-1", "nan", "x"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!(seconds("0.1"), Ok(0.1));
    }
}
