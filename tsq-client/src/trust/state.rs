//! How far this host's idea of the time can be trusted.

use std::fmt;

/// How far this host's idea of the time can be trusted; each state is worth more than those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrustState {
    /// The clock is certainly wrong: it shows a moment before the [`Floor`](super::Floor).
    Unknown,
    /// The clock is not before the floor. Nobody has vouched for more.
    Floor,
    /// Servers agree on a time, but not enough of them, or outside what their certificates allow.
    Tentative,
    /// Enough servers agree on a time, and every certificate used is valid at that time.
    Verified,
}

impl TrustState {
    /// `unknown`, `floor`, `tentative` or `verified`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Floor => "floor",
            Self::Tentative => "tentative",
            Self::Verified => "verified",
        }
    }
}

impl fmt::Display for TrustState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
