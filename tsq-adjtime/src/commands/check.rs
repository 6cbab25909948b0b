//! `check`: would a run work here? With everything that somebody who is asked for help will want to know.

use std::time::Duration;

use tsq_sync::{findings, may_set};
use tsq_view::findings::{json as print_json, ticket};

use super::explain::ask;
use crate::args::Limits;
use crate::ended::{self, Ended, Unusable};
use crate::exit::Exit;
use crate::reach::Reach;
use crate::shown::{place, view};

/// Looks at this host and its servers; returns the exit code of a run that sets nothing.
///
/// # Errors
/// [`Unusable`]: a bad server, no roots, or the system fails us.
pub(super) fn run(
    servers: &[String],
    reach: &Reach,
    limits: &Limits,
    timeout: Duration,
    json: bool,
) -> Result<Ended, Unusable> {
    let outcome = ask(servers, reach, timeout, Some(limits))?;
    let code = outcome.as_ref().map_or(Exit::Done, Exit::of).code();
    let unready = may_set(false).err().map(Unusable::from);
    let findings = findings::all(outcome.as_ref());
    let (place, view) = (place(), view(true));
    ended::print(|out| {
        if json {
            return print_json(&findings, Some(code), &place, view, out);
        }
        ticket(&findings, outcome.as_ref(), &place, view, out)?;
        writeln!(out, "a dry run would end with exit code {code}")?;
        match &unready {
            Some(unready) => writeln!(
                out,
                "a run that sets the clock would end with exit code {}: {}",
                unready.exit.code(),
                unready.problem
            ),
            None => Ok(()),
        }
    })?;
    Ok(outcome.as_ref().map_or_else(Ended::well, Ended::of))
}
