use std::fmt;
use std::io;
use std::path::PathBuf;

use tsq_proto::words::Foreign;

/// Why a key file cannot be used. Never shows a secret.
#[derive(Debug)]
pub struct Error {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a key file.
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem {
    /// It is missing, may not be opened, or is not text.
    Unreadable(io::Error),
    /// It is longer than any key file.
    TooLong {
        /// The longest file that is read, in bytes.
        limit: u64,
    },
    /// It holds a secret that group or others may get at.
    Permissions {
        /// The file's permission bits.
        mode: u32,
    },
    /// It is not TOML, or a field is missing, unknown or of the wrong type.
    Malformed {
        /// The line, from 1.
        line: usize,
        /// The parser's reason.
        reason: String,
    },
    /// It names an algorithm this version does not know.
    UnknownAlgorithm {
        /// The name.
        name: String,
    },
    /// A key holds something else than hexadecimal digits.
    NotHex {
        /// The field: `secret` or `public`.
        field: &'static str,
        /// Which character is the first other one, from 1.
        at: usize,
    },
    /// A key has another length than 64 hexadecimal digits.
    WrongLength {
        /// The field: `secret` or `public`.
        field: &'static str,
        /// The characters it has.
        len: usize,
    },
    /// `valid_from` is not an RFC 3339 moment between the years 1678 and 2261.
    BadValidFrom {
        /// What it is.
        text: String,
    },
    /// Its fields contradict each other.
    Contradictory(&'static str),
    /// It is a public key, which cannot sign.
    CannotSign {
        /// The key's id.
        id: u32,
    },
    /// It is an Ed25519 secret where the public half is enough; secrets do not belong on clients.
    SecretNotNeeded {
        /// The key's id.
        id: u32,
    },
    /// Another file of the set has the same key id.
    DuplicateId {
        /// The id.
        id: u32,
        /// The file that had it first.
        first: PathBuf,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key file {}: {}", self.path.display(), self.problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(source) => write!(f, "cannot be read: {source}"),
            Self::TooLong { limit } => write!(f, "is longer than {limit} bytes"),
            Self::Permissions { mode } => write!(
                f,
                "holds a secret that others may read or change (mode {mode:04o}); run chmod 600 on it"
            ),
            Self::Malformed { line, reason } => write!(f, "line {line}: {}", Foreign(reason)),
            Self::UnknownAlgorithm { name } => write!(
                f,
                "unknown algorithm {name:?}; there are ed25519 and hmac-sha256"
            ),
            Self::NotHex { field, at } => {
                write!(f, "character {at} of {field} is not a hexadecimal digit")
            }
            Self::WrongLength { field, len } => {
                write!(f, "{field} has {len} hexadecimal digits instead of 64")
            }
            Self::BadValidFrom { text } => write!(
                f,
                "valid_from {text:?} is not a moment such as \"2026-11-20T00:00:00Z\", years 1678 to 2261"
            ),
            Self::Contradictory(reason) => f.write_str(reason),
            Self::CannotSign { id } => write!(
                f,
                "key {id} is public and cannot sign; name the private file"
            ),
            Self::SecretNotNeeded { id } => write!(
                f,
                "key {id} is secret, and its public half verifies; name the .pub file"
            ),
            Self::DuplicateId { id, first } => {
                write!(f, "key id {id} is also that of {}", first.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Unreadable(source) => Some(source),
            _ => None,
        }
    }
}

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operating system gave no random bytes")
    }
}

impl std::error::Error for NoRandomness {}
