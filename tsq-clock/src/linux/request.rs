//! The requests we make of `adjtimex(2)`, built without making any.

use std::time::Duration;

use libc::{c_int, c_long, suseconds_t, time_t, timex};
use tsq_proto::Offset;

use super::sys::empty_timex;
use crate::{Discipline, KernelLeap, KernelState};

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

/// Tells what a keeper knows; `status` is what the kernel has now.
pub(super) fn discipline(told: &Discipline, status: c_int) -> timex {
    let mut request = empty_timex();
    if let Some(ppb) = told.frequency_ppb {
        request.modes |= libc::ADJ_FREQUENCY;
        request.freq = scaled(ppb) as c_long;
    }
    if let Some(error) = told.error {
        request.modes |= libc::ADJ_ESTERROR | libc::ADJ_MAXERROR;
        request.esterror = micros(error.estimated);
        request.maxerror = micros(error.max);
    }
    if told.synchronised == Some(false) {
        // What the flag alone does not say: see `KernelState::synchronised`.
        request.modes |= libc::ADJ_MAXERROR;
        request.maxerror = micros(KernelState::GIVEN_UP);
    }
    let bits = status_bits(told, status);
    if bits != status {
        request.modes |= libc::ADJ_STATUS;
        request.status = bits;
    }
    if let Some(tai) = told.tai_offset {
        request.modes |= libc::ADJ_TAI;
        request.constant = c_long::from(tai);
    }
    request
}

fn status_bits(told: &Discipline, status: c_int) -> c_int {
    let mut bits = status & !READ_ONLY;
    match told.synchronised {
        Some(true) => bits &= !libc::STA_UNSYNC,
        Some(false) => bits |= libc::STA_UNSYNC,
        None => {}
    }
    if let Some(leap) = told.leap {
        bits &= !(libc::STA_INS | libc::STA_DEL);
        bits |= match leap {
            KernelLeap::None => 0,
            KernelLeap::Insert => libc::STA_INS,
            KernelLeap::Delete => libc::STA_DEL,
        };
    }
    if bits == status & !READ_ONLY {
        status
    } else {
        bits
    }
}

/// As the kernel counts frequencies: parts per million with a 16-bit fraction, to the nearest.
pub(super) fn scaled(ppb: i64) -> i64 {
    let scaled = i128::from(ppb) * (1 << 16);
    let nearest = (scaled + scaled.signum() * 500) / 1_000;
    nearest.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

fn micros(time: Duration) -> c_long {
    time.min(KernelState::GIVEN_UP).as_micros() as c_long
}

/// Only the kernel sets these.
const READ_ONLY: c_int = libc::STA_PPSSIGNAL
    | libc::STA_PPSJITTER
    | libc::STA_PPSWANDER
    | libc::STA_PPSERROR
    | libc::STA_CLOCKERR
    | libc::STA_NANO
    | libc::STA_MODE
    | libc::STA_CLK;

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
    use crate::ErrorBound;

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
    fn discipline_asks_for_what_is_told_and_keeps_the_other_bits() {
        let nothing = discipline(&Discipline::default(), libc::STA_UNSYNC | libc::STA_NANO);
        assert_eq!(nothing.modes, 0);
        let told = Discipline {
            frequency_ppb: Some(-1_500),
            error: Some(ErrorBound {
                estimated: Duration::from_micros(12),
                max: Duration::from_secs(17),
            }),
            synchronised: Some(true),
            leap: Some(KernelLeap::Insert),
            tai_offset: Some(37),
        };
        let before = libc::STA_UNSYNC | libc::STA_DEL | libc::STA_FREQHOLD | libc::STA_NANO;
        let request = discipline(&told, before);
        // ADJ_TAI, and status, esterror, maxerror and frequency.
        assert_eq!(request.modes, 0x80 | 0x1e);
        assert_eq!(request.status, libc::STA_INS | libc::STA_FREQHOLD);
        assert_eq!((request.freq, request.constant), (-(3 << 16) / 2, 37));
        assert_eq!((request.esterror, request.maxerror), (12, 16_000_000));
    }

    #[test]
    fn clock_said_to_be_lost_is_as_wrong_as_can_be() {
        let told = Discipline {
            synchronised: Some(false),
            ..Discipline::default()
        };
        let request = discipline(&told, 0);
        assert_eq!(request.modes, libc::ADJ_MAXERROR | libc::ADJ_STATUS);
        assert_eq!(
            (request.maxerror, request.status),
            (16_000_000, libc::STA_UNSYNC)
        );
    }

    #[test]
    fn frequency_is_scaled_to_the_nearest() {
        for (ppb, expected) in [(1_000, 65_536), (500_000, 500 << 16), (1, 66), (7, 459)] {
            assert_eq!((scaled(ppb), scaled(-ppb)), (expected, -expected), "{ppb}");
        }
    }

    #[test]
    fn questions_ask_for_no_change() {
        // The read-only bit (0x2000) with the single-shot bits.
        assert_eq!(slew_left().modes, 0xa001);
        // ADJ_TICK alone, far below the 9000 us that the kernel grants at least.
        assert_eq!((probe().modes, probe().tick), (0x4000, 0));
    }
}
