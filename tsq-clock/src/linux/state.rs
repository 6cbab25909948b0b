//! What `adjtimex(2)` reports, read into our own terms.

use std::time::Duration;

use libc::timex;

use crate::{KernelLeap, KernelState};

/// The meaning of a report.
pub(super) fn of(report: &timex) -> KernelState {
    let has = |bit: i32| report.status & bit != 0;
    let max_error = micros(report.maxerror);
    KernelState {
        synchronised: max_error < KernelState::GIVEN_UP,
        estimated_error: micros(report.esterror),
        max_error,
        // Parts per million with a 16-bit fraction.
        frequency_ppb: ppb(report.freq),
        tai_offset: (report.tai != 0).then_some(report.tai),
        leap: match (has(libc::STA_INS), has(libc::STA_DEL)) {
            (true, false) => KernelLeap::Insert,
            (false, true) => KernelLeap::Delete,
            // Both at once mean nothing.
            (false, false) | (true, true) => KernelLeap::None,
        },
    }
}

/// From parts per million with a 16-bit fraction, to the nearest: what was set is what is read.
pub(super) fn ppb(scaled: i64) -> i64 {
    let parts = i128::from(scaled) * 1_000;
    let nearest = (parts + parts.signum() * (1 << 15)) / (1 << 16);
    nearest.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

fn micros(value: i64) -> Duration {
    Duration::from_micros(u64::try_from(value).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::super::sys::empty_timex;
    use super::*;

    #[test]
    fn report_of_a_kept_clock_is_read_in_our_units() {
        let mut report = empty_timex();
        report.status = libc::STA_PLL | libc::STA_INS;
        report.esterror = 12;
        report.maxerror = 3_400;
        report.freq = -(3 << 16) / 2;
        report.tai = 37;
        let expected = KernelState {
            synchronised: true,
            estimated_error: Duration::from_micros(12),
            max_error: Duration::from_micros(3_400),
            frequency_ppb: -1_500,
            tai_offset: Some(37),
            leap: KernelLeap::Insert,
        };
        assert_eq!(of(&report), expected);
    }

    #[test]
    fn clock_that_nobody_keeps_is_not_synchronised() {
        let mut report = empty_timex();
        report.status = libc::STA_UNSYNC | libc::STA_INS | libc::STA_DEL;
        report.maxerror = 16_000_000;
        let state = of(&report);
        assert!(!state.synchronised);
        assert_eq!((state.tai_offset, state.leap), (None, KernelLeap::None));
    }

    #[test]
    fn frequency_that_was_set_is_read_back() {
        for set in [0, 1, -1, 7, 333, 12_345, -499_999, 500_000] {
            assert_eq!(ppb(super::super::request::scaled(set)), set);
        }
    }

    /// chronyd without `rtcsync`: it tells its errors, and leaves the flag set. Without its word the error grows, and with
    /// it the clock is lost, flag or none.
    #[test]
    fn clock_is_kept_for_as_long_as_its_largest_error_stays_below_the_kernels_limit() {
        for status in [libc::STA_UNSYNC, 0] {
            let mut report = empty_timex();
            report.status = status;
            for (max_error, kept) in [(900, true), (15_999_999, true), (16_000_000, false)] {
                report.maxerror = max_error;
                assert_eq!(of(&report).synchronised, kept, "{status} {max_error}");
            }
        }
    }
}
