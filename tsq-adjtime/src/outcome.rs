//! Everything a run found out and did.

use std::time::Duration;

use tsq_algo::Combined;
use tsq_client::SourceReport;
use tsq_clock::ClockError;
use tsq_proto::Offset;

use crate::analysis::{Analysis, NoResult};
use crate::trust::TrustReport;

/// How a run ended: the process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Adjusted, or nothing to do.
    Done = 0,
    /// An error of ours or the system's.
    Internal = 1,
    /// The command line.
    Usage = 2,
    /// No usable answer.
    NoAnswer = 3,
    /// The servers disagree.
    NoAgreement = 4,
    /// The offset is past the limit.
    PastLimit = 5,
    /// The clock may not be set.
    NoPermission = 6,
    /// No answer that can be trusted: certificates refused, or a time that cannot be true.
    TrustRefused = 7,
    /// As [`Self::Done`], by servers that nothing authenticates.
    Unauthenticated = 8,
}

impl Exit {
    /// The code.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// What was done about the offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing needed doing.
    None {
        /// Why not.
        reason: String,
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
        reason: String,
    },
}

/// What a second measurement found after adjusting.
#[derive(Clone, Debug)]
pub struct Remaining {
    /// The offset that is left, and its bound; or why there is none.
    pub measured: Result<Combined, NoResult>,
}

/// The whole run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the servers said.
    pub sources: Vec<SourceReport>,
    /// What follows from it.
    pub analysis: Analysis,
    /// What was done.
    pub action: Action,
    /// What was left after that.
    pub remaining: Option<Remaining>,
    /// Whether the clock was to be left alone.
    pub dry_run: bool,
    /// How long the run took.
    pub elapsed: Duration,
    /// How the process ends.
    pub exit: Exit,
    /// What an operator should know, though the run went on: one line each, for standard error.
    pub warnings: Vec<String>,
    /// Why no receipt, or nothing for the next run, could be kept, although it was to be; or what is wrong with what
    /// was left.
    pub problem: Option<String>,
    /// How far the result can be trusted; None of a self-test, which asks nobody else.
    pub trust: Option<TrustReport>,
    /// Only of the self-test.
    pub self_test: Option<crate::self_test::Floor>,
}

impl Outcome {
    /// Round trips to the result, as far as they had to follow each other.
    pub fn round_trips(&self) -> u32 {
        let used = |index: &usize| self.analysis.estimates[*index].is_some();
        (0..self.sources.len())
            .filter(used)
            .map(|i| self.sources[i].round_trips)
            .max()
            .unwrap_or(0)
    }
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

    /// What could not be decided, or not be done.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self::Refused {
            reason: reason.into(),
        }
    }
}

/// The exit code of a clock that could not be set.
pub fn exit_of(error: &ClockError) -> Exit {
    match error {
        ClockError::NoPermission => Exit::NoPermission,
        ClockError::PastLimit { .. } | ClockError::PastBudget { .. } => Exit::PastLimit,
        _ => Exit::Internal,
    }
}
