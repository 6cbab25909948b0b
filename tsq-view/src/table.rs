//! The run as people read it.

use std::io::{self, Write};

use tsq_algo::{Combined, SourceEstimate};
use tsq_client::trust::TrustKind;
use tsq_client::{Protocol, SourceReport, Timestamps};
use tsq_net::KernelClock;
use tsq_proto::Offset;
use tsq_proto::words::Count;

use tsq_sync::findings::waited;
use tsq_sync::words::{bound_text, length, offset_text};
use tsq_sync::{Action, Outcome, Reason, SelfTest, TrustReport, Verdict};

use crate::View;

/// Prints the table of servers and a line with the result.
///
/// # Errors
/// Those of writing.
pub fn print(outcome: &Outcome, view: View, out: &mut dyn Write) -> io::Result<()> {
    let paint = Paint(view.colour);
    let width = outcome
        .sources
        .iter()
        .map(|source| label(outcome, source).len())
        .chain([6])
        .max()
        .unwrap_or(6);
    writeln!(
        out,
        "{}{:width$}  stratum  samples  {:>12}  {:>10}  {:>10}  {:16}  verdict{}",
        paint.bold(),
        "server",
        "offset",
        "delay",
        "bound",
        "stamps",
        paint.plain()
    )?;
    for (index, source) in outcome.sources.iter().enumerate() {
        let verdict = &outcome.judged.verdicts[index];
        let label = label(outcome, source);
        let row = row(source, &label, outcome.judged.estimates[index], width);
        writeln!(
            out,
            "{row}  {}{}{}{}",
            paint.verdict(verdict),
            verdict.told(view.spelling),
            detours(source),
            paint.plain()
        )?;
        if view.verbose {
            print_samples(outcome, index, out)?;
        }
    }
    writeln!(out)?;
    for line in conclusion(outcome, view) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// The server as the user named it; with its transport where it was asked by both, as in the self-test.
fn label(outcome: &Outcome, source: &SourceReport) -> String {
    let others = outcome
        .sources
        .iter()
        .filter(|other| other.server == source.server);
    match source.transport {
        Some(transport) if others.count() > 1 => format!("{} {}s", source.server, transport.name()),
        _ => source.server.clone(),
    }
}

fn row(
    source: &SourceReport,
    label: &str,
    estimate: Option<SourceEstimate>,
    width: usize,
) -> String {
    let stratum = source
        .accepted()
        .find_map(|answer| answer.sample.time_source)
        .map_or("-".to_string(), |(stratum, _)| stratum.to_string());
    let samples = format!("{}/{}", source.accepted().count(), source.asked);
    let dash = || "-".to_string();
    let offset = estimate.map_or_else(dash, |e| offset_text(e.offset));
    let delay = estimate.map_or_else(dash, |e| length(e.delay));
    let bound = estimate.map_or_else(dash, |e| format!("±{}", bound_text(e.bound)));
    let stamps = source.timestamps().map_or("-", Timestamps::name);
    format!(
        "{label:width$}  {stratum:>7}  {samples:>7}  {offset:>12}  {delay:>10}  {bound:>10}  {stamps:16}"
    )
}

/// What it was asked by, if not by TSQ, and what else was tried.
fn detours(source: &SourceReport) -> String {
    let mut words = match source.protocol {
        Protocol::Tsq if source.trust == TrustKind::Insecure => " [NOT AUTHENTICATED]".to_string(),
        Protocol::Tsq => String::new(),
        Protocol::Nts => " [by NTS]".to_string(),
        Protocol::Ntp => " [by NTP, NOT AUTHENTICATED]".to_string(),
    };
    for attempt in &source.attempts {
        words.push_str(&format!("; {}: {}", attempt.protocol, attempt.problem));
    }
    words
}

fn print_samples(outcome: &Outcome, index: usize, out: &mut dyn Write) -> io::Result<()> {
    let source = &outcome.sources[index];
    let mut rejected = outcome.judged.rejected[index].iter();
    if let Some(address) = source.address {
        let transport = source.transport.map_or("-", tsq_client::Transport::name);
        writeln!(
            out,
            "    {address}, trust: {}, transport: {transport}",
            source.trust.name()
        )?;
    }
    for (number, sample) in source.samples.iter().enumerate() {
        write!(out, "    {:3}  ", number + 1)?;
        match &sample.result {
            Ok(answer) => {
                let (offset, delay) = (answer.sample.offset, answer.sample.delay);
                write!(
                    out,
                    "{offset:>12}  delay {}, {}",
                    length(delay),
                    answer.timestamps.name()
                )?;
                if let Some(Some(reason)) = rejected.next() {
                    write!(out, "; not used: {reason}")?;
                }
                writeln!(out)?;
            }
            Err(rejection) => writeln!(out, "refused, {}: {rejection}", rejection.name())?,
        }
    }
    if source.sent > source.asked || source.superseded > 0 {
        writeln!(
            out,
            "    {} sent for {}; {} came too late",
            Count(source.sent, "query"),
            Count(source.asked, "sample"),
            Count(source.superseded, "answer")
        )?;
    }
    if !source.follow_ups.refused.is_empty() {
        let refused: Vec<String> = source
            .follow_ups
            .refused
            .iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        writeln!(out, "    follow-ups refused: {}", refused.join(", "))?;
    }
    Ok(())
}

/// One sample says nothing of how much others would differ.
fn deviation(outcome: &Outcome, combined: &Combined) -> String {
    let estimates = &outcome.judged.estimates;
    let samples = combined
        .survivors
        .iter()
        .filter_map(|index| estimates.get(*index)?.as_ref())
        .map(|estimate| estimate.samples)
        .sum::<usize>();
    match samples {
        1 => "one sample has no standard deviation".into(),
        _ => format!("standard deviation {}", length(combined.stddev)),
    }
}

/// The result in words, one line or a few.
fn conclusion(outcome: &Outcome, view: View) -> Vec<String> {
    let mut lines = Vec::new();
    if let Ok(combined) = &outcome.judged.combined {
        lines.push(format!(
            "offset {} ± {} (bound {} the servers' own error), {}{}",
            offset_text(combined.offset),
            bound_text(combined.bound),
            if combined.includes_servers {
                "includes"
            } else {
                "excludes"
            },
            deviation(outcome, combined),
            spread(combined)
        ));
    }
    if let Some(test) = &outcome.self_test {
        lines.extend(self_test(test));
        return lines;
    }
    if let Some(trust) = &outcome.judged.trust {
        lines.extend(trust_lines(outcome, trust));
    }
    lines.push(action(&outcome.action, outcome.dry_run, view));
    if let Some(remaining) = &outcome.remaining {
        lines.push(match &remaining.measured {
            Ok(left) => format!("remaining {} ± {}", left.offset, bound_text(left.bound)),
            Err(none) => format!("remaining offset unknown: {}", none.told(view.spelling)),
        });
    }
    lines
}

/// The trust state; and which certificates' dates waited, and what became of them.
fn trust_lines(outcome: &Outcome, trust: &TrustReport) -> Vec<String> {
    let keys = match trust.keys {
        0 => String::new(),
        1 => ", by 1 key".to_string(),
        keys => format!(", by {keys} different keys"),
    };
    let TrustReport { before, state, .. } = trust;
    let clock = trust.clock;
    let mut lines = vec![if before == state {
        format!("trust: {state} (the clock is {clock})")
    } else {
        format!("trust: {before} -> {state}{keys} (the clock is {clock})")
    }];
    lines.extend((0..outcome.sources.len()).filter_map(|index| {
        let server = &outcome.sources[index].server;
        Some(format!("  {server}: {}", waited(outcome, index)?))
    }));
    lines
}

/// How far the servers' offsets are apart, where that says something.
fn spread(combined: &Combined) -> String {
    if combined.survivors.len() < 2 {
        return String::new();
    }
    format!(", spread of the servers {}", length(combined.spread))
}

fn action(action: &Action, dry_run: bool, view: View) -> String {
    let would = |done: &str, would: &str| {
        if dry_run {
            format!("would {would}")
        } else {
            done.to_string()
        }
    };
    match action {
        Action::None { reason } => format!("nothing to do: {reason}"),
        Action::Slew {
            offset,
            duration,
            replaced,
        } => {
            let head = would("slewing", "slew");
            let instead = if *replaced == Offset::ZERO {
                String::new()
            } else {
                format!(", instead of {replaced} still under way")
            };
            format!(
                "{head} by {offset}, which takes {} at 500 ppm{instead}",
                length(*duration)
            )
        }
        Action::Step { offset } => {
            format!("{} by {}", would("stepped", "step"), offset_text(*offset))
        }
        Action::Refused { reason } => format!("nothing done: {}", reason.told(view.spelling)),
    }
}

/// How exact this host is.
fn self_test(test: &SelfTest) -> Vec<String> {
    let kernel = match test.kernel {
        KernelClock::Agrees => "kernel timestamps work",
        KernelClock::Differs => {
            "kernel timestamps show another clock than this process sees (faketime?): not used"
        }
        KernelClock::NoStamps => "this kernel stamps no packets: user-space timestamps are used",
        KernelClock::Untested => "kernel timestamps could not be tried",
    };
    let mut lines = vec![kernel.to_string()];
    if let (Some(median), Some(worst)) = (test.median, test.worst) {
        lines.push(format!(
            "error floor of this host: median {}, worst {} (client and servers share one clock, so the true offset is 0)",
            length(median),
            length(worst)
        ));
    }
    lines
}

/// Colour, where there is any.
struct Paint(bool);

impl Paint {
    fn code(&self, code: &'static str) -> &'static str {
        if self.0 { code } else { "" }
    }

    fn bold(&self) -> &'static str {
        self.code("\x1b[1m")
    }

    fn plain(&self) -> &'static str {
        self.code("\x1b[0m")
    }

    fn verdict(&self, verdict: &Verdict) -> &'static str {
        self.code(match verdict {
            verdict if verdict.is_used() => "\x1b[32m",
            Verdict::Judged(_) | Verdict::Duplicate { .. } => "\x1b[33m",
            Verdict::Failed(_) => "\x1b[31m",
        })
    }
}
