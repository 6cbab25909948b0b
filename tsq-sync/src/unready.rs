//! Why a run cannot begin.

use std::fmt;
use std::io;
use std::path::PathBuf;

use tsq_clock::{BudgetError, ClockError, LockError, StateError};

use crate::advice::{Advice, Reason};
use crate::receipt::WriteError;

/// A run cannot begin: nothing was sent, and nothing set.
#[derive(Debug)]
#[non_exhaustive]
pub enum Unready {
    /// This process may not set the clock.
    Clock(ClockError),
    /// Other programs keep the clock: their names.
    Kept(Vec<&'static str>),
    /// The clock is before 1970, which the TLS library takes for impossible.
    BeforeEpoch,
    /// Another run has the clock.
    Held {
        /// The file that keeps two runs apart.
        lock: PathBuf,
        /// Who has it.
        error: LockError,
    },
    /// What is kept from run to run cannot be used, and a limit relies on it.
    State(StateError),
    /// The account of the steps made cannot be used.
    Budget(BudgetError),
    /// No receipt could be kept.
    Receipt(WriteError),
    /// The system fails us.
    System(io::Error),
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clock(error) => error.fmt(f),
            Self::Kept(programs) => write!(
                f,
                "{} keeps this clock, and two programs undo each other's work",
                programs.join(" and ")
            ),
            Self::BeforeEpoch => f.write_str("this host's clock is before 1970"),
            Self::Held { lock, error } => write!(
                f,
                "another run is setting this clock and is not done ({}: {error}); nothing was measured",
                lock.display()
            ),
            Self::State(error) => write!(f, "the state folder cannot be used: {error}"),
            Self::Budget(error) => {
                write!(f, "the steps of the last days cannot be counted: {error}")
            }
            Self::Receipt(error) => error.fmt(f),
            Self::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Unready {}

impl Reason for Unready {
    fn hint(&self) -> Option<Advice> {
        match self {
            Self::Clock(error) => error.hint(),
            Self::Kept(programs) => programs.first().map(|first| {
                let first = format!("stop it (systemctl stop {first}), or give ");
                (first + "{dry-run} to look, or {beside-daemon} to set it all the same").into()
            }),
            Self::BeforeEpoch => Some("set it by hand to about the right date first".into()),
            _ => None,
        }
    }
}

impl From<io::Error> for Unready {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}
