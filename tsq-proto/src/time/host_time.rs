use core::ops::{Add, Sub};

use super::{NANOS_PER_SEC, Offset};

/// A reading of this host's own clock: nanoseconds since 1970-01-01 UTC, years 1677 to 2262.
///
/// The clock may be wrong; a server's time put on the same scale is a `HostTime` too, so that the two can be
/// compared. It is not [`Monotonic`](super::Monotonic) time, and the two do not mix:
///
/// ```compile_fail
/// use tsq_proto::time::{HostTime, Monotonic};
/// let _ = HostTime::from_unix_nanos(2) - Monotonic::from_nanos(1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostTime(i64);

impl HostTime {
    /// From nanoseconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn from_unix_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn as_unix_nanos(self) -> i64 {
        self.0
    }

    /// From whole seconds since 1970-01-01 UTC plus `nanos`, saturating at the ends of the range.
    #[must_use]
    pub fn from_unix(secs: i64, nanos: u32) -> Self {
        Self::saturating_from_i128(i128::from(secs) * i128::from(NANOS_PER_SEC) + i128::from(nanos))
    }

    pub(super) fn saturating_from_i128(nanos: i128) -> Self {
        Self(super::offset::saturate(nanos))
    }
}

impl Sub for HostTime {
    type Output = Offset;

    /// How far `self` is after `earlier`; saturates.
    fn sub(self, earlier: Self) -> Offset {
        Offset::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Offset> for HostTime {
    type Output = Self;

    /// Saturates at the ends of the range.
    fn add(self, offset: Offset) -> Self {
        Self(self.0.saturating_add(offset.as_nanos()))
    }
}

impl Sub<Offset> for HostTime {
    type Output = Self;

    /// Saturates at the ends of the range.
    fn sub(self, offset: Offset) -> Self {
        Self(self.0.saturating_sub(offset.as_nanos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_is_positive_when_the_left_side_is_later() {
        let earlier = HostTime::from_unix(10, 0);
        let later = HostTime::from_unix(10, 5);
        assert_eq!(later - earlier, Offset::from_nanos(5));
        assert_eq!(earlier - later, Offset::from_nanos(-5));
        assert_eq!(earlier + Offset::from_nanos(5), later);
        assert_eq!(later - Offset::from_nanos(5), earlier);
    }

    #[test]
    fn seconds_beyond_the_range_saturate() {
        assert_eq!(HostTime::from_unix(i64::MAX, 0).as_unix_nanos(), i64::MAX);
        assert_eq!(HostTime::from_unix(i64::MIN, 0).as_unix_nanos(), i64::MIN);
    }

    #[test]
    fn seconds_before_1970_count_nanos_forward() {
        assert_eq!(HostTime::from_unix(-1, 999_999_999).as_unix_nanos(), -1);
    }

    #[test]
    fn arithmetic_at_the_ends_saturates() {
        let (first, last) = (
            HostTime::from_unix_nanos(i64::MIN),
            HostTime::from_unix_nanos(i64::MAX),
        );
        assert_eq!(last - first, Offset::from_nanos(i64::MAX));
        assert_eq!(first - last, Offset::from_nanos(i64::MIN));
        assert_eq!(last + Offset::from_nanos(1), last);
        assert_eq!(first - Offset::from_nanos(1), first);
    }
}
