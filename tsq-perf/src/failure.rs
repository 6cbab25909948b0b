//! Why a run gave no result.

use std::fmt;

/// Why a run gave no result; the kind decides the exit code.
#[derive(Debug)]
pub enum Error {
    /// The words on the command line make no sense together.
    Usage(String),
    /// Nobody answered, or not as many connections as asked for came about.
    NoConnection(String),
    /// The server's certificate was refused.
    Trust(String),
    /// Everything else.
    Internal(String),
}

impl Error {
    /// The process's exit code; [`crate::args`] tells them all.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Internal(_) => 1,
            Self::Usage(_) => 2,
            Self::NoConnection(_) => 3,
            Self::Trust(_) => 7,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(words)
            | Self::NoConnection(words)
            | Self::Trust(words)
            | Self::Internal(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for Error {}

impl From<&str> for Error {
    fn from(words: &str) -> Self {
        Self::Internal(words.into())
    }
}

impl From<String> for Error {
    fn from(words: String) -> Self {
        Self::Internal(words)
    }
}

macro_rules! internal {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Error {
            fn from(error: $kind) -> Self {
                Self::Internal(error.to_string())
            }
        }
    )*};
}

internal!(
    std::io::Error,
    tsq_net::ConnectError,
    tsq_proto::EncodeError,
    rustls::Error
);
