use core::ops::{Add, Sub};
use core::time::Duration;

/// A reading of a clock that only runs forward: nanoseconds since an arbitrary start.
///
/// It measures how long something took and shows that [`HostTime`](super::HostTime) was stepped meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(u64);

impl Monotonic {
    /// From nanoseconds since the clock's start.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's start.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }
}

impl Sub for Monotonic {
    type Output = Duration;

    /// The time from `earlier` to `self`; zero when `earlier` is the later one.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Monotonic {
    type Output = Self;

    /// Saturates after 584 years.
    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_to_a_later_reading_is_zero() {
        let (first, second) = (Monotonic::from_nanos(3), Monotonic::from_nanos(10));
        assert_eq!(second - first, Duration::from_nanos(7));
        assert_eq!(first - second, Duration::ZERO);
    }

    #[test]
    fn sum_beyond_the_range_saturates() {
        assert_eq!(
            Monotonic::from_nanos(1) + Duration::from_nanos(2),
            Monotonic::from_nanos(3)
        );
        assert_eq!(
            Monotonic::from_nanos(1) + Duration::MAX,
            Monotonic::from_nanos(u64::MAX)
        );
    }
}
