//! Waits until this host's clock is right: for boot scripts, and for containers that set no clock.

use std::thread;
use std::time::{Duration, Instant};

use crate::ended::{self, Ended};
use crate::outcome::{Action, Exit, Outcome};
use crate::reach::Reach;
use crate::run::View;
use crate::settings::Unusable;
use crate::sync::synchronise;
use crate::table::{length, offset_text};
use crate::{json, table};

/// What to wait for.
#[derive(Clone, Debug)]
pub struct Wait {
    /// The error to get below, bound included.
    pub max_error: Duration,
    /// How long to wait.
    pub timeout: Duration,
    /// Print one JSON object.
    pub json: bool,
}

/// Measures again and again until the clock is right or the time is up; returns how that ended.
///
/// # Errors
/// [`Unusable`]: a bad server, no roots, or the system fails us.
pub fn run(servers: &[String], reach: &Reach, wait: &Wait) -> Result<Ended, Unusable> {
    let end = Instant::now() + wait.timeout;
    // One for all rounds: the tickets of a round are with its servers, and save the next a round trip.
    let mut settings = reach.settings(servers, ROUND)?;
    let mut known = None;
    let outcome = loop {
        let left = end.saturating_duration_since(Instant::now());
        settings.timeout = left.clamp(LEAST, ROUND);
        let cut_off = settings.timeout < ROUND;
        let outcome = judged(synchronise(&settings, SILENT)?, wait);
        let outcome = newest(known.take(), outcome, cut_off);
        // The last look is at the end of the time.
        let left = end.saturating_duration_since(Instant::now());
        let right = matches!(outcome.exit, Exit::Done | Exit::Unauthenticated);
        if right || left <= LEAST {
            break outcome;
        }
        known = Some(outcome);
        thread::sleep(PAUSE.min(left - LEAST));
    };
    ended::print(|out| match wait.json {
        true => json::print(&outcome, out),
        false => table::print(&outcome, false, out),
    })?;
    Ok(Ended::of(&outcome))
}

/// What is known after one more measurement: that one, unless it was cut off and heard less than the one before.
fn newest(known: Option<Outcome>, next: Outcome, cut_off: bool) -> Outcome {
    match known {
        Some(known) if cut_off && (heard(&next) == 0 || heard(&next) < heard(&known)) => known,
        _ => next,
    }
}

/// How many servers gave a usable answer.
fn heard(outcome: &Outcome) -> usize {
    let estimates = outcome.analysis.estimates.iter();
    estimates.filter(|estimate| estimate.is_some()).count()
}

/// The same measurement with this command's verdict.
fn judged(mut outcome: Outcome, wait: &Wait) -> Outcome {
    let Ok(combined) = &outcome.analysis.combined else {
        return outcome;
    };
    let error = combined.offset.abs().saturating_add(combined.bound);
    let (wanted, offset) = (wait.max_error, offset_text(combined.offset));
    (outcome.action, outcome.exit) = if error <= wanted {
        let reason = format!(
            "the clock is right to {}, {} was wanted",
            length(error),
            length(wanted)
        );
        let exit = if outcome.analysis.by_ntp {
            Exit::Unauthenticated
        } else {
            Exit::Done
        };
        (Action::None { reason }, exit)
    } else {
        let reason = format!(
            "the clock may be wrong by {} (offset {offset}), and {} was wanted: a daemon that sets it, or tsq-adjtime without \"wait\", brings it there",
            length(error),
            length(wanted)
        );
        (Action::refused(reason), Exit::PastLimit)
    };
    outcome
}

/// Between two measurements.
const PAUSE: Duration = Duration::from_secs(1);

/// One measurement takes no longer, or servers that are silent would use up all the time.
const ROUND: Duration = Duration::from_secs(3);

/// A last measurement gets that much at least.
const LEAST: Duration = Duration::from_millis(200);

/// Only the last round is printed.
const SILENT: View = View {
    json: true,
    verbose: false,
};

#[cfg(test)]
mod tests {
    use tsq_algo::SourceEstimate;
    use tsq_proto::Offset;

    use super::*;
    use crate::analysis::{Analysis, Choice};

    fn outcome(heard: usize, exit: Exit) -> Outcome {
        let estimate = SourceEstimate {
            offset: Offset::ZERO,
            stddev: Duration::ZERO,
            delay: Duration::ZERO,
            bound: Duration::ZERO,
            samples: 5,
            consistent: true,
            server_error: None,
        };
        Outcome {
            sources: Vec::new(),
            analysis: Analysis {
                estimates: (0..3).map(|i| (i < heard).then_some(estimate)).collect(),
                ..Analysis::of(&[], &Choice::default())
            },
            action: Action::refused(""),
            remaining: None,
            dry_run: true,
            elapsed: Duration::ZERO,
            exit,
            warnings: Vec::new(),
            problem: None,
            trust: None,
            self_test: None,
        }
    }

    /// The time left for the last look may be shorter than the path.
    #[test]
    fn attempt_that_was_cut_off_overrides_nothing_that_was_known() {
        use Exit::{NoAnswer, PastLimit};
        for (known, heard_before, next, heard_then, cut_off, stands) in [
            (PastLimit, 3, NoAnswer, 0, true, PastLimit),
            (PastLimit, 3, Exit::NoAgreement, 2, true, PastLimit),
            (Exit::TrustRefused, 0, NoAnswer, 0, true, Exit::TrustRefused),
            // What heard as much, or had its full time, is newer.
            (PastLimit, 3, Exit::Done, 3, true, Exit::Done),
            (PastLimit, 3, NoAnswer, 0, false, NoAnswer),
        ] {
            let before = Some(outcome(heard_before, known));
            let found = newest(before, outcome(heard_then, next), cut_off);
            assert_eq!(found.exit, stands, "{known:?} {next:?}");
        }
        assert_eq!(newest(None, outcome(0, NoAnswer), true).exit, NoAnswer);
    }
}
