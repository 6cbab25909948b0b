use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{Access, access};

use super::watched::Watched;
use crate::certificate::CertificateError;

/// Files that are read together: when they change, and once a minute while they cannot be used, for what is in the
/// way (the rights to a file, the host's clock) shows in no file's date.
#[derive(Debug)]
pub(super) struct Files {
    watched: Watched,
    trouble: Option<Trouble>,
}

#[derive(Debug)]
struct Trouble {
    problem: String,
    told: Instant,
    again: Instant,
}

impl Files {
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        Self {
            watched: Watched::new(paths),
            trouble: None,
        }
    }

    /// Whether to read them.
    pub(super) fn are_due(&mut self, now: Instant) -> bool {
        let again = self.trouble.as_ref().is_some_and(|it| it.again <= now);
        self.watched.settled_change() || again
    }

    /// They are about to be read, as they are now.
    pub(super) fn begin(&mut self) {
        self.watched.read();
    }

    /// They could be used.
    pub(super) fn are_good(&mut self) {
        self.trouble = None;
    }

    /// They could not be used. Whether to say so: when it is news, and once a day.
    pub(super) fn are_bad(&mut self, now: Instant, problem: &str) -> bool {
        let told = self
            .trouble
            .as_ref()
            .filter(|it| it.problem == problem && now < it.told + super::DAY)
            .map(|it| it.told);
        self.trouble = Some(Trouble {
            problem: problem.into(),
            told: told.unwrap_or(now),
            again: now + AGAIN,
        });
        told.is_none()
    }
}

/// How soon files that could not be used are tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// How often files could not be used since the start; what was read before them stays in force meanwhile.
#[derive(Debug, Default)]
pub struct Failures {
    /// Certificates and their keys.
    pub certificates: FailedReads,
    /// Clients' authorities.
    pub client_ca: FailedReads,
    /// Keys that sign answers.
    pub signing_keys: FailedReads,
}

/// A number of failed attempts.
#[derive(Debug, Default)]
pub struct FailedReads(AtomicU64);

impl FailedReads {
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Until now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is wrong, with what to do where the system says no: to somebody who has given the right to read a file,
/// "permission denied" is a riddle.
pub(super) fn words(error: &CertificateError, sandbox: bool) -> String {
    match error {
        CertificateError::File { path, error: cause }
            if cause.kind() == io::ErrorKind::PermissionDenied =>
        {
            format!("{error}; {}", remedy(path, sandbox))
        }
        _ => error.to_string(),
    }
}

fn remedy(path: &Path, sandbox: bool) -> &'static str {
    // The kernel asks the file's mode here, and not the sandbox.
    if sandbox && access(path, Access::READ_OK).is_ok() {
        "its mode allows it, but this server's sandbox opened the folders that were there at its start, and the file \
         lies in another: restart the server (--no-sandbox confines nothing)"
    } else {
        "this server's user must be able to read the file and to enter its folders"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_when_it_is_news_and_once_a_day_and_tried_again_each_minute() {
        let mut files = Files::new(Vec::new());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!files.are_due(start));
        assert!(files.are_bad(start, "one"));
        assert!(!files.are_due(at(59)) && files.are_due(at(60)));
        assert!(!files.are_bad(at(60), "one"));
        assert!(!files.are_due(at(119)) && files.are_due(at(120)));
        assert!(files.are_bad(at(120), "another"));
        assert!(!files.are_bad(at(120 + 86_399), "another"));
        assert!(files.are_bad(at(120 + 86_400), "another"));
        files.are_good();
        assert!(!files.are_due(at(1_000_000)));
        assert!(files.are_bad(at(1_000_000), "another"), "it is news again");
    }
}
