//! A whole run: every section, one after the other, and what people read made from them.
//!
//! A section that fails is a section that says why, and the run goes on. `results.json` is written after each one,
//! so that a run that is killed leaves what it had.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::builder::PossibleValuesParser;
use time::OffsetDateTime;

use crate::effort::Effort;
use crate::interrupt::Interrupt;
use crate::peers::{self, Tools};
use crate::results::{Measured, Results};
use crate::section::Section;
use crate::sections::{Entry, SECTIONS};
use crate::{Conditions, Error, load_average, render};

/// Options of `all`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where results.json and what is made from it go; sections there that are not measured now are kept
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// Write the short table into this README, too
    #[arg(long, value_name = "FILE")]
    pub readme: Option<PathBuf>,
    /// Three minutes instead of fifteen: every cell filled, few rounds
    #[arg(long)]
    pub quick: bool,
    /// Only these sections
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = section_ids())]
    pub only: Vec<String>,
    /// All but these sections
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = section_ids())]
    pub skip: Vec<String>,
}

fn section_ids() -> PossibleValuesParser {
    PossibleValuesParser::new(SECTIONS.iter().map(|entry| entry.id))
}

/// How a run ended. Its results are in the folder in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every section was measured.
    Whole,
    /// So many sections could not be measured.
    Failures(usize),
    /// A signal ended it.
    Interrupted,
}

impl Outcome {
    /// 0 when all is there, 1 when a section failed, 130 after a signal.
    #[must_use]
    pub fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Whole => 0,
            Self::Failures(_) => 1,
            Self::Interrupted => 130,
        })
    }
}

/// Measures the sections that `options` name, and says on standard error how far it is.
///
/// # Errors
/// The folder cannot be written, or what is in it is not ours. A section that fails is no error: see [`Outcome`].
pub fn run(options: &Options) -> Result<Outcome, Error> {
    let interrupt = Interrupt::note()?;
    fs::create_dir_all(&options.out)
        .map_err(|error| format!("making {}: {error}", options.out.display()))?;
    let file = options.out.join("results.json");
    let mut results = match file.exists() {
        true => Results::read(&file)?,
        false => Results::default(),
    };
    results.command = command_line();
    results.programs = programs();
    let wanted: Vec<&Entry> = SECTIONS.iter().filter(|e| wants(options, e.id)).collect();
    let mut budget = Budget::new(options.quick, &wanted);
    let mut failures = 0;
    for (at, entry) in wanted.iter().enumerate() {
        let effort = budget.next(entry.share);
        let title = entry.title;
        eprintln!(
            "[{}/{}] {title} (up to {} s)",
            at + 1,
            wanted.len(),
            effort.time.as_secs()
        );
        let measured = measure(entry, &effort);
        match &measured.failure {
            // What it had before is better than that it was interrupted.
            Some(_) if interrupt.came() => break,
            Some(reason) => {
                failures += 1;
                eprintln!("      failed after {:.0} s: {reason}", measured.seconds);
                if results.has_figures(entry.id) {
                    eprintln!("      the figures of an earlier run stay");
                    continue;
                }
            }
            None => eprintln!("      {:.0} s", measured.seconds),
        }
        results.put(measured);
        results.in_order(&SECTIONS.iter().map(|entry| entry.id).collect::<Vec<_>>());
        results.write(&file)?;
        if interrupt.came() {
            break;
        }
    }
    if interrupt.came() {
        eprintln!("interrupted: the sections that were not measured are left as they were");
    }
    if file.exists() {
        render::files(&file, &options.out, options.readme.as_deref())?;
        println!("{}", render::short_verdicts(&results));
        println!("results: {}", options.out.join("results.html").display());
    }
    Ok(match failures {
        _ if interrupt.came() => Outcome::Interrupted,
        0 => Outcome::Whole,
        _ => Outcome::Failures(failures),
    })
}

fn wants(options: &Options, id: &str) -> bool {
    let listed = |ids: &[String]| ids.iter().any(|listed| listed == id);
    (options.only.is_empty() || listed(&options.only)) && !listed(&options.skip)
}

fn measure(entry: &Entry, effort: &Effort) -> Measured {
    let load_before = load_average();
    let conditions = Conditions::now();
    let begun = now();
    let start = Instant::now();
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| (entry.measure)(effort)));
    let seconds = start.elapsed().as_secs_f64();
    let outcome = match outcome {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        // The helpers of our tests panic where a program does not start.
        Err(panic) => Err(said(panic.as_ref())),
    };
    let (section, failure) = match outcome {
        Ok(section) => (section, None),
        Err(reason) => (nothing(entry, conditions), Some(reason)),
    };
    Measured {
        begun,
        seconds: (seconds * 10.0).round() / 10.0,
        quick: effort.quick,
        commit: commit(),
        load_before,
        load_after: load_average(),
        failure,
        section,
    }
}

