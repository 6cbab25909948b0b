use super::{HostTime, NANOS_PER_SEC};

/// A timestamp as it travels: 32 bits of seconds since 1900-01-01 UTC, 32 bits of fraction (RFC 5905, section 6).
///
/// The seconds wrap every 136 years, next on 2036-02-07. The bits alone are therefore not a time and have no
/// order; [`resolve`](Self::resolve) makes them one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NtpTimestamp(u64);

impl NtpTimestamp {
    /// From the 64 bits, seconds in the upper half.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The 64 bits, seconds in the upper half.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// From the 8 bytes of the wire.
    #[must_use]
    pub const fn from_be_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    /// The 8 bytes for the wire.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The time meant by these bits: of all eras, the instant nearest to `pivot`, at most 68 years away.
    ///
    /// At a distance of exactly 2^31 s the earlier instant is taken. Results outside [`HostTime`]'s range
    /// (years 1677 to 2262) saturate.
    // tsq: E3
    #[must_use]
    pub fn resolve(self, pivot: HostTime) -> HostTime {
        HostTime::saturating_from_i128(self.nearest(pivot))
    }

    /// The same; None where the result is outside [`HostTime`]'s range.
    // tsq: E3
    #[must_use]
    pub fn checked_resolve(self, pivot: HostTime) -> Option<HostTime> {
        let nanos = i64::try_from(self.nearest(pivot)).ok()?;
        Some(HostTime::from_unix_nanos(nanos))
    }

    /// Nanoseconds since 1970.
    fn nearest(self, pivot: HostTime) -> i128 {
        let pivot = to_full(pivot);
        // The difference modulo one era, read as signed, is the way to the nearest instant with these bits.
        let distance = self.0.wrapping_sub(pivot as u64) as i64;
        unix_nanos(pivot + i128::from(distance))
    }
}

impl HostTime {
    /// This time for the wire, rounded to the nearest 2^-32 s (0.23 ns).
    ///
    /// Exact in the sense that [`NtpTimestamp::resolve`] with a pivot less than 68 years away gives this time back.
    // tsq: E3
    #[must_use]
    pub fn to_ntp(self) -> NtpTimestamp {
        NtpTimestamp(to_full(self) as u64)
    }

    /// The NTP era this time is in: 0 from 1900, 1 from 2036-02-07 on; None before 1900.
    // tsq: E3 M10
    #[must_use]
    pub fn ntp_era(self) -> Option<u8> {
        u8::try_from(to_full(self) >> 64).ok()
    }
}

/// Units of 2^-32 s since 1900 without wrapping: an `NtpTimestamp` is the lower 64 bits of it.
fn to_full(time: HostTime) -> i128 {
    let secs = time.as_unix_nanos().div_euclid(NANOS_PER_SEC) + UNIX_EPOCH_SINCE_1900;
    let nanos = time.as_unix_nanos().rem_euclid(NANOS_PER_SEC) as u64;
    let fraction = ((nanos << 32) + NANOS_PER_SEC as u64 / 2) / NANOS_PER_SEC as u64;
    (i128::from(secs) << 32) + i128::from(fraction)
}

fn unix_nanos(full: i128) -> i128 {
    let secs = (full >> 32) - i128::from(UNIX_EPOCH_SINCE_1900);
    let fraction = u64::from(full as u32);
    let nanos = (fraction * NANOS_PER_SEC as u64 + (1 << 31)) >> 32;
    secs * i128::from(NANOS_PER_SEC) + i128::from(nanos)
}

