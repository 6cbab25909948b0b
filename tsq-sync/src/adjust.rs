//! What is done to the clock about an offset.

use std::time::Duration;

use tsq_algo::{Combined, Decision, Policy, RESOLUTION, decide};
use tsq_clock::{Clock, ClockError, Disturbance, Moment};

use crate::action::{Action, Idle, Refusal};
use crate::judged::Judged;
use crate::verdict::NoResult;

/// Does to `clock` what was judged and the policy call for.
///
/// # Errors
/// The [`Disturbance`] that came over the clock `since` before it was measured. Then nothing was done, for what
/// was measured is not so any more.
pub fn adjust(
    judged: &Judged,
    policy: &Policy,
    clock: &mut dyn Clock,
    since: &Moment,
) -> Result<Action, Disturbance> {
    // Also where nothing is to be set: a clock that was moved is not right, or wrong, or the servers' quarrel. One that
    // is set looks more closely, and later.
    undisturbed(&judged.combined, clock, since)?;
    match &judged.combined {
        Ok(combined) => match apply(combined, policy, clock, since) {
            Err(ClockError::Disturbed(disturbance)) => Err(disturbance),
            Err(error) => Ok(Refusal::Clock(error).into()),
            Ok(action) => Ok(action),
        },
        Err(none) => Ok(Refusal::NoResult(none.clone()).into()),
    }
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
) -> Result<Action, ClockError> {
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
        Decision::None { reason } => Idle::Nothing(reason).into(),
        Decision::Slew { offset } => {
            let slewing = clock.slew(offset, since)?;
            Action::Slew {
                offset: slewing.amount,
                duration: slewing.duration,
                replaced: slewing.replaced,
            }
        }
        Decision::Step { offset } => Action::Step {
            offset: clock.step(offset, since)?.by,
        },
        Decision::Refused { offset, limit } => {
            let pending = clock.pending_slew()?;
            Refusal::PastLimit {
                offset,
                limit,
                pending,
            }
            .into()
        }
    })
}

/// Samples, too, are refused for larger steps only (`tsq_net::ClockPair`): two clocks that are read on a busy, or an
/// emulated, system differ by less.
const UNSEEN: Duration = tsq_net::ClockPair::STEP_FLOOR;

#[cfg(test)]
mod tests {
    use tsq_clock::{Limits, SimulatedClock};
    use tsq_proto::{HostTime, Offset};

    use super::*;
    use crate::judged::Choice;

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

    fn apply_now(offset_ms: i64, clock: &mut SimulatedClock) -> Result<Action, ClockError> {
        let since = clock.moment();
        apply(&measured(offset_ms), &POLICY, clock, &since)
    }

    fn judged(combined: Result<Combined, NoResult>) -> Judged {
        Judged {
            combined,
            ..Judged::of(&[], &Choice::default())
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
            let adjusted = adjust(&judged(found.clone()), &POLICY, &mut clock, &since);
            assert!(adjusted.is_err(), "{found:?}: {adjusted:?}");
            assert!(clock.steps().is_empty() && clock.slews().is_empty());
        }
    }

    #[test]
    fn clock_that_only_ran_on_is_set() {
        let mut clock = clock();
        let since = clock.moment();
        clock.advance(Duration::from_secs(3));
        let action = adjust(&judged(Ok(measured(900))), &POLICY, &mut clock, &since).unwrap();
        assert_eq!(action.name(), "step");
    }

    #[test]
    fn small_offset_is_slewed_and_large_one_stepped() {
        let mut clock = clock();
        let action = apply_now(50, &mut clock).unwrap();
        assert!(
            matches!(action, Action::Slew { duration, .. } if duration == Duration::from_secs(100))
        );
        let action = apply_now(-300, &mut clock).unwrap();
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
        let action = apply_now(0, &mut clock).unwrap();
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
        let action = apply_now(1_001, &mut clock).unwrap();
        let Action::Refused { reason } = &action else {
            panic!("{action:?}");
        };
        assert!(matches!(reason, Refusal::PastLimit { .. }), "{reason:?}");
        assert!(reason.to_string().contains("+100.000 ms"), "{reason}");
        assert_eq!(clock.pending_slew(), Ok(Offset::from_nanos(100_000_000)));
    }
}
