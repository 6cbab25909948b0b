use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// When this process began, by the clock as it is now: set since, the clock would make the process years old, or
/// begin in the future.
#[derive(Debug)]
pub struct Started {
    at: Instant,
    /// Seconds since 1970, as told before.
    told: AtomicU64,
}

impl Started {
    /// Now.
    pub fn now() -> Self {
        Self {
            at: Instant::now(),
            told: AtomicU64::new(0),
        }
    }

    /// Seconds since 1970. The same each time, unless the clock was set in between.
    pub fn unix(&self) -> u64 {
        self.unix_when(SystemTime::now(), self.at.elapsed())
    }

    fn unix_when(&self, now: SystemTime, age: Duration) -> u64 {
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let start = now.saturating_sub(age).as_secs();
        let told = self.told.load(Ordering::Relaxed);
        // To be slewed is no step.
        if told.abs_diff(start) <= 1 {
            return told;
        }
        self.told.store(start, Ordering::Relaxed);
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_stays_what_it_was_until_the_clock_is_set() {
        let started = Started::now();
        let at = |now: u64, age: u64| {
            let age = Duration::from_millis(age);
            started.unix_when(SystemTime::UNIX_EPOCH + Duration::from_secs(now), age)
        };
        assert_eq!(at(1000, 0), 1000);
        assert_eq!(at(1010, 9_300), 1000);
        assert_eq!(at(1010, 10_700), 1000);
        assert_eq!(at(1_000_020, 20_000), 1_000_000);
    }
}