fn nothing(entry: &Entry, conditions: Conditions) -> Section {
    Section {
        id: entry.id.into(),
        title: entry.title.into(),
        question: String::new(),
        command: format!("tsq-bench all --only {}", entry.id),
        conditions,
        figures: Vec::new(),
        rows: Vec::new(),
        notes: Vec::new(),
    }
}

/// The first line of what a panic said; the whole is on standard error.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    let line = text.and_then(|text| text.lines().next());
    line.unwrap_or("panicked without a word").into()
}

/// Shares out the time of a run; what a section leaves over goes to no other, so that runs can be compared, but one
/// that takes too long takes some from those after it.
struct Budget {
    quick: bool,
    whole: Duration,
    end: Instant,
    shares_left: u32,
    shares: u32,
}

/// Of all sections together. The rest of the twenty and three minutes builds and installs.
const FULL: Duration = Duration::from_secs(15 * 60);
const QUICK: Duration = Duration::from_secs(150);

/// However late a run is, a section has this part of its time: with less it would measure nothing.
const LEAST: u32 = 3;

impl Budget {
    /// A run of some sections gives each what it has in a whole run.
    fn new(quick: bool, wanted: &[&Entry]) -> Self {
        let sum = |shares: &mut dyn Iterator<Item = u32>| shares.sum::<u32>().max(1);
        let shares = sum(&mut wanted.iter().map(|entry| entry.share));
        let all = sum(&mut SECTIONS.iter().map(|entry| entry.share));
        let whole = if quick { QUICK } else { FULL } * shares / all;
        Self {
            quick,
            whole,
            end: Instant::now() + whole,
            shares_left: shares,
            shares,
        }
    }

    fn next(&mut self, share: u32) -> Effort {
        let fair = self.whole * share / self.shares;
        let left = self.end.saturating_duration_since(Instant::now());
        let rest = left * share / self.shares_left.max(1);
        self.shares_left = self.shares_left.saturating_sub(share);
        Effort {
            time: rest.clamp(fair / LEAST, fair),
            quick: self.quick,
        }
    }
}

/// What is measured, with what it says of its version.
fn programs() -> BTreeMap<String, String> {
    let theirs = peers::versions(&Tools::from_env()).into_iter();
    let theirs = theirs.map(|(name, version)| (name.to_owned(), version));
    let ours = ("TSQ".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    theirs.chain([ours]).collect()
}

/// To the minute, in UTC.
fn now() -> String {
    let now = OffsetDateTime::now_utc();
    format!("{} {:02}:{:02} UTC", now.date(), now.hour(), now.minute())
}

/// As it was typed, but for the folder of the program.
fn command_line() -> String {
    let words = std::env::args().skip(1);
    std::iter::once("tsq-bench".into())
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=10", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(commit + if changed.is_empty() { "" } else { "+" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(share: u32, measure: fn(&Effort) -> Result<Section, Error>) -> Entry {
        Entry {
            id: "x",
            title: "X",
            share,
            measure,
        }
    }

    const EFFORT: Effort = Effort {
        time: Duration::ZERO,
        quick: true,
    };

    #[test]
    fn section_that_fails_says_why() {
        let measured = measure(&entry(1, |_| Err("no ip program".into())), &EFFORT);
        assert_eq!(measured.failure.as_deref(), Some("no ip program"));
        assert_eq!(measured.section.id, "x");
        assert!(measured.section.rows.is_empty());
    }

    #[test]
    fn section_that_panics_is_one_that_fails() {
        let measured = measure(&entry(1, |_| panic!("first\nsecond")), &EFFORT);
        assert_eq!(measured.failure.as_deref(), Some("first"));
    }

    #[test]
    fn section_gets_its_share_and_no_more() {
        let (one, three) = (entry(1, |_| Err("".into())), entry(3, |_| Err("".into())));
        let mut budget = Budget::new(true, &[&one, &three]);
        let whole = budget.whole;
        let first = budget.next(one.share).time;
        assert!(first <= whole / 4, "{first:?} of {whole:?}");
        // Nothing was spent: what is left over goes to no other.
        let second = budget.next(three.share).time;
        assert!(second <= whole * 3 / 4, "{second:?} of {whole:?}");
    }

    #[test]
    fn section_that_overran_takes_some_from_those_after_it() {
        let (one, two) = (entry(1, |_| Err("".into())), entry(1, |_| Err("".into())));
        let mut budget = Budget::new(false, &[&one, &two]);
        budget.next(one.share);
        budget.end = Instant::now();
        assert_eq!(budget.next(two.share).time, budget.whole / 2 / LEAST);
    }
}
