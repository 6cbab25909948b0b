//! What was measured of many requests, in little memory.

use std::time::Duration;

use serde_json::{Value, json};

/// Durations in nanoseconds, to three digits.
#[derive(Clone, Debug)]
pub struct Times(hdrhistogram::Histogram<u64>);

/// Offsets: signed durations.
#[derive(Clone, Debug, Default)]
pub struct Offsets {
    behind: Times,
    ahead: Times,
    bounds: Times,
    /// How many had a kernel stamp at both ends of this host.
    kernel: u64,
    /// How many of these also had the real departure of their answer.
    followed: u64,
}

impl Default for Times {
    fn default() -> Self {
        let histogram =
            hdrhistogram::Histogram::new(3).expect("three digits are a legal precision");
        Self(histogram)
    }
}

impl Times {
    /// Adds one.
    pub fn add(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // It grows as needed; what does not fit 64 bits of nanoseconds is 500 years.
        let _ = self.0.record(nanos.min(MOST));
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        // Only a histogram that may not grow refuses.
        let _ = self.0.add(&other.0);
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value that `percent` of all do not exceed, in microseconds.
    pub fn percentile(&self, percent: f64) -> f64 {
        micros(self.0.value_at_percentile(percent))
    }

    /// The greatest, in microseconds.
    pub fn max(&self) -> f64 {
        micros(self.0.max())
    }

    /// The usual percentiles, in microseconds; null without any value.
    pub fn json(&self) -> Value {
        if self.is_empty() {
            return Value::Null;
        }
        json!({
            "count": self.len(),
            "p50": self.percentile(50.0),
            "p90": self.percentile(90.0),
            "p99": self.percentile(99.0),
            "p99_9": self.percentile(99.9),
            "max": self.max(),
        })
    }
}

impl Offsets {
    /// Adds one, positive if our clock is behind, with its bound (half the delay).
    pub fn add(&mut self, nanos: i64, bound: Duration, kernel: bool) {
        let size = Duration::from_nanos(nanos.unsigned_abs());
        if nanos < 0 {
            self.ahead.add(size);
        } else {
            self.behind.add(size);
        }
        self.bounds.add(bound);
        self.kernel += u64::from(kernel);
    }

    /// Adds one as [`Self::add`] does, by kernel stamps and with the real departure of its answer.
    pub fn add_followed(&mut self, nanos: i64, bound: Duration) {
        self.add(nanos, bound, true);
        self.followed += 1;
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        self.behind.merge(&other.behind);
        self.ahead.merge(&other.ahead);
        self.bounds.merge(&other.bounds);
        self.kernel += other.kernel;
        self.followed += other.followed;
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.bounds.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether each had a kernel stamp for its departure and its arrival.
    pub fn all_kernel(&self) -> bool {
        self.kernel == self.len()
    }

    /// The least of the stamps they are by.
    pub fn stamps(&self) -> &'static str {
        match self.len() {
            all if all == self.followed => "kernel+follow-up",
            all if all == self.kernel => "kernel",
            _ => "user",
        }
    }

    /// The middle one, in microseconds.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn median(&self) -> f64 {
        let rank = self.len().div_ceil(2);
        let ahead = self.ahead.len();
        // In the middle of its rank: a percentile is rounded up to the next.
        let percent = |rank: u64, of: u64| (rank as f64 - 0.5) / of as f64 * 100.0;
        if rank <= ahead {
            -self.ahead.percentile(percent(ahead - rank + 1, ahead))
        } else {
            let behind = self.behind.len();
            self.behind.percentile(percent(rank - ahead, behind))
        }
    }

    /// The 99th percentile of their sizes, in microseconds.
    pub fn p99_size(&self) -> f64 {
        let mut sizes = self.behind.clone();
        sizes.merge(&self.ahead);
        sizes.percentile(99.0)
    }

    /// The bounds they travelled with.
    pub fn bounds(&self) -> &Times {
        &self.bounds
    }

    /// All of it, in microseconds; null without any value.
    pub fn json(&self) -> Value {
        if self.is_empty() {
            return Value::Null;
        }
        json!({
            "count": self.len(),
            "stamps": self.stamps(),
            "median": self.median(),
            "p99_size": self.p99_size(),
            "bound_p50": self.bounds.percentile(50.0),
            "bound_p99": self.bounds.percentile(99.0),
            "bound_max": self.bounds.max(),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a printed figure")]
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1000.0
}

/// An hour: nothing here lasts longer, and the histogram's memory grows with its greatest value.
const MOST: u64 = 3_600_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(offsets: &[i64]) -> Offsets {
        let mut all = Offsets::default();
        for nanos in offsets {
            all.add(*nanos, Duration::from_nanos(1000), true);
        }
        all
    }

    #[test]
    fn median_keeps_its_sign() {
        // Below 2048 the histogram is exact.
        assert_eq!(of(&[-300, -200, -100, 400]).median(), -0.2);
        assert_eq!(of(&[-300, 200, 400]).median(), 0.2);
        assert_eq!(of(&[-500]).median(), -0.5);
        assert_eq!(of(&[500]).median(), 0.5);
        assert!(of(&[]).json().is_null());
    }

    #[test]
    fn sizes_and_bounds_are_told_together() {
        let mut all = of(&[-9000, 1000]);
        all.merge(&of(&[2000]));
        let json = all.json();
        assert_eq!(json["count"], 3);
        assert!((all.p99_size() - 9.0).abs() < 0.02, "{json}");
        assert!((all.bounds().max() - 1.0).abs() < 0.01, "{json}");
        assert_eq!(json["stamps"], "kernel");
        let mut followed = Offsets::default();
        followed.add_followed(5, Duration::ZERO);
        assert_eq!(followed.stamps(), "kernel+follow-up");
        followed.merge(&all);
        assert_eq!(followed.stamps(), "kernel");
        all.add(0, Duration::ZERO, false);
        assert_eq!(all.json()["stamps"], "user");
    }
}
