//! Waits until this host's clock is right: for boot scripts, and for containers that set no clock.

use std::thread;
use std::time::{Duration, Instant};

use tsq_sync::{Idle, Outcome, Refusal, synchronise};

use super::synchronise::print;
use crate::ended::{Ended, Unusable};
use crate::reach::Reach;
use crate::settings::to_look;

/// What to wait for.
#[derive(Clone, Debug)]
pub(super) struct Wait {
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
pub(super) fn run(servers: &[String], reach: &Reach, wait: &Wait) -> Result<Ended, Unusable> {
    let end = Instant::now() + wait.timeout;
    // One for all rounds: the tickets of a round are with its servers, and save the next a round trip.
    let mut settings = to_look(servers, reach, ROUND, None)?;
    let mut known = None;
    let outcome = loop {
        let left = end.saturating_duration_since(Instant::now());
        settings.timeout = left.clamp(LEAST, ROUND);
        let cut_off = settings.timeout < ROUND;
        let outcome = judged(synchronise(&settings, &mut |_| {})?, wait);
        let outcome = newest(known.take(), outcome, cut_off);
        // The last look is at the end of the time.
        let left = end.saturating_duration_since(Instant::now());
        if outcome.is_good() || left <= LEAST {
            break outcome;
        }
        known = Some(outcome);
        thread::sleep(PAUSE.min(left - LEAST));
    };
    print(&outcome, wait.json, false)?;
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
    let estimates = outcome.judged.estimates.iter();
    estimates.filter(|estimate| estimate.is_some()).count()
}

/// The same measurement with this command's verdict.
fn judged(mut outcome: Outcome, wait: &Wait) -> Outcome {
    let Ok(combined) = &outcome.judged.combined else {
        return outcome;
    };
    let error = combined.offset.abs().saturating_add(combined.bound);
    let (wanted, offset) = (wait.max_error, combined.offset);
    outcome.action = if error <= wanted {
        Idle::Right { error, wanted }.into()
    } else {
        let refusal = Refusal::NotRight {
            error,
            wanted,
            offset,
        };
        refusal.into()
    };
    outcome
}

/// Between two measurements.
const PAUSE: Duration = Duration::from_secs(1);

/// One measurement takes no longer, or servers that are silent would use up all the time.
const ROUND: Duration = Duration::from_secs(3);

/// A last measurement gets that much at least.
const LEAST: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use tsq_algo::SourceEstimate;
    use tsq_proto::Offset;
    use tsq_sync::{Action, Choice, Judged};

    use super::*;

    fn outcome(heard: usize, action: impl Into<Action>) -> Outcome {
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
            judged: Judged {
                estimates: (0..3).map(|i| (i < heard).then_some(estimate)).collect(),
                ..Judged::of(&[], &Choice::default())
            },
            action: action.into(),
            remaining: None,
            dry_run: true,
            elapsed: Duration::ZERO,
            warnings: Vec::new(),
            problems: Vec::new(),
            self_test: None,
        }
    }

    /// The time left for the last look may be shorter than the path.
    #[test]
    fn attempt_that_was_cut_off_overrides_nothing_that_was_known() {
        let silent = || Action::from(Refusal::Unanswered);
        let wrong = || {
            Action::from(Refusal::NotRight {
                error: Duration::from_secs(1),
                wanted: Duration::ZERO,
                offset: Offset::ZERO,
            })
        };
        let right = || Action::from(Idle::SelfTest);
        for (known, heard_before, next, heard_then, cut_off, stands) in [
            (wrong(), 3, silent(), 0, true, wrong()),
            (wrong(), 3, right(), 2, true, wrong()),
            (right(), 0, silent(), 0, true, right()),
            // What heard as much, or had its full time, is newer.
            (wrong(), 3, right(), 3, true, right()),
            (wrong(), 3, silent(), 0, false, silent()),
        ] {
            let before = Some(outcome(heard_before, known));
            let found = newest(before, outcome(heard_then, next), cut_off);
            assert_eq!(found.action, stands);
        }
        let first = newest(None, outcome(0, Refusal::Unanswered), true);
        assert_eq!(first.action, silent());
    }
}
