//! So many a second, and a burst.

use std::time::Duration;

/// How many a second are allowed, and how many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Between two at the steady rate.
    interval: u64,
    /// How far ahead of the steady rate one may be.
    ahead: u64,
}

/// What is left of a [`Rate`]: eight bytes, so that every connection can have one.
///
/// Time comes in as nanoseconds since any fixed moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// When it is full again.
    full_at: u64,
}

impl Rate {
    /// `per_second` in the long run and `burst` at once, both at least 1.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let interval = NANOS / u64::from(per_second.max(1));
        Self {
            interval,
            ahead: interval * u64::from(burst.max(1) - 1),
        }
    }
}

impl Bucket {
    /// Takes one if there is one.
    #[must_use]
    pub fn take(&mut self, rate: &Rate, now: u64) -> bool {
        let begin = self.full_at.max(now);
        let allowed = begin - now <= rate.ahead;
        if allowed {
            self.full_at = begin.saturating_add(rate.interval);
        }
        allowed
    }

    /// Whether less than half of the burst is left.
    pub fn is_low(&self, rate: &Rate, now: u64) -> bool {
        self.full_at.saturating_sub(now) > rate.ahead / 2
    }
}

const NANOS: u64 = Duration::from_secs(1).as_nanos() as u64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn burst_is_allowed_and_not_one_more() {
        let rate = Rate::new(1000, 5);
        let mut bucket = Bucket::default();
        for _ in 0..5 {
            assert!(bucket.take(&rate, 77));
        }
        assert!(!bucket.take(&rate, 77));
        // One comes back after a thousandth of a second, and not a nanosecond sooner.
        assert!(!bucket.take(&rate, 77 + 999_999));
        assert!(bucket.take(&rate, 77 + 1_000_000));
        assert!(!bucket.take(&rate, 77 + 1_000_000));
    }

    #[test]
    fn low_is_less_than_half() {
        let rate = Rate::new(1000, 5);
        let mut bucket = Bucket::default();
        let mut low = Vec::new();
        for _ in 0..5 {
            low.push(bucket.is_low(&rate, 0));
            assert!(bucket.take(&rate, 0));
        }
        assert_eq!(low, [false, false, false, true, true]);
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate_allow(
            per_second in 1_u32..100_000,
            burst in 1_u32..100,
            steps in prop::collection::vec(0_u64..20_000_000, 1..300),
        ) {
            let rate = Rate::new(per_second, burst);
            let (mut bucket, mut now, mut taken) = (Bucket::default(), 0, 0_u64);
            for step in steps {
                now += step;
                taken += u64::from(bucket.take(&rate, now));
                prop_assert!(taken <= u64::from(burst) + now / rate.interval);
            }
        }

        #[test]
        fn steady_rate_is_never_refused(per_second in 1_u32..100_000, burst in 1_u32..100) {
            let rate = Rate::new(per_second, burst);
            let mut bucket = Bucket::default();
            for n in 0..200 {
                prop_assert!(bucket.take(&rate, n * rate.interval));
            }
        }
    }
}
