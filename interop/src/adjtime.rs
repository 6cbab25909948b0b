//! Our one-shot client as a child process.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::{Outcome, bin, faketime, run};

/// The `tsq-adjtime` program.
#[derive(Debug)]
pub struct Adjtime;

impl Adjtime {
    /// Runs it with these arguments to its end.
    ///
    /// Give `--dry-run` unless the run is meant to fail before it could touch the clock.
    ///
    /// # Panics
    /// When it is still running after 30 s; it is killed then.
    #[must_use]
    #[track_caller]
    pub fn run(args: &[&str]) -> Outcome {
        run(command(args), RUN_LIMIT)
    }

    /// Runs it as [`Self::run`] does, with a clock that is off by `shift`, as [`faketime`] takes it.
    ///
    /// # Panics
    /// As [`Self::run`].
    #[must_use]
    #[track_caller]
    pub fn run_at(shift: &str, args: &[&str]) -> Outcome {
        run(faketime(command(args), shift), RUN_LIMIT)
    }

    /// Runs it with `--dry-run --json` and these arguments.
    ///
    /// # Panics
    /// As [`Self::run`], and when its output is not one JSON value.
    #[must_use]
    #[track_caller]
    pub fn dry_run(args: &[&str]) -> Report {
        Report::of(Self::run(&[DRY, args].concat()))
    }

    /// Runs it as [`Self::dry_run`] does, with a clock that is off by `shift`, as [`faketime`]
    /// takes it.
    ///
    /// # Panics
    /// As [`Self::dry_run`].
    #[must_use]
    #[track_caller]
    pub fn dry_run_at(shift: &str, args: &[&str]) -> Report {
        Report::of(Self::run_at(shift, &[DRY, args].concat()))
    }
}

const DRY: &[&str] = &["--dry-run", "--json"];

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(bin("tsq-adjtime"));
    command.args(args);
    command
}

/// What a run said in JSON. Fields that are not there read as [`Value::Null`].
#[derive(Clone, Debug)]
pub struct Report {
    /// The run itself.
    pub outcome: Outcome,
    /// The object it printed.
    pub json: Value,
}

impl Report {
    /// Reads what a run with `--json` printed.
    ///
    /// # Panics
    /// When that is not one JSON value.
    #[must_use]
    #[track_caller]
    pub fn of(outcome: Outcome) -> Self {
        Self {
            json: outcome.json(),
            outcome,
        }
    }

    /// The combined offset, in milliseconds.
    #[must_use]
    pub fn offset_ms(&self) -> Option<f64> {
        Some(self.json["offset_ns"].as_f64()? / 1e6)
    }

    /// A field of a server's entry, counted from 0 in the order of the command line.
    #[must_use]
    pub fn source(&self, index: usize, field: &str) -> &Value {
        &self.json["sources"][index][field]
    }

    /// How many of a server's samples were accepted.
    #[must_use]
    pub fn accepted(&self, index: usize) -> usize {
        self.samples(index)
            .filter(|sample| sample["accepted"] == true)
            .count()
    }

    /// The reasons why a server's other samples were not accepted.
    #[must_use]
    pub fn reasons(&self, index: usize) -> Vec<&str> {
        self.samples(index)
            .filter_map(|sample| sample["reason"].as_str())
            .collect()
    }

    fn samples(&self, index: usize) -> impl Iterator<Item = &Value> {
        self.source(index, "samples")
            .as_array()
            .into_iter()
            .flatten()
    }
}

const RUN_LIMIT: Duration = Duration::from_secs(30);
