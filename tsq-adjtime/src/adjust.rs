//! What is done to the clock about an offset.

use std::time::Duration;

use tsq_algo::{Combined, Decision, NoSelection, Policy, RESOLUTION, decide};
use tsq_clock::{Clock, ClockError, Disturbance, Moment};
use tsq_proto::Offset;

use crate::analysis::{Analysis, NoResult};
use crate::outcome::{Action, Exit, exit_of};
use crate::table;

/// Does to `clock` what the analysis and the policy call for.
///
/// # Errors
/// The [`Disturbance`] that came over the clock `since` before it was measured. Then nothing was done, for what
/// was measured is not so any more.
pub fn adjust(
    analysis: &Analysis,
    policy: &Policy,
    clock: &mut dyn Clock,
    since: &Moment,
) -> Result<(Action, Exit), Disturbance> {
    // Also where nothing is to be set: a clock that was moved is not right, or wrong, or the servers' quarrel. One that
    // is set looks more closely, and later.
    undisturbed(&analysis.combined, clock, since)?;
    Ok(match &analysis.combined {
        Ok(combined) => match apply(combined, policy, clock, since) {
            Ok((action, Exit::Done)) if analysis.by_ntp => (action, Exit::Unauthenticated),
            Ok(done) => done,
            Err(ClockError::Disturbed(disturbance)) => return Err(disturbance),
            Err(error) => (Action::refused(error.to_string()), exit_of(&error)),
        },
        Err(no_result) => {
            let exit = match no_result {
                NoResult::NoAnswer { .. } => Exit::NoAnswer,
                NoResult::TrustRefused { .. } | NoResult::Distrusted(_) => Exit::TrustRefused,
                NoResult::NoSelection(none) => match none {
                    NoSelection::NoneFit { .. }
                    | NoSelection::NoneTrusted { .. }
                    | NoSelection::Unauthenticated { .. } => Exit::NoAnswer,
                    NoSelection::MixedTimescales { .. }
                    | NoSelection::Disagreement(_)
                    | NoSelection::TooFew { .. } => Exit::NoAgreement,
                },
            };
            (Action::refused(no_result.to_string()), exit)
        }
    })
}

/// That what was `measured` is not spoilt by what happened to the clock `since`: what the bound covers changes nothing.
///
/// # Errors
/// The [`Disturbance`].
pub fn undisturbed(
    measured: &Result<Combined, NoResult>,
    clock: &dyn Clock,
    since: &Moment,
) -> Result<(), Disturbance> {
    let bound = measured.as_ref().map_or(UNSEEN, |c| c.bound);
    since.undisturbed_until(&clock.moment(), bound.max(UNSEEN))
}

fn apply(
    combined: &Combined,
    policy: &Policy,
    clock: &mut dyn Clock,
    since: &Moment,
) -> Result<(Action, Exit), ClockError> {
    let decision = match decide(combined, policy) {
        // What an earlier slew has left will still move the clock away from where it is now.
        Decision::None { .. } if clock.pending_slew()?.abs() > combined.stddev.max(RESOLUTION) => {
            Decision::Slew {
                offset: combined.offset,
            }
        }
        decision => decision,
    };
    Ok(match decision {
        Decision::None { reason } => (
            Action::None {
                reason: reason.to_string(),
            },
            Exit::Done,
        ),
        Decision::Slew { offset } => {
            let slewing = clock.slew(offset, since)?;
            let (duration, replaced) = (slewing.duration, slewing.replaced);
            (
                Action::Slew {
                    offset: slewing.amount,
                    duration,
                    replaced,
                },
                Exit::Done,
            )
        }
        Decision::Step { offset } => {
            let applied = clock.step(offset, since)?;
            (Action::Step { offset: applied.by }, Exit::Done)
        }
        Decision::Refused { offset, limit } => {
            let mut reason = format!(
                "the offset of {} is past --max-offset {} ms: if that is right, raise --max-offset (for the first run of a boot, --max-start-offset)",
                table::offset_text(offset),
                limit.as_nanos() as f64 / 1e6
            );
            let pending = clock.pending_slew()?;
            if pending != Offset::ZERO {
                reason.push_str(&format!("; a slew of {pending} begun earlier goes on"));
            }
            (Action::refused(reason), Exit::PastLimit)
        }
    })
}

/// Samples, too, are refused for larger steps only (`tsq_net::ClockPair`): two clocks that are read on a busy, or an
/// emulated, system differ by less.
const UNSEEN: Duration = tsq_net::ClockPair::STEP_FLOOR;

