//! How a command ends: its exit code, and the line on standard error that every code but 0 has.

use std::io::{self, Write};

use tsq_command::output;
use tsq_sync::{Outcome, Reason, Unready};
use tsq_view::why;

use crate::exit::Exit;
use crate::shown::{self, OPTIONS};

/// How a command ends. Of an end that is not good there is none without a reason, so none is silent: who reads the code alone,
/// as a timer's mail or a log, finds the reason beside it, whatever was printed on standard output and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    exit: Exit,
    why: Option<String>,
}

impl Ended {
    /// With 0.
    pub fn well() -> Self {
        Self {
            exit: Exit::Done,
            why: None,
        }
    }

    /// With this code, for this reason; with 0 nobody needs one.
    pub fn with(exit: Exit, why: impl Into<String>) -> Self {
        match exit {
            Exit::Done => Self::well(),
            exit => Self {
                exit,
                why: Some(why.into()),
            },
        }
    }

    /// As a run that came to `outcome` does.
    pub fn of(outcome: &Outcome) -> Self {
        let why = why(outcome, shown::view(false)).unwrap_or_default();
        Self::with(Exit::of(outcome), why)
    }

    /// Says why on standard error, in one line, unless all is well; the process's exit code.
    pub fn tell(result: Result<Self, Unusable>) -> u8 {
        let Self { exit, why } = result.unwrap_or_else(Self::from);
        if let Some(why) = why {
            // Only the failure to write this very line could follow, and there is nobody to tell.
            let _ = writeln!(io::stderr(), "tsq-adjtime: {why}");
        }
        exit.code()
    }
}

/// The run cannot begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// How the process ends.
    pub exit: Exit,
    /// Why, in one line.
    pub problem: String,
}

impl From<Unready> for Unusable {
    fn from(unready: Unready) -> Self {
        Self {
            exit: Exit::of_unready(&unready),
            problem: unready.told(OPTIONS),
        }
    }
}

impl From<Unusable> for Ended {
    fn from(unusable: Unusable) -> Self {
        Self {
            exit: unusable.exit,
            why: Some(unusable.problem),
        }
    }
}

/// Writes a result to standard output.
///
/// # Errors
/// [`Unusable`] with the system's reason.
pub fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Unusable> {
    output::print(write).map_err(internal)
}

/// The system fails us.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what map_err hands over"
)]
pub(crate) fn internal(error: io::Error) -> Unusable {
    Unusable {
        exit: Exit::Internal,
        problem: error.to_string(),
    }
}
