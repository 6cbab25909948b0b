//! Everything a run found out and did.

use std::fmt;
use std::time::Duration;

use tsq_algo::Combined;
use tsq_client::SourceReport;
use tsq_clock::{Disturbance, StateError};
use tsq_net::KernelClock;

use crate::action::Action;
use crate::advice::{Advice, Reason};
use crate::judged::Judged;
use crate::receipt::{Aside, Unsafe, WriteError};
use crate::remaining::Unexplained;
use crate::uncounted::Uncounted;
use crate::verdict::NoResult;

/// The whole run.
#[derive(Debug)]
pub struct Outcome {
    /// What the servers said.
    pub sources: Vec<SourceReport>,
    /// What follows from it.
    pub judged: Judged,
    /// What was done.
    pub action: Action,
    /// What was left after that.
    pub remaining: Option<Remaining>,
    /// Whether the clock was to be left alone.
    pub dry_run: bool,
    /// How long the run took.
    pub elapsed: Duration,
    /// What an operator should know, though the run went on.
    pub warnings: Vec<Warning>,
    /// What went wrong after the decision: then the run has failed, whatever it did.
    pub problems: Vec<Problem>,
    /// Only of the self-test.
    pub self_test: Option<SelfTest>,
}

/// What a second measurement found after adjusting.
#[derive(Clone, Debug)]
pub struct Remaining {
    /// The offset that is left, and its bound; or why there is none.
    pub measured: Result<Combined, NoResult>,
}

/// This host's own timestamping error: the true offset of a self-test is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelfTest {
    /// Whether the kernel's stamps can be used.
    pub kernel: KernelClock,
    /// The median of the offsets' sizes.
    pub median: Option<Duration>,
    /// The largest.
    pub worst: Option<Duration>,
}

/// What an operator should know, though the run went on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Warning {
    /// Programs that steer a clock run here and get no time themselves: their names.
    Daemon(Vec<&'static str>),
    /// Nothing is kept from run to run, and nobody asked for it.
    NothingKept(StateError),
    /// A broken file of receipts was moved aside.
    Aside(Aside),
    /// Receipts raise no floor.
    Unsafe(Unsafe),
}

/// What went wrong after the decision.
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem {
    /// The clock is not where the adjustment should have brought it.
    NotTaken(Unexplained),
    /// Something came over it after it was adjusted.
    Disturbed(Disturbance),
    /// No receipt could be kept.
    Receipt(WriteError),
    /// Nothing could be kept for the next run.
    State(StateError),
}

impl Outcome {
    /// Round trips to the result, as far as they had to follow each other.
    pub fn round_trips(&self) -> u32 {
        let used = |index: &usize| self.judged.estimates[*index].is_some();
        (0..self.sources.len())
            .filter(used)
            .map(|i| self.sources[i].round_trips)
            .max()
            .unwrap_or(0)
    }

    /// The servers that were named and did not count, where there is a result.
    pub fn uncounted(&self) -> Option<Uncounted> {
        Uncounted::of(&self.sources, &self.judged)
    }

    /// Whether nothing went wrong: the clock was adjusted, or needed nothing.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty() && !matches!(self.action, Action::Refused { .. })
    }
}

impl SelfTest {
    /// A stable name for programs.
    pub fn kernel_name(&self) -> &'static str {
        match self.kernel {
            KernelClock::Agrees => "work",
            KernelClock::Differs => "other_clock",
            KernelClock::NoStamps => "none",
            KernelClock::Untested => "untested",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daemon(programs) => write!(
                f,
                "{} runs here, though the kernel says that nobody keeps the clock: should it begin to, the two undo each other's work",
                programs.join(" and ")
            ),
            Self::NothingKept(error) => write!(
                f,
                "nothing keeps two runs apart, and no verified time is kept: {error}"
            ),
            Self::Aside(aside) => aside.fmt(f),
            Self::Unsafe(file) => file.fmt(f),
        }
    }
}

impl Reason for Warning {
    fn hint(&self) -> Option<Advice> {
        match self {
            Self::NothingKept(_) => Some("{state-dir} names another folder".into()),
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTaken(unexplained) => unexplained.fmt(f),
            Self::Disturbed(disturbance) => {
                write!(f, "the clock was adjusted, and then {disturbance}")
            }
            Self::Receipt(error) => error.fmt(f),
            Self::State(error) => {
                write!(f, "the clock is adjusted, and that cannot be kept: {error}")
            }
        }
    }
}
