//! What a server was asked by, and what came of the protocols that brought no answer.

use std::fmt;

use crate::failure::Failure;

/// What a server was asked by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// TSQ, by datagrams or streams.
    #[default]
    Tsq,
    /// Network Time Security (RFC 8915).
    Nts,
    /// Plain NTP (RFC 5905): nothing shows who answers.
    Ntp,
}

/// A rung that did not bear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What was tried.
    pub protocol: Protocol,
    /// Why it failed, in words.
    pub problem: String,
    /// The same for programs, where that tells more: why TSQ failed, or that a certificate was refused.
    pub failure: Option<Failure>,
}

impl Attempt {
    /// Whether somebody answered who is not the one asked for.
    pub fn is_refused(&self) -> bool {
        matches!(self.failure, Some(Failure::Trust { .. }))
    }

    /// Where a certificate is refused, somebody else may answer: by NTP nothing would show it.
    pub(crate) fn ntp_ruled_out() -> Self {
        Self {
            protocol: Protocol::Ntp,
            problem: "not believed where a certificate was refused".into(),
            failure: None,
        }
    }
}

impl Protocol {
    /// `tsq`, `nts` or `ntp`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tsq => "tsq",
            Self::Nts => "nts",
            Self::Ntp => "ntp",
        }
    }
}

/// As people write it.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tsq => "TSQ",
            Self::Nts => "NTS",
            Self::Ntp => "NTP",
        })
    }
}
