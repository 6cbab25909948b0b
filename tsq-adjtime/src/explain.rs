//! `explain`: sentences; `check`: the same and the figures, to paste into a ticket.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use tsq_command::json::ascii;

use crate::ended::{self, Ended};
use crate::findings::{self, Finding, Level};
use crate::outcome::{Exit, Outcome};
use crate::reach::Reach;
use crate::settings::Unusable;
use crate::table;

/// Says in sentences what is found of this host and of each server; returns the exit code.
///
/// # Errors
/// [`Unusable`]: a bad server, no roots, or the system fails us.
pub fn explain(
    servers: &[String],
    reach: &Reach,
    timeout: Duration,
    json: bool,
) -> Result<Ended, Unusable> {
    let outcome = ask(servers, reach, timeout)?;
    let findings = findings::all(outcome.as_ref());
    ended::print(|out| match json {
        true => print_json(&findings, None, out),
        false => findings
            .iter()
            .try_for_each(|finding| sentence(finding, out)),
    })?;
    Ok(Ended::well())
}

/// A preflight: whether a real run would work, and everything that somebody who is asked for help
/// will want to know; returns the exit code of such a run.
///
/// # Errors
/// As [`explain`].
pub fn check(
    servers: &[String],
    reach: &Reach,
    timeout: Duration,
    json: bool,
) -> Result<Ended, Unusable> {
    let outcome = ask(servers, reach, timeout)?;
    let exit = outcome.as_ref().map_or(Exit::Done, |outcome| outcome.exit);
    let findings = findings::all(outcome.as_ref());
    ended::print(|out| match json {
        true => print_json(&findings, Some(exit), out),
        false => ticket(&findings, outcome.as_ref(), exit, out),
    })?;
    Ok(outcome.as_ref().map_or_else(Ended::well, Ended::of))
}

fn ask(servers: &[String], reach: &Reach, timeout: Duration) -> Result<Option<Outcome>, Unusable> {
    if servers.is_empty() {
        return Ok(None);
    }
    reach.measure(servers, timeout).map(Some)
}

fn sentence(finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}: {}", finding.subject, finding.text)?;
    match &finding.fix {
        Some(fix) if finding.level != Level::Ok => writeln!(out, "    -> {fix}"),
        _ => Ok(()),
    }
}

fn ticket(
    findings: &[Finding],
    outcome: Option<&Outcome>,
    exit: Exit,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "tsq-adjtime {}, {}", VERSION, kernel())?;
    for finding in findings {
        let mark = match finding.level {
            Level::Ok => "ok     ",
            Level::Note => "note   ",
            Level::Problem => "PROBLEM",
        };
        writeln!(
            out,
            "{mark}  {:24} {}: {}",
            finding.name, finding.subject, finding.text
        )?;
    }
    writeln!(out)?;
    if let Some(outcome) = outcome {
        table::print(outcome, true, out)?;
    }
    writeln!(out, "a run would end with exit code {}", exit.code())
}

#[derive(Serialize)]
struct Report<'a> {
    version: &'static str,
    kernel: String,
    findings: &'a [Finding],
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u8>,
}

fn print_json(findings: &[Finding], exit: Option<Exit>, out: &mut dyn Write) -> io::Result<()> {
    let report = Report {
        version: VERSION,
        kernel: kernel(),
        findings,
        exit_code: exit.map(Exit::code),
    };
    writeln!(out, "{}", ascii(&serde_json::to_string(&report)?))
}

fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {}", release.trim())
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
