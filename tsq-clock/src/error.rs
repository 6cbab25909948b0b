use std::fmt;
use std::io;
use std::time::Duration;

use tsq_proto::Offset;
use tsq_proto::time::Span;

use crate::Disturbance;

/// Why a clock was not set, as a cause that an operator can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClockError {
    /// This process may not set the clock.
    NoPermission,
    /// The change is larger than this clock was opened for; no system call was made.
    PastLimit {
        /// The change that was asked for.
        asked: Offset,
        /// The largest that is allowed, in either direction.
        limit: Duration,
    },
    /// The frequency is farther off than this clock was opened for; no system call was made.
    PastFrequency {
        /// The correction that was asked for, in parts per billion.
        asked_ppb: i64,
        /// The largest that is allowed, in either direction.
        limit_ppb: u32,
    },
    /// This clock was opened to be stepped and slewed, and not to be disciplined.
    NotDisciplined,
    /// The system took another frequency than it was asked for, and that one is in force.
    OtherFrequency {
        /// The correction that was asked for, in parts per billion.
        asked_ppb: i64,
        /// The one in force.
        taken_ppb: i64,
    },
    /// The steps of the last days and this one add up to more than is allowed.
    PastBudget {
        /// The step that was asked for.
        asked: Offset,
        /// What earlier steps add up to.
        spent: Duration,
        /// The most that all may.
        total: Duration,
    },
    /// The change could not be noted on disk, and so was not made.
    NotCounted,
    /// What was measured is not true any more.
    Disturbed(Disturbance),
    /// The system took the step, and its clock did not move so.
    NotTaken {
        /// The step that was asked for.
        asked: Offset,
        /// How far the clock moved.
        moved: Offset,
    },
    /// The system took a smaller slew than it was asked for, and is now making that one.
    Truncated {
        /// The slew that was asked for.
        asked: Offset,
        /// The slew that is under way.
        taken: Offset,
    },
    /// This system has no such call.
    NotSupported {
        /// The system call.
        call: &'static str,
    },
    /// Any other failure.
    Os {
        /// The system call.
        call: &'static str,
        /// Its `errno`.
        errno: i32,
    },
}

impl ClockError {
    /// Whether the clock may have moved all the same.
    pub fn has_moved(&self) -> bool {
        matches!(
            self,
            Self::NotTaken { .. } | Self::Truncated { .. } | Self::OtherFrequency { .. }
        )
    }
}

impl fmt::Display for ClockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPermission => {
                f.write_str("setting the clock needs CAP_SYS_TIME, which this process has not: be root, and in a container be given it too")
            }
            Self::PastLimit { asked, limit } => {
                write!(
                    f,
                    "a change of {asked} is past the clock's limit of {}",
                    Span(*limit)
                )
            }
            Self::PastFrequency {
                asked_ppb,
                limit_ppb,
            } => write!(
                f,
                "a frequency correction of {asked_ppb} ppb is past the clock's limit of {limit_ppb} ppb"
            ),
            Self::NotDisciplined => {
                f.write_str("this clock was not opened to have its frequency and status set")
            }
            Self::OtherFrequency {
                asked_ppb,
                taken_ppb,
            } => write!(
                f,
                "asked for a frequency correction of {asked_ppb} ppb, the system took {taken_ppb} ppb"
            ),
            Self::PastBudget {
                asked,
                spent,
                total,
            } => write!(
                f,
                "a step of {asked} after {} of steps in 7 days is past the budget of {}",
                Span(*spent),
                Span(*total)
            ),
            Self::NotCounted => {
                f.write_str("the change cannot be noted in the state folder, so it is not made: see that its disk has room and can be written")
            }
            Self::Disturbed(disturbance) => disturbance.fmt(f),
            Self::NotTaken { asked, moved } => write!(
                f,
                "the system accepted a step of {asked}, and its clock moved by {moved}: what runs here does not let its clock be set, or something else sets it"
            ),
            Self::Truncated { asked, taken } => {
                write!(f, "asked to slew {asked}, the system took {taken} only")
            }
            Self::NotSupported { call } => write!(f, "this system does not support {call}"),
            Self::Os { call, errno } => {
                write!(f, "{call} failed: {}", io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

impl std::error::Error for ClockError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_permission_names_the_way_out() {
        let line = ClockError::NoPermission.to_string();
        assert!(line.contains("CAP_SYS_TIME"), "{line}");
        assert!(
            line.contains("root") && line.contains("container"),
            "{line}"
        );
    }

    #[test]
    fn past_limit_carries_both_numbers() {
        let error = ClockError::PastLimit {
            asked: Offset::from_nanos(-2_500_000_000),
            limit: Duration::from_secs(1),
        };
        assert_eq!(
            error.to_string(),
            "a change of -2.500 s is past the clock's limit of 1.0 s"
        );
    }
}
