//! What can be said of this host and of each server, in words, and what to do about it.

mod advice;
mod host;
mod server;
mod trust;

use crate::advice::Advice;
use crate::outcome::Outcome;

pub use advice::of_rtc;
pub use trust::waited;

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `host`, or the server as the user named it.
    pub subject: String,
    /// Whether it keeps the clock from being set right.
    pub level: Level,
    /// A stable name for programs.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub text: String,
    /// What to do about it.
    pub fix: Option<Advice>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// It keeps the clock from being set right.
    Problem,
}

impl Level {
    /// A stable name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Problem => "problem",
        }
    }
}

impl Finding {
    fn ok(subject: &str, name: &'static str, text: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            level: Level::Ok,
            name,
            text: text.into(),
            fix: None,
        }
    }

    /// What is not as it should be comes with what to do about it: there is no other way to make one.
    fn note(
        subject: &str,
        name: &'static str,
        text: impl Into<String>,
        fix: impl Into<Advice>,
    ) -> Self {
        Self {
            level: Level::Note,
            fix: Some(fix.into()),
            ..Self::ok(subject, name, text)
        }
    }

    /// As [`Self::note`].
    fn problem(
        subject: &str,
        name: &'static str,
        text: impl Into<String>,
        fix: impl Into<Advice>,
    ) -> Self {
        Self {
            level: Level::Problem,
            ..Self::note(subject, name, text, fix)
        }
    }
}

/// Looks at this host, and at what `outcome` says of the servers, if any were asked.
pub fn all(outcome: Option<&Outcome>) -> Vec<Finding> {
    let mut findings = host::findings(outcome);
    if let Some(outcome) = outcome {
        findings.extend(trust::findings(outcome));
        findings.extend(server::findings(outcome));
    }
    findings
}