#[cfg(test)]
mod tests {
    use tsq_clock::{Limits, SimulatedClock};
    use tsq_proto::HostTime;

    use super::*;
    use crate::analysis::Choice;

    const POLICY: Policy = Policy {
        slew_threshold: Duration::from_millis(128),
        max_offset: Duration::from_secs(1),
    };

    fn clock() -> SimulatedClock {
        let limits = Limits {
            max_step: POLICY.max_offset,
            max_slew: POLICY.slew_threshold,
        };
        SimulatedClock::new(HostTime::from_unix(1_795_000_000, 0), 0, limits)
    }

    fn measured(offset_ms: i64) -> Combined {
        Combined {
            offset: Offset::from_nanos(offset_ms * 1_000_000),
            stddev: Duration::from_micros(10),
            spread: Duration::ZERO,
            bound: Duration::from_micros(50),
            includes_servers: false,
            survivors: vec![0],
            falsetickers: Vec::new(),
        }
    }

    fn apply_now(offset_ms: i64, clock: &mut SimulatedClock) -> Result<(Action, Exit), ClockError> {
        let since = clock.moment();
        apply(&measured(offset_ms), &POLICY, clock, &since)
    }

    fn analysis(combined: Result<Combined, NoResult>) -> Analysis {
        Analysis {
            combined,
            ..Analysis::of(&[], &Choice::default())
        }
    }

    /// Another run, a daemon, or whoever wakes a virtual machine: whatever was to be done before.
    #[test]
    fn clock_that_was_moved_since_it_was_measured_is_left_alone() {
        let moved: [fn(&mut SimulatedClock); 2] = [
            |clock| clock.put(Offset::from_nanos(2_000_000_000)),
            |clock| clock.sleep(Duration::from_secs(60)),
        ];
        let no_answer = NoResult::NoAnswer { servers: 1 };
        let findings = [
            Ok(measured(0)),
            Ok(measured(50)),
            Ok(measured(900)),
            Ok(measured(2_000)),
            Err(no_answer),
        ];
        for (move_it, found) in moved
            .iter()
            .flat_map(|m| findings.iter().map(move |f| (m, f)))
        {
            let mut clock = clock();
            let since = clock.moment();
            clock.advance(Duration::from_secs(3));
            move_it(&mut clock);
            let adjusted = adjust(&analysis(found.clone()), &POLICY, &mut clock, &since);
            assert!(adjusted.is_err(), "{found:?}: {adjusted:?}");
            assert!(clock.steps().is_empty() && clock.slews().is_empty());
        }
    }

    #[test]
    fn clock_that_only_ran_on_is_set() {
        let mut clock = clock();
        let since = clock.moment();
        clock.advance(Duration::from_secs(3));
        let (action, exit) =
            adjust(&analysis(Ok(measured(900))), &POLICY, &mut clock, &since).unwrap();
        assert_eq!((action.name(), exit), ("step", Exit::Done));
    }

    #[test]
    fn small_offset_is_slewed_and_large_one_stepped() {
        let mut clock = clock();
        let (action, _) = apply_now(50, &mut clock).unwrap();
        assert!(
            matches!(action, Action::Slew { duration, .. } if duration == Duration::from_secs(100))
        );
        let (action, _) = apply_now(-300, &mut clock).unwrap();
        assert_eq!(
            action,
            Action::Step {
                offset: Offset::from_nanos(-300_000_000)
            }
        );
    }

    #[test]
    fn earlier_slew_that_would_spoil_a_right_clock_is_ended() {
        let mut clock = clock();
        let since = clock.moment();
        clock.slew(Offset::from_nanos(100_000_000), &since).unwrap();
        let (action, _) = apply_now(0, &mut clock).unwrap();
        assert!(
            matches!(
                action,
                Action::Slew {
                    offset: Offset::ZERO,
                    ..
                }
            ),
            "{action:?}"
        );
        assert_eq!(clock.pending_slew(), Ok(Offset::ZERO));
    }

    #[test]
    fn refusal_says_that_an_earlier_slew_goes_on() {
        let mut clock = clock();
        let since = clock.moment();
        clock.slew(Offset::from_nanos(100_000_000), &since).unwrap();
        let (action, exit) = apply_now(1_001, &mut clock).unwrap();
        assert_eq!(exit, Exit::PastLimit);
        assert!(
            matches!(&action, Action::Refused { reason } if reason.contains("+100.000 ms")),
            "{action:?}"
        );
        assert_eq!(clock.pending_slew(), Ok(Offset::from_nanos(100_000_000)));
    }
}
