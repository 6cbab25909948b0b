//! Why a run came to nothing, in one line.

use tsq_client::Protocol;
use tsq_sync::{Action, Outcome, Reason, Refusal, Verdict};

use crate::View;

/// Why a run failed, or what of its result is not as it should be; None where all is well.
pub fn why(outcome: &Outcome, view: View) -> Option<String> {
    if !outcome.problems.is_empty() {
        let problems: Vec<String> = outcome.problems.iter().map(ToString::to_string).collect();
        return Some(problems.join("; "));
    }
    match &outcome.action {
        Action::Refused { reason: refusal } => {
            let reason = refusal.told(view.spelling);
            // Names them itself.
            if let Refusal::NotAll(_) = refusal {
                return Some(reason);
            }
            Some(match failures(outcome, view).as_slice() {
                [] => reason,
                [only] if outcome.sources.len() == 1 => only.clone(),
                failures => format!("{reason} ({})", failures.join("; ")),
            })
        }
        _ if outcome.judged.by_ntp => Some(view.spelling.fill(BY_NTP)),
        _ => None,
    }
}

const BY_NTP: &str = "plain NTP alone decided, which nothing authenticates ({allow-ntp})";

/// Who gave nothing, and why: of many the first few.
fn failures(outcome: &Outcome, view: View) -> Vec<String> {
    let verdicts = outcome.sources.iter().zip(&outcome.judged.verdicts);
    let mut failed = verdicts.filter_map(|(source, verdict)| match verdict {
        Verdict::Failed(_) => {
            let by = match source.protocol {
                Protocol::Tsq => String::new(),
                other => format!("by {other}: "),
            };
            let failure = verdict.told(view.spelling);
            // A refused certificate is what to act on, whatever TSQ's own trouble was.
            let refused = source
                .attempts
                .iter()
                .filter(|attempt| attempt.is_refused());
            let refused: Vec<String> = refused
                .map(|attempt| format!("by {}: {}", attempt.protocol, attempt.problem))
                .collect();
            Some(match refused.is_empty() {
                true => format!("{}: {by}{failure}", source.server),
                false => format!("{}: {}; {failure}", source.server, refused.join("; ")),
            })
        }
        Verdict::Judged(tsq_algo::Verdict::Unsynchronised) => {
            Some(format!("{}: {verdict}", source.server))
        }
        Verdict::Judged(_) | Verdict::Duplicate { .. } => None,
    });
    let mut told: Vec<String> = failed.by_ref().take(FEW).collect();
    match failed.count() {
        0 => {}
        more => told.push(format!("and {more} more")),
    }
    told
}

const FEW: usize = 4;
