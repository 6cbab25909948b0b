//! What a clock is worth before anybody is asked, and how far what was learnt is to be believed.

use std::fmt;

use tsq_client::TrustState;
use tsq_client::trust::{Floor, date};
use tsq_clock::{ClockError, KernelState};
use tsq_proto::HostTime;

use crate::advice::{Advice, Reason};
use crate::words::seconds;

/// What is known before anybody is asked, and what it takes to learn more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What this host's clock is worth.
    pub clock: Standing,
    /// The latest moment that is certainly past.
    pub floor: Floor,
    /// So many servers with different public keys must agree before dates that waited are believed;
    /// or one whose key the user pinned.
    pub keys: usize,
}

/// What this host's clock is worth before anybody is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The kernel says that somebody keeps it.
    Synchronised,
    /// The kernel says that nobody does.
    Unsynchronised,
    /// It shows a moment before the floor.
    BelowFloor,
    /// The kernel's word cannot be had here, as in some containers.
    Unreadable,
}

/// How far the result can be trusted, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustReport {
    /// Before anybody was asked.
    pub before: TrustState,
    /// What the servers made of it.
    pub state: TrustState,
    /// What the clock was worth.
    pub clock: Standing,
    /// What is certainly past.
    pub floor: Floor,
    /// The time that the servers agree on, at the moment of the decision.
    pub agreed: Option<HostTime>,
    /// Different public keys behind it.
    pub keys: usize,
    /// Why the servers' time was not believed, where it was not for their certificates alone.
    pub refused: Option<Distrust>,
}

/// Why servers that agree are not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// Their time is certainly wrong.
    BelowFloor {
        /// The latest it can be, in seconds since 1970.
        agreed: u64,
        /// What is certainly past.
        floor: Floor,
    },
    /// Their certificates' dates waited, and too few of them agree.
    TooFewKeys {
        /// Different public keys that agree.
        have: usize,
        /// How many it takes.
        need: usize,
    },
}

impl Standing {
    /// What the `kernel` and `floor` say about a clock that shows `now`.
    pub fn of(now: HostTime, kernel: Result<KernelState, ClockError>, floor: Floor) -> Self {
        if now < floor.at {
            return Self::BelowFloor;
        }
        match kernel {
            Ok(state) if state.synchronised => Self::Synchronised,
            Ok(_) => Self::Unsynchronised,
            Err(_) => Self::Unreadable,
        }
    }

    /// A stable name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Synchronised => "synchronised",
            Self::Unsynchronised => "unsynchronised",
            Self::BelowFloor => "below_floor",
            Self::Unreadable => "unreadable",
        }
    }

    /// How far a time is trusted that such a clock shows.
    pub(crate) fn state(self) -> TrustState {
        match self {
            Self::BelowFloor => TrustState::Unknown,
            Self::Synchronised | Self::Unsynchronised | Self::Unreadable => TrustState::Floor,
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Synchronised => "kept, by the kernel's word",
            Self::Unsynchronised => "kept by nobody, by the kernel's word",
            Self::BelowFloor => "certainly slow",
            Self::Unreadable => "of unknown worth: the kernel's word cannot be had here",
        })
    }
}

impl Distrust {
    /// A stable name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::BelowFloor { .. } => "below_floor",
            Self::TooFewKeys { .. } => "too_few_keys",
        }
    }
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BelowFloor { agreed, floor } => write!(
                f,
                "the servers agree on {} at the latest, which is not after {} ({})",
                date(*agreed),
                date(seconds(floor.at)),
                floor.source
            ),
            Self::TooFewKeys { have, need } => write!(
                f,
                "by this host's clock their certificates are outside their dates, and of servers with different public keys only {have} agree where {need} are needed"
            ),
        }
    }
}

impl Reason for Distrust {
    fn hint(&self) -> Option<Advice> {
        match self {
            Self::BelowFloor { .. } => None,
            Self::TooFewKeys { .. } => {
                Some("name more servers, or the key of one with {pin}".into())
            }
        }
    }
}
