//! What was found: sentences for people, a ticket to paste where one asks for help, an object for programs.

use std::io::{self, Write};

use serde::Serialize;
use tsq_command::json::ascii;
use tsq_sync::findings::{Finding, Level};
use tsq_sync::{Advice, Outcome, Setting};

use crate::{View, table};

/// The program that looked, and where.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its name and version.
    pub program: &'static str,
    /// Its version alone.
    pub version: &'static str,
    /// The kernel's name and release.
    pub kernel: String,
}

/// A line for each finding, and one for what to do about it.
///
/// # Errors
/// Those of writing.
pub fn sentences(findings: &[Finding], view: View, out: &mut dyn Write) -> io::Result<()> {
    for finding in findings {
        writeln!(out, "{}: {}", finding.subject, finding.text)?;
        match &finding.fix {
            Some(fix) if finding.level != Level::Ok => {
                writeln!(out, "    -> {}", fix.text(view.spelling))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Everything that somebody who is asked for help will want to know.
///
/// # Errors
/// Those of writing.
pub fn ticket(
    findings: &[Finding],
    outcome: Option<&Outcome>,
    place: &Place,
    view: View,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "{} {}, {}", place.program, place.version, place.kernel)?;
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
    match outcome {
        Some(outcome) => table::print(outcome, view, out),
        None => Ok(()),
    }
}

#[derive(Serialize)]
struct Report<'a> {
    version: &'static str,
    kernel: &'a str,
    findings: Vec<Found<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u8>,
}

#[derive(Serialize)]
struct Found<'a> {
    subject: &'a str,
    level: &'static str,
    name: &'static str,
    text: &'a str,
    fix: Option<String>,
    settings: Vec<&'static str>,
}

/// One object; `schema/findings.schema.json` describes it.
///
/// # Errors
/// Those of writing.
pub fn json(
    findings: &[Finding],
    exit_code: Option<u8>,
    place: &Place,
    view: View,
    out: &mut dyn Write,
) -> io::Result<()> {
    let found = |finding| Found::of(finding, view);
    let report = Report {
        version: place.version,
        kernel: &place.kernel,
        findings: findings.iter().map(found).collect(),
        exit_code,
    };
    writeln!(out, "{}", ascii(&serde_json::to_string(&report)?))
}

impl<'a> Found<'a> {
    fn of(finding: &'a Finding, view: View) -> Self {
        let settings = finding.fix.iter().flat_map(Advice::settings);
        Self {
            subject: &finding.subject,
            level: finding.level.name(),
            name: finding.name,
            text: &finding.text,
            fix: finding.fix.as_ref().map(|fix| fix.text(view.spelling)),
            settings: settings.map(Setting::name).collect(),
        }
    }
}
