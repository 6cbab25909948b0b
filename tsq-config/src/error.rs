use std::fmt;
use std::io;
use std::path::PathBuf;

use tsq_proto::words::Foreign;

/// Why there are no options to run with.
#[derive(Debug)]
pub enum ConfigError {
    /// The command line is wrong, or asks for help.
    Flags(clap::Error),
    /// The file cannot be read.
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Something in the file is wrong.
    At {
        /// The file.
        path: PathBuf,
        /// Where.
        place: Place,
        /// What.
        problem: String,
    },
}

/// A place in a file, as editors count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

impl Place {
    /// Where byte `offset` of `text` stands.
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: 1 + before.matches('\n').count(),
            column: 1 + before[line_start..].chars().count(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flags(error) => error.fmt(f),
            Self::Unreadable { path, error } => {
                write!(f, "cannot read configuration {}: {error}", path.display())
            }
            Self::At {
                path,
                place: Place { line, column },
                problem,
            } => write!(
                f,
                "{}:{line}:{column}: {}",
                path.display(),
                Foreign(problem)
            ),
        }
    }
}

impl std::error::Error for ConfigError {}

impl From<clap::Error> for ConfigError {
    fn from(error: clap::Error) -> Self {
        Self::Flags(error)
    }
}
