//! What became of each server, and why there may be no offset.

use std::fmt;

use tsq_algo::NoSelection;
use tsq_client::Failure;

use crate::advice::{Advice, Reason};
use crate::standing::Distrust;

/// What became of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It gave samples, and this is what selection made of them.
    Judged(tsq_algo::Verdict),
    /// It is another name of a server that has its vote already.
    Duplicate {
        /// That server, as the user named it.
        of: String,
    },
    /// No usable sample.
    Failed(Failure),
}

/// Why there is no offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoResult {
    /// Nobody gave a usable answer.
    NoAnswer {
        /// Servers asked.
        servers: usize,
    },
    /// Nobody did, and a certificate was refused.
    TrustRefused {
        /// Servers asked.
        servers: usize,
        /// How many of them were refused for their certificates.
        refused: usize,
    },
    /// There are answers, and no use of them.
    NoSelection(NoSelection),
    /// Servers agree and are not believed.
    Distrusted(Distrust),
}

impl Verdict {
    /// A stable name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Judged(verdict) => verdict.name(),
            Self::Duplicate { .. } => "duplicate",
            Self::Failed(failure) => failure.name(),
        }
    }

    /// Whether it agrees with those that decide, and may be one of them.
    pub fn agrees(&self) -> bool {
        matches!(self, Self::Judged(verdict) if verdict.agrees())
    }

    /// Whether its offset is part of the result.
    pub fn is_used(&self) -> bool {
        matches!(self, Self::Judged(verdict) if verdict.is_combined())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Judged(verdict) => verdict.fmt(f),
            Self::Duplicate { of } => write!(f, "not used: the same server as {of}"),
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

impl Reason for Verdict {
    fn hint(&self) -> Option<Advice> {
        match self {
            Self::Failed(failure) => failure.hint(),
            Self::Judged(_) | Self::Duplicate { .. } => None,
        }
    }
}

impl fmt::Display for NoResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer { servers: 1 } => f.write_str("the server gave no usable answer"),
            Self::NoAnswer { servers } => {
                write!(f, "none of {servers} servers gave a usable answer")
            }
            Self::TrustRefused { servers: 1, .. } => {
                f.write_str("the server's certificate was refused")
            }
            Self::TrustRefused { servers, refused } => write!(
                f,
                "none of {servers} servers gave a usable answer; {refused} certificate{} refused",
                if *refused == 1 { " was" } else { "s were" }
            ),
            Self::NoSelection(none) => none.fmt(f),
            Self::Distrusted(distrust) => distrust.fmt(f),
        }
    }
}

impl Reason for NoResult {
    fn hint(&self) -> Option<Advice> {
        match self {
            Self::NoSelection(NoSelection::Unauthenticated { .. }) => {
                Some("{allow-ntp} lets plain NTP decide".into())
            }
            Self::NoSelection(NoSelection::NoneTrusted { .. }) => {
                Some("take {trust} away, and the others vote".into())
            }
            Self::NoSelection(NoSelection::TooFew { .. }) => {
                Some("name more servers, or lower {min-sources}".into())
            }
            Self::Distrusted(distrust) => distrust.hint(),
            _ => None,
        }
    }
}
