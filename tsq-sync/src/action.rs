//! What was done about an offset, or why nothing was.

use std::fmt;
use std::time::Duration;

use tsq_algo::NothingToDo;
use tsq_clock::{ClockError, Disturbance};
use tsq_proto::Offset;

use crate::advice::{Advice, Reason};
use crate::uncounted::Uncounted;
use crate::verdict::NoResult;
use crate::words::{length, offset_text};

/// What was done about the offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing needed doing.
    None {
        /// Why not.
        reason: Idle,
    },
    /// The clock is being slewed.
    Slew {
        /// By how much.
        offset: Offset,
        /// How long that takes.
        duration: Duration,
        /// An earlier slew that was not finished and is replaced; zero if there was none.
        replaced: Offset,
    },
    /// The clock was stepped.
    Step {
        /// By how much.
        offset: Offset,
    },
    /// Nothing was done, although the clock may be wrong.
    Refused {
        /// Why not.
        reason: Refusal,
    },
}

/// Why nothing needed doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Idle {
    /// An adjustment could not improve the clock.
    Nothing(NothingToDo),
    /// It is as right as was wanted.
    Right {
        /// What it may be wrong by: offset and bound.
        error: Duration,
        /// The most that was to be.
        wanted: Duration,
    },
    /// It was a test of this host, by servers of its own.
    SelfTest,
}

/// Why nothing was done, although the clock may be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no offset.
    NoResult(NoResult),
    /// Some servers did not count where all were to.
    NotAll(Uncounted),
    /// The offset is past the limit.
    PastLimit {
        /// What would have been added.
        offset: Offset,
        /// The limit.
        limit: Duration,
        /// What an earlier slew has still to do.
        pending: Offset,
    },
    /// The clock could not be set.
    Clock(ClockError),
    /// Something came over the clock while it was measured, again and again.
    Disturbed(Disturbance),
    /// It was only to be looked at, and may be wrong by more than was wanted.
    NotRight {
        /// What it may be wrong by: offset and bound.
        error: Duration,
        /// The most that was to be.
        wanted: Duration,
        /// The offset alone.
        offset: Offset,
    },
    /// Of a self-test: not every query was answered.
    Unanswered,
}

impl Action {
    /// `none`, `slew`, `step` or `refused`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::None { .. } => "none",
            Self::Slew { .. } => "slew",
            Self::Step { .. } => "step",
            Self::Refused { .. } => "refused",
        }
    }

    /// Whether the clock was adjusted, or would be.
    pub fn adjusts(&self) -> bool {
        matches!(self, Self::Slew { .. } | Self::Step { .. })
    }
}

impl From<Refusal> for Action {
    fn from(reason: Refusal) -> Self {
        Self::Refused { reason }
    }
}

impl From<Idle> for Action {
    fn from(reason: Idle) -> Self {
        Self::None { reason }
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing(reason) => reason.fmt(f),
            Self::Right { error, wanted } => write!(
                f,
                "the clock is right to {}, {} was wanted",
                length(*error),
                length(*wanted)
            ),
            Self::SelfTest => f.write_str("a self-test sets no clock"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoResult(none) => none.fmt(f),
            Self::NotAll(missing) => missing.fmt(f),
            Self::PastLimit {
                offset,
                limit,
                pending,
            } => {
                let (offset, limit) = (offset_text(*offset), limit.as_nanos() as f64 / 1e6);
                write!(f, "the offset of {offset} is past the limit of {limit} ms")?;
                if *pending != Offset::ZERO {
                    write!(f, "; a slew of {pending} begun earlier goes on")?;
                }
                Ok(())
            }
            Self::Clock(error) => error.fmt(f),
            Self::Disturbed(disturbance) => disturbance.fmt(f),
            Self::NotRight {
                error,
                wanted,
                offset,
            } => write!(
                f,
                "the clock may be wrong by {} (offset {}), and {} was wanted",
                length(*error),
                offset_text(*offset),
                length(*wanted)
            ),
            Self::Unanswered => f.write_str("not every query was answered"),
        }
    }
}

impl Reason for Refusal {
    fn hint(&self) -> Option<Advice> {
        match self {
            Self::NoResult(none) => none.hint(),
            Self::NotAll(_) => Some("{require-all} wants every one".into()),
            Self::PastLimit { .. } => Some(
                "if that is right, raise {max-offset} (for the first run of a boot, {max-start-offset})".into(),
            ),
            Self::Clock(error) => error.hint(),
            Self::Disturbed(_) => Some("run this again when nothing else moves it".into()),
            Self::NotRight { .. } => Some(
                "a daemon that sets it, or tsq-adjtime without \"wait\", brings it there".into(),
            ),
            Self::Unanswered => None,
        }
    }
}
