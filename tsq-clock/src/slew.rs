//! What every clock's slew has in common: whole microseconds at 500 ppm, as the kernel's
//! `adjtime` makes them (Linux: `MAX_TICKADJ`).

use std::time::Duration;

use tsq_proto::Offset;

/// How much of each second a slew makes up.
pub(crate) const PER_SECOND: Duration = Duration::from_micros(500);

/// How many nanoseconds pass for each one that is made up.
pub(crate) const NANOS_PER_NANO: u32 = 2_000;

/// The whole microseconds of `by`, cut toward zero: never more than was asked.
pub(crate) fn whole_micros(by: Offset) -> i64 {
    by.as_nanos() / 1_000
}

/// Back from microseconds.
pub(crate) fn from_micros(micros: i64) -> Offset {
    Offset::from_nanos(micros.saturating_mul(1_000))
}

/// How long it takes to make up `amount`.
pub(crate) fn duration(amount: Offset) -> Duration {
    amount.abs().saturating_mul(NANOS_PER_NANO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_below_a_microsecond_is_cut_toward_zero() {
        for (nanos, micros) in [(1_999, 1), (-1_999, -1), (999, 0), (-999, 0)] {
            assert_eq!(whole_micros(Offset::from_nanos(nanos)), micros);
        }
    }

    #[test]
    fn slew_of_128_ms_takes_256_s() {
        let taken = duration(Offset::from_nanos(-128_000_000));
        assert_eq!(taken, Duration::from_secs(256));
    }
}
