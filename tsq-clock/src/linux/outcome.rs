//! What the kernel's answers mean.

use std::time::Duration;

use tsq_proto::Offset;

use crate::{ClockError, Moment, slew};

/// The cause of a failed call.
pub(super) fn failure(errno: i32) -> ClockError {
    match errno {
        libc::EPERM => ClockError::NoPermission,
        libc::ENOSYS | libc::EOPNOTSUPP => ClockError::NotSupported { call: CALL },
        errno => ClockError::Os { call: CALL, errno },
    }
}

/// Whether the refusal of an impossible request shows that possible ones would be granted.
pub(super) fn of_probe(answer: Result<(), i32>) -> Result<(), ClockError> {
    match answer {
        Err(libc::EINVAL) => Ok(()),
        Err(errno) => Err(failure(errno)),
        // No Linux grants it: whatever answered does not do what it says.
        Ok(()) => Err(ClockError::NotSupported { call: CALL }),
    }
}

/// Whether the kernel is slewing by what it was asked: `left` was read back after `elapsed`.
///
/// At each full second the kernel takes up to 500 us off what is left, so that much may be missing
/// for every second that began since; anything else is a truncation.
pub(super) fn check_taken(asked: i64, left: i64, elapsed: Duration) -> Result<(), ClockError> {
    let seconds = i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX);
    let per_second = slew::PER_SECOND.as_micros() as i64;
    let made_up = seconds.saturating_add(1).saturating_mul(per_second);
    // In the direction of what was asked, so that one comparison serves both.
    let (size, rest) = (asked.saturating_abs(), left.saturating_mul(asked.signum()));
    if (size.saturating_sub(made_up).max(0)..=size).contains(&rest) && (asked != 0 || left == 0) {
        Ok(())
    } else {
        Err(ClockError::Truncated {
            asked: slew::from_micros(asked),
            taken: slew::from_micros(left),
        })
    }
}

/// Whether the clock shows the step that the kernel said it made.
pub(super) fn check_moved(
    asked: Offset,
    before: &Moment,
    after: &Moment,
) -> Result<(), ClockError> {
    let moved = before.stepped_until(after);
    if (moved - asked).abs() <= before.unsure_until(after) + SHOWN {
        Ok(())
    } else {
        Err(ClockError::NotTaken { asked, moved })
    }
}

/// Whether the frequency in force is the one asked for.
pub(super) fn check_frequency(asked: Option<i64>, taken_ppb: i64) -> Result<(), ClockError> {
    match asked {
        Some(asked_ppb) if asked_ppb != taken_ppb => Err(ClockError::OtherFrequency {
            asked_ppb,
            taken_ppb,
        }),
        _ => Ok(()),
    }
}

/// Kernels that count microseconds, or emulate a clock, show a step no closer.
const SHOWN: Duration = Duration::from_micros(1);

const CALL: &str = "adjtimex";

#[cfg(test)]
mod tests {
    use tsq_proto::HostTime;

    use super::*;

    #[test]
    fn probe_tells_permission_from_everything_else() {
        assert_eq!(of_probe(Err(libc::EINVAL)), Ok(()));
        assert_eq!(of_probe(Err(libc::EPERM)), Err(ClockError::NoPermission));
        let unsupported = Err(ClockError::NotSupported { call: "adjtimex" });
        assert_eq!(of_probe(Err(libc::ENOSYS)), unsupported);
        assert_eq!(of_probe(Ok(())), unsupported);
        let other = ClockError::Os {
            call: "adjtimex",
            errno: libc::EFAULT,
        };
        assert_eq!(of_probe(Err(libc::EFAULT)), Err(other));
    }

    #[test]
    fn frequency_that_was_clamped_is_told() {
        assert_eq!(check_frequency(None, 7), Ok(()));
        assert_eq!(check_frequency(Some(-7), -7), Ok(()));
        let other = ClockError::OtherFrequency {
            asked_ppb: 600_000,
            taken_ppb: 500_000,
        };
        assert_eq!(check_frequency(Some(600_000), 500_000), Err(other));
    }

    #[test]
    fn step_that_does_not_show_on_the_clock_is_not_taken() {
        let moment = |real: i64| Moment {
            real: HostTime::from_unix_nanos(real),
            monotonic: Duration::from_secs(1),
            boot: Duration::from_secs(1),
            width: Duration::from_nanos(50),
        };
        let asked = Offset::from_nanos(2_000_000_000);
        let before = moment(0);
        for off in [1_100, -1_100] {
            let after = moment(2_000_000_000 + off);
            assert_eq!(check_moved(asked, &before, &after), Ok(()));
        }
        for moved in [0, 1_999_998_899, 2_000_001_101] {
            let error = check_moved(asked, &before, &moment(moved));
            let moved = Offset::from_nanos(moved);
            assert_eq!(error, Err(ClockError::NotTaken { asked, moved }));
        }
    }

    #[test]
    fn slew_read_back_whole_or_begun_is_taken() {
        for (asked, left) in [
            (128_000, 128_000),
            (128_000, 127_500),
            (-9, -9),
            (-9, 0),
            (0, 0),
        ] {
            assert_eq!(
                check_taken(asked, left, Duration::ZERO),
                Ok(()),
                "{asked} {left}"
            );
            assert_eq!(
                check_taken(-asked, -left, Duration::ZERO),
                Ok(()),
                "{asked} {left}"
            );
        }
        let slow = Duration::from_millis(1_500);
        assert_eq!(check_taken(128_000, 127_000, slow), Ok(()));
        assert!(check_taken(128_000, 126_999, slow).is_err());
    }

    #[test]
    fn slew_read_back_short_long_or_reversed_is_a_truncation() {
        // The first is what a limit of half a second would do.
        for (asked, left) in [
            (600_000, 500_000),
            (128_000, 127_499),
            (9, 10),
            (9, -9),
            (0, 9),
        ] {
            for sign in [1, -1] {
                let truncated = ClockError::Truncated {
                    asked: Offset::from_nanos(sign * asked * 1_000),
                    taken: Offset::from_nanos(sign * left * 1_000),
                };
                let checked = check_taken(sign * asked, sign * left, Duration::ZERO);
                assert_eq!(checked, Err(truncated), "{asked} {left}");
            }
        }
    }

    #[test]
    fn absurd_answers_do_not_overflow() {
        for left in [i64::MIN, i64::MAX] {
            assert!(check_taken(-1, left, Duration::MAX).is_err());
        }
        assert_eq!(check_taken(i64::MIN, i64::MIN, Duration::ZERO), Ok(()));
    }
}
