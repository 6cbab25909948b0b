//! Unix nanoseconds and the timestamps of the wire.

use std::time::SystemTime;

/// Now, in nanoseconds since 1970.
///
/// # Panics
/// When the host's clock is set to before 1970 or past 2262.
#[must_use]
pub fn unix_ns() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .expect("the host's clock is between 1970 and 2262")
}

/// The 64-bit NTP timestamp; its era is lost, as on the wire.
// tsq: E3
pub(crate) fn to_ntp(unix_ns: i64) -> u64 {
    let seconds = unix_ns.div_euclid(NS) + SECONDS_1900_TO_1970;
    let fraction = (i128::from(unix_ns.rem_euclid(NS)) << 32) / i128::from(NS);
    (seconds as u64) << 32 | fraction as u64
}

/// The time a timestamp means, in the era that brings it nearest to `pivot_ns`.
// tsq: E3
pub(crate) fn from_ntp(ntp: u64, pivot_ns: i64) -> i64 {
    let pivot = to_ntp(pivot_ns);
    // The difference of two timestamps less than half an era apart is right in wrapping arithmetic.
    let distance = ntp.wrapping_sub(pivot) as i64;
    pivot_ns + ((i128::from(distance) * i128::from(NS)) >> 32) as i64
}

const NS: i64 = 1_000_000_000;
const SECONDS_1900_TO_1970: i64 = 2_208_988_800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_epoch_has_the_figure_of_rfc_868() {
        assert_eq!(to_ntp(0), 2_208_988_800 << 32);
    }

    #[test]
    fn timestamps_before_and_after_the_wrap_of_2036_are_near_each_other() {
        let wrap_ns = (1_i64 << 32) * NS - SECONDS_1900_TO_1970 * NS;
        assert_eq!(to_ntp(wrap_ns), 0);
        for (ns, pivot) in [(wrap_ns + NS, wrap_ns - NS), (wrap_ns - NS, wrap_ns + NS)] {
            assert!((from_ntp(to_ntp(ns), pivot) - ns).abs() <= 1);
        }
    }
}
