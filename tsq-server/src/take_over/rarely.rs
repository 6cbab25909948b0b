//! What others can make happen as often as they like is told now and then.

use std::time::{Duration, Instant};

/// Counts something, and says once a minute how often it was.
#[derive(Debug, Default)]
pub(super) struct Rarely {
    untold: u64,
    told: Option<Instant>,
}

impl Rarely {
    /// It has happened again; how often since it was told, if it is to be told now.
    pub(super) fn again(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        if self.told.is_some_and(|told| now < told + EVERY) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

const EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_time_is_told_at_once_and_the_others_once_a_minute_with_their_number() {
        let start = Instant::now();
        let mut rarely = Rarely::default();
        assert_eq!(rarely.again(start), Some(1));
        for millis in 1..=1000 {
            let now = start + Duration::from_millis(59 * millis);
            assert_eq!(rarely.again(now), None);
        }
        assert_eq!(rarely.again(start + EVERY), Some(1001));
        assert_eq!(rarely.again(start + EVERY), None);
        assert_eq!(rarely.again(start + 3 * EVERY), Some(2));
    }
}
