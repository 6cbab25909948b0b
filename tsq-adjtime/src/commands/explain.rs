//! `explain`: what keeps this host from the right time, in sentences.

use std::time::Duration;

use tsq_sync::{Outcome, findings};
use tsq_view::findings::{json as print_json, sentences};

use super::measure;
use crate::args::Limits;
use crate::ended::{self, Ended, Unusable};
use crate::reach::Reach;
use crate::shown::{place, view};

/// Says in sentences what is found of this host and of each server; returns the exit code.
///
/// # Errors
/// [`Unusable`]: a bad server, no roots, or the system fails us.
pub(super) fn run(
    servers: &[String],
    reach: &Reach,
    timeout: Duration,
    json: bool,
) -> Result<Ended, Unusable> {
    let outcome = ask(servers, reach, timeout, None)?;
    let findings = findings::all(outcome.as_ref());
    let view = view(false);
    ended::print(|out| match json {
        true => print_json(&findings, None, &place(), view, out),
        false => sentences(&findings, view, out),
    })?;
    Ok(Ended::well())
}

/// What the servers say, if any are named.
pub(super) fn ask(
    servers: &[String],
    reach: &Reach,
    timeout: Duration,
    limits: Option<&Limits>,
) -> Result<Option<Outcome>, Unusable> {
    if servers.is_empty() {
        return Ok(None);
    }
    measure(servers, reach, timeout, limits).map(Some)
}