/// Seconds from 1900-01-01 to 1970-01-01: 70 years with 17 leap days.
const UNIX_EPOCH_SINCE_1900: i64 = (70 * 365 + 17) * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: i64 = 31_556_952;
    /// 2036-02-07 06:28:16 UTC, where the wire's seconds return to zero.
    const ERA_1: i64 = (1 << 32) - UNIX_EPOCH_SINCE_1900;

    #[test]
    fn unix_epoch_is_the_known_ntp_second() {
        assert_eq!(
            HostTime::from_unix(0, 0).to_ntp().to_bits(),
            2_208_988_800 << 32
        );
    }

    #[test]
    fn bytes_are_big_endian() {
        let stamp = NtpTimestamp::from_bits(0x0102_0304_0506_0708);
        assert_eq!(stamp.to_be_bytes(), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(NtpTimestamp::from_be_bytes(stamp.to_be_bytes()), stamp);
    }

    // tsq: E3
    #[test]
    fn seconds_wrap_to_zero_in_2036() {
        assert_eq!(HostTime::from_unix(ERA_1, 0).to_ntp().to_bits(), 0);
        assert_eq!(
            HostTime::from_unix(ERA_1 - 1, 0).to_ntp().to_bits(),
            0xffff_ffff << 32
        );
    }

    // tsq: E3 M10
    #[test]
    fn era_changes_with_the_roll_over() {
        let second = |unix| HostTime::from_unix(unix, 0).ntp_era();
        assert_eq!((second(ERA_1 - 1), second(ERA_1)), (Some(0), Some(1)));
        let first = -UNIX_EPOCH_SINCE_1900;
        assert_eq!((second(first - 1), second(first)), (None, Some(0)));
    }

    // tsq: E3
    #[test]
    fn pivot_before_the_roll_over_resolves_times_after_it() {
        let pivot = HostTime::from_unix(ERA_1 - 1, 0);
        assert_eq!(
            NtpTimestamp::from_bits(0).resolve(pivot),
            HostTime::from_unix(ERA_1, 0)
        );
    }

    // tsq: E3
    #[test]
    fn pivot_after_the_roll_over_resolves_times_before_it() {
        let pivot = HostTime::from_unix(ERA_1 + 1, 0);
        let last_second = NtpTimestamp::from_bits(0xffff_ffff << 32);
        assert_eq!(
            last_second.resolve(pivot),
            HostTime::from_unix(ERA_1 - 1, 0)
        );
    }

    // tsq: E3
    #[test]
    fn nearest_era_changes_half_an_era_from_the_pivot() {
        let pivot = HostTime::from_unix(1_795_000_000, 0);
        let just_inside = HostTime::from_unix(1_795_000_000 + (1 << 31) - 1, 0);
        assert_eq!(just_inside.to_ntp().resolve(pivot), just_inside);
        let at_half = HostTime::from_unix(1_795_000_000 + (1 << 31), 0);
        assert_eq!(
            at_half.to_ntp().resolve(pivot),
            HostTime::from_unix(1_795_000_000 - (1 << 31), 0)
        );
    }

    // tsq: E3
    #[test]
    fn every_year_from_1900_to_2262_round_trips_exactly() {
        for year in -70..292 {
            let time = HostTime::from_unix(year * YEAR, 123_456_789);
            for pivot_years in [-68, -1, 0, 1, 68] {
                let pivot = HostTime::from_unix((year + pivot_years) * YEAR, 999_999_999);
                assert_eq!(time.to_ntp().resolve(pivot), time, "year {}", 1970 + year);
            }
        }
    }

    #[test]
    fn every_nanosecond_pattern_round_trips_exactly() {
        for nanos in (0..NANOS_PER_SEC as u32).step_by(99_991).chain([
            1,
            2,
            499_999_999,
            500_000_001,
            999_999_999,
        ]) {
            let time = HostTime::from_unix(1_795_000_000, nanos);
            assert_eq!(time.to_ntp().resolve(time), time);
        }
    }

    #[test]
    fn last_fraction_of_a_second_rounds_into_the_next() {
        let pivot = HostTime::from_unix(0, 0);
        let stamp = NtpTimestamp::from_bits((2_208_988_800 << 32) | 0xffff_ffff);
        assert_eq!(stamp.resolve(pivot), HostTime::from_unix(1, 0));
    }

    #[test]
    fn times_past_the_range_saturate() {
        let end = HostTime::from_unix_nanos(i64::MAX);
        let later = NtpTimestamp::from_bits(end.to_ntp().to_bits().wrapping_add(1 << 40));
        assert_eq!(later.resolve(end), end);
        let start = HostTime::from_unix_nanos(i64::MIN);
        let earlier = NtpTimestamp::from_bits(start.to_ntp().to_bits().wrapping_sub(1 << 40));
        assert_eq!(earlier.resolve(start), start);
    }
}
