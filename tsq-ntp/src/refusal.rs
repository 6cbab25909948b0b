use std::fmt;
use std::time::Duration;

use tsq_proto::time::Span;

/// Why an answer gave no sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Fewer than 48 bytes, or extension fields whose lengths do not add up.
    Malformed,
    /// Not version 4.
    Version {
        /// The version.
        version: u8,
    },
    /// Not a server's answer.
    Mode {
        /// The mode.
        mode: u8,
    },
    /// Its origin timestamp is not what we sent: an answer to something else, or a forgery.
    OriginMismatch,
    /// A kiss of death: the server asks us to go away.
    Kiss {
        /// `RATE`, `DENY`, `RSTR`...
        code: [u8; 4],
    },
    /// The server's clock is not synchronised.
    Unsynchronised {
        /// Its stratum.
        stratum: u8,
    },
    /// A timestamp is missing, or the server's clock was last set after it answered.
    NoTime,
    /// The server's own error makes it useless.
    RootDistance {
        /// Half its root delay and its root dispersion.
        distance: Duration,
        /// The most that is taken (RFC 5905, section 11.2: 16 s).
        limit: Duration,
    },
    /// The four timestamps cannot be right.
    Times(tsq_proto::Refusal),
    /// It is not protected by our keys, or does not repeat our unique identifier.
    NotAuthenticated,
    /// The server cannot read our cookie any more (NTS NAK).
    Nak,
}

impl Refusal {
    /// A stable name for programs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Version { .. } => "version",
            Self::Mode { .. } => "mode",
            Self::OriginMismatch => "nonce_mismatch",
            Self::Kiss { .. } => "kiss_of_death",
            Self::Unsynchronised { .. } => "unsynchronised",
            Self::NoTime => "no_time",
            Self::RootDistance { .. } => "root_distance",
            Self::Times(refusal) => refusal.name(),
            Self::NotAuthenticated => "not_authenticated",
            Self::Nak => "nts_nak",
        }
    }

    /// Whether anybody could have sent it, so that the right answer may still come.
    pub(crate) fn may_be_forged(&self) -> bool {
        matches!(
            self,
            Self::Malformed
                | Self::Version { .. }
                | Self::Mode { .. }
                | Self::OriginMismatch
                | Self::NotAuthenticated
                | Self::Nak
        )
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the answer is no NTP packet"),
            Self::Version { version } => write!(f, "NTP version {version}, not 4"),
            Self::Mode { mode } => write!(f, "NTP mode {mode}, not 4 (server)"),
            Self::OriginMismatch => f.write_str(
                "the origin timestamp is not the one sent: an answer to another query, or forged",
            ),
            Self::Kiss { code } => write!(f, "kiss of death {}: {}", ascii(*code), meaning(*code)),
            Self::Unsynchronised { stratum } => write!(
                f,
                "the server says that its clock is not synchronised (stratum {stratum})"
            ),
            Self::NoTime => f.write_str("a timestamp is missing or from the future"),
            Self::RootDistance { distance, limit } => write!(
                f,
                "the server's own error is up to {}, limit {}",
                Span(*distance),
                Span(*limit)
            ),
            Self::Times(refusal) => refusal.fmt(f),
            Self::NotAuthenticated => f.write_str("the answer is not protected by our keys"),
            Self::Nak => f.write_str("the server cannot read our cookie (NTS NAK)"),
        }
    }
}

/// Printable letters only: it comes from the network and may go to a terminal.
fn ascii(code: [u8; 4]) -> String {
    code.iter()
        .map(|&byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte)
            } else {
                '?'
            }
        })
        .collect()
}

fn meaning(code: [u8; 4]) -> &'static str {
    match &code {
        b"RATE" => "we ask too often",
        b"DENY" | b"RSTR" => "the server does not serve us",
        _ => "the server gives no time",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_a_kiss_does_not_reach_the_terminal_raw() {
        let kiss = |code: &[u8; 4]| Refusal::Kiss { code: *code }.to_string();
        assert!(kiss(b"RATE").contains("RATE: we ask too often"));
        assert!(kiss(b"\x1b[2J").contains("??2J"));
    }
}
