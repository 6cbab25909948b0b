//! When the next request is due.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// The instants of an open loop: they do not wait for answers.
#[derive(Clone, Debug)]
pub struct Schedule {
    next: Instant,
    mean: Duration,
    draws: Option<Draws>,
}

impl Schedule {
    /// `rate` requests a second from `start` on, evenly spaced or as a Poisson process.
    ///
    /// # Panics
    /// When the rate is not a positive number.
    pub fn new(start: Instant, rate: f64, poisson: bool) -> Self {
        Self {
            next: start,
            mean: Duration::from_secs_f64(1.0 / rate),
            draws: poisson.then(|| Draws(RandomState::new().hash_one(0))),
        }
    }

    /// When the next request is due.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// The next instant that is due by `now`, and moves on; None when there is none yet.
    pub fn take(&mut self, now: Instant) -> Option<Instant> {
        if self.next > now {
            return None;
        }
        let due = self.next;
        self.next += match &mut self.draws {
            None => self.mean,
            Some(draws) => self.mean.mul_f64(draws.exponential()),
        };
        Some(due)
    }
}

/// Random numbers that need not be secret (SplitMix64).
#[derive(Clone, Debug)]
struct Draws(u64);

impl Draws {
    /// From an exponential distribution with mean 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits of it are kept")]
    fn exponential(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let uniform = ((z >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -uniform.ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_requests_are_due_at_equal_distances_and_none_is_left_out() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 1000.0, false);
        assert_eq!(schedule.take(start), Some(start));
        assert_eq!(schedule.take(start), None);
        // A generator that was held up for 10 ms owes ten requests, each with its own instant.
        let late = start + Duration::from_millis(10);
        let owed: Vec<_> = std::iter::from_fn(|| schedule.take(late)).collect();
        assert_eq!(owed.len(), 10);
        assert_eq!(owed[9], late);
    }

    #[test]
    fn poisson_requests_have_the_rate_and_the_spread_of_one() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 1000.0, true);
        let end = start + Duration::from_secs(100);
        let due: Vec<_> = std::iter::from_fn(|| schedule.take(end)).collect();
        // 100 000 expected, standard deviation 316.
        assert!((98_000..102_000).contains(&due.len()), "{}", due.len());
        let gaps = due.windows(2).map(|pair| pair[1] - pair[0]);
        let long = gaps.filter(|gap| *gap > Duration::from_millis(1)).count();
        // One in e is longer than the mean.
        assert!((35_000..39_000).contains(&long), "{long}");
    }
}
