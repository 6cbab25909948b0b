//! A client that asks once and ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tsq_interop::faketime;

use super::clients::Style;
use super::{End, Finished, Protocol, child};
use crate::{Error, no_clock};

/// A program with the options it is measured with.
#[derive(Clone, Debug)]
pub struct OneShot {
    /// What the tables call it, such as "chronyd -Q, NTS, iburst".
    pub name: String,
    /// Whether it is ours.
    pub ours: bool,
    /// What it speaks.
    pub protocol: Protocol,
    /// Servers it can ask in one run.
    pub most_servers: usize,
    /// How long it takes when all goes well and the servers are near, roughly: slow programs are run less often.
    pub usual: Duration,
    /// What it keeps from run to run, which makes later ones cheaper.
    pub(super) kept: Option<Arc<TempDir>>,
    pub(super) program: Result<PathBuf, String>,
    pub(super) style: Style,
}

impl OneShot {
    /// Why it cannot run here; None when it can.
    #[must_use]
    pub fn missing(&self) -> Option<&str> {
        self.program.as_ref().err().map(String::as_str)
    }

    /// Whether it can be shown another clock: one whose every timestamp is the kernel's cannot.
    #[must_use]
    pub fn reads_the_clock(&self) -> bool {
        self.style != Style::NtpdRs
    }

    /// The same program with a folder for what makes later runs cheaper; None where it has nothing of the kind, or
    /// there is no room for a folder.
    #[must_use]
    pub fn with_memory(&self) -> Option<Self> {
        if !self.style.can_keep() {
            return None;
        }
        Some(Self {
            name: format!("{}, kept cookies", self.name),
            kept: Some(Arc::new(tempfile::tempdir().ok()?)),
            ..self.clone()
        })
    }

    /// Whether it is of [`Self::with_memory`]: its first run only fills the folder.
    #[must_use]
    pub fn has_memory(&self) -> bool {
        self.kept.is_some()
    }

    /// Runs it once, to its end: it asks these servers, and cannot set the clock.
    ///
    /// With a `shift`, such as `-31536000s`, it sees a clock that is off by that; the kernel's timestamps, which some
    /// programs look at, are of the true clock all the same.
    ///
    /// # Errors
    /// It is not installed, cannot be started, or does not end within half a minute. That it found no time is no error:
    /// then [`Run::answer`] is None.
    pub fn run(&self, servers: &[End], shift: Option<&str>) -> Result<Run, Error> {
        self.run_within(LIMIT, servers, shift)
    }

    /// The same for who has another patience than half a minute.
    ///
    /// # Errors
    /// As [`Self::run`], but for the limit.
    pub fn run_within(
        &self,
        limit: Duration,
        servers: &[End],
        shift: Option<&str>,
    ) -> Result<Run, Error> {
        let program = self.program.as_ref().map_err(Clone::clone)?;
        let servers = &servers[..servers.len().min(self.most_servers)];
        let folder = tempfile::tempdir()?;
        let kept = self.kept.as_ref().map(|kept| kept.path());
        let mut command = self.style.command(program, servers, folder.path(), kept)?;
        if let Some(shift) = shift {
            command = faketime(command, shift);
        }
        let begun = SystemTime::now();
        // Ours never sets it with --dry-run; and it reads the state of the clock, which a confined program cannot.
        let finished = if self.ours {
            child::run(command, limit)?
        } else {
            no_clock::guarded(move || child::run(command, limit).map_err(|e| e.to_string()))??
        };
        let answer = self.style.answer(&finished, begun);
        Ok(Run { answer, finished })
    }
}

/// What one run gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// None when it found no time, or says that it is not to be used.
    pub answer: Option<Answer>,
    /// Its time, exit code and words.
    pub finished: Finished,
}

/// What a program said of this machine's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// Microseconds the clock is behind (positive) or ahead; None when the program only says that it is not more than
    /// the bound.
    pub offset_us: Option<f64>,
    /// Microseconds that the program says the offset can be wrong by at most; None when it claims none.
    pub bound_us: Option<f64>,
}

/// The slowest client takes some 10 s; with half of its packets lost, more.
const LIMIT: Duration = Duration::from_secs(30);
