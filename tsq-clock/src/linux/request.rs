//! The requests we make of `adjtimex(2)`, built without making any.

use libc::{c_long, suseconds_t, time_t, timex};
use tsq_proto::Offset;

use super::sys::empty_timex;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("tsq-clock's conversions to timex need a 64-bit target");

/// Adds `by` to the clock.
pub(super) fn step(by: Offset) -> timex {
    let mut request = empty_timex();
    request.modes = libc::ADJ_SETOFFSET | libc::ADJ_NANO;
    // The kernel wants 0 <= tv_usec < 1e9 (nanoseconds, because of ADJ_NANO), so a negative
    // offset is the next lower whole second plus a positive rest.
    request.time.tv_sec = by.as_nanos().div_euclid(NANOS_PER_SECOND) as time_t;
    request.time.tv_usec = by.as_nanos().rem_euclid(NANOS_PER_SECOND) as suseconds_t;
    request
}

/// Begins a slew; the kernel answers with what was left of the slew before.
pub(super) fn slew(micros: i64) -> timex {
    let mut request = empty_timex();
    request.modes = libc::ADJ_OFFSET_SINGLESHOT;
    request.offset = micros as c_long;
    request
}

/// Asks what is left of the slew under way.
pub(super) fn slew_left() -> timex {
    let mut request = empty_timex();
    request.modes = libc::ADJ_OFFSET_SS_READ;
    request
}

/// Asks for a tick of zero, which lies outside the 10 % around the nominal tick that the kernel
/// grants.
pub(super) fn probe() -> timex {
    let mut request = empty_timex();
    request.modes = libc::ADJ_TICK;
    request.tick = 0;
    request
}

const NANOS_PER_SECOND: i64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_splits_offsets_into_floored_seconds_and_positive_nanoseconds() {
        for (nanos, expected) in [
            (0, (0, 0)),
            (1, (0, 1)),
            (-1, (-1, 999_999_999)),
            (1_444_208_000, (1, 444_208_000)),
            (-1_444_208_000, (-2, 555_792_000)),
            (-1_000_000_000, (-1, 0)),
            (999_999_999, (0, 999_999_999)),
            (-999_999_999, (-1, 1)),
            (i64::MAX, (9_223_372_036, 854_775_807)),
            (i64::MIN, (-9_223_372_037, 145_224_192)),
        ] {
            let request = step(Offset::from_nanos(nanos));
            assert_eq!(
                (request.time.tv_sec, request.time.tv_usec),
                expected,
                "{nanos}"
            );
            assert_eq!(request.modes, 0x2100);
        }
    }

    #[test]
    fn slew_asks_for_signed_microseconds_and_nothing_else() {
        let request = slew(-128_000);
        assert_eq!((request.modes, request.offset), (0x8001, -128_000));
        assert_eq!((request.freq, request.tick, request.status), (0, 0, 0));
    }

    #[test]
    fn questions_ask_for_no_change() {
        // The read-only bit (0x2000) with the single-shot bits.
        assert_eq!(slew_left().modes, 0xa001);
        // ADJ_TICK alone, far below the 9000 us that the kernel grants at least.
        assert_eq!((probe().modes, probe().tick), (0x4000, 0));
    }
}
