//! The run: what `tsq-adjtime SERVER...` does.

use std::io::{self, Write};

use tsq_client::{Protocol, SourceReport};
use tsq_sync::{Action, Outcome, Reason};
use tsq_view::{json, table};

use crate::args::Args;
use crate::ended::{self, Ended, Unusable};
use crate::exit::Exit;
use crate::progress::Line;
use crate::settings::resolve;
use crate::shown::{OPTIONS, view};

/// Measures, adjusts and prints; returns how that ended.
///
/// # Errors
/// [`Unusable`]: bad options, or nothing may be set here, or the system fails us.
pub(super) fn run(args: &Args) -> Result<Ended, Unusable> {
    let settings = resolve(args)?;
    let mut line = Line::new(!args.json);
    let outcome = tsq_sync::synchronise(&settings, &mut |progress| line.show(progress))?;
    drop(line);
    if !(args.quiet && is_nothing_new(&outcome)) {
        print(&outcome, args.json, args.verbose)?;
    }
    let missing = outcome.uncounted().filter(|_| outcome.is_good());
    let missing = missing.map(|missing| missing.to_string());
    let warnings = outcome.warnings.iter().map(|warning| warning.told(OPTIONS));
    for line in missing.into_iter().chain(warnings) {
        // Nobody may be there to read it.
        let _ = writeln!(io::stderr(), "tsq-adjtime: {line}");
    }
    Ok(Ended::of(&outcome))
}

/// Whether a run is what every run should be: the clock was right or a little off, by the servers' TSQ.
fn is_nothing_new(outcome: &Outcome) -> bool {
    let by_tsq = |source: &SourceReport| source.protocol == Protocol::Tsq;
    let stepped = matches!(outcome.action, Action::Step { .. });
    outcome.is_good() && !stepped && outcome.sources.iter().all(by_tsq)
}

/// The table, or one JSON object.
///
/// # Errors
/// [`Unusable`] with the system's reason.
pub(super) fn print(outcome: &Outcome, json: bool, verbose: bool) -> Result<(), Unusable> {
    let view = view(verbose);
    ended::print(|out| match json {
        true => json::print(outcome, Exit::of(outcome).code(), view, out),
        false => table::print(outcome, view, out),
    })
}
