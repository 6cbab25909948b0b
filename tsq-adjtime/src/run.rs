//! One run: measure, decide, adjust, look again.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use tsq_algo::{Combined, Decision, NoSelection, Policy, RESOLUTION, decide};
use tsq_client::{Fallback, Session, SourceReport};
use tsq_clock::{Clock, ClockError, DryRun, Limits, SystemClock};
use tsq_proto::{HostTime, Offset};

use crate::analysis::{Analysis, NoResult};
use crate::args::{Args, Command};
use crate::memory::Memory;
use crate::outcome::{Action, Exit, Outcome, Remaining, exit_of};
use crate::progress::Line;
use crate::settings::{Settings, Unusable};
use crate::trust::{Rule, Standing};
use crate::wait::Wait;
use crate::{explain, json, receipt, rtc, self_test, table, trust, uncounted, wait};

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// One JSON object instead of a table.
    pub json: bool,
    /// Every sample.
    pub verbose: bool,
}

/// Runs the command; returns its exit code.
pub fn run(args: &Args) -> u8 {
    let (view, result) = match &args.command {
        Some(Command::SelfTest {
            json,
            verbose,
            queries,
        }) => {
            let view = View {
                json: *json,
                verbose: *verbose,
            };
            (view, self_test::run(*queries, &mut Line::new(!json)))
        }
        Some(Command::VerifyReceipt {
            file,
            key,
            expect_head,
            json,
        }) => {
            return receipt::check::run(file, key, *expect_head, *json);
        }
        Some(Command::Wait {
            servers,
            max_error,
            timeout,
            json,
            reach,
        }) => {
            let wait = Wait {
                max_error_ms: *max_error,
                timeout_ms: *timeout,
                json: *json,
            };
            return ended(wait::run(servers, reach, &wait));
        }
        Some(Command::Rtc {
            servers,
            write,
            device,
            timeout,
            json,
            reach,
        }) => {
            let wish = rtc::Wish {
                device,
                write: *write,
                timeout_ms: *timeout,
                json: *json,
            };
            return ended(rtc::run(servers, reach, &wish));
        }
        Some(Command::Explain {
            servers,
            timeout,
            json,
            reach,
        }) => return ended(explain::explain(servers, reach, *timeout, *json)),
        Some(Command::Check {
            servers,
            timeout,
            json,
            reach,
        }) => return ended(explain::check(servers, reach, *timeout, *json)),
        None => {
            let view = View {
                json: args.json,
                verbose: args.verbose,
            };
            (
                view,
                Settings::resolve(args).and_then(|settings| synchronise(&settings, view)),
            )
        }
    };
    let result = result.and_then(|outcome| {
        let quiet = args.command.is_none() && args.quiet && is_nothing_new(&outcome);
        match quiet {
            true => Ok(outcome),
            false => print(&outcome, view).map(|()| outcome),
        }
    });
    match result {
        Ok(outcome) => {
            let done = matches!(outcome.exit, Exit::Done | Exit::Unauthenticated);
            if done
                && outcome.self_test.is_none()
                && let Some(missing) = uncounted::line(&outcome.sources, &outcome.analysis)
            {
                let _ = writeln!(io::stderr(), "tsq-adjtime: {missing}");
            }
            if let Some(problem) = &outcome.problem {
                let _ = writeln!(io::stderr(), "tsq-adjtime: {problem}");
            }
            outcome.exit.code()
        }
        Err(unusable) => ended(Err(unusable)),
    }
}

/// Whether a run is what every run should be: the clock was right, or a little off.
fn is_nothing_new(outcome: &Outcome) -> bool {
    let stepped = matches!(outcome.action, Action::Step { .. });
    matches!(outcome.exit, Exit::Done | Exit::Unauthenticated) && !stepped
}

/// The exit code; a reason for there being no result goes to standard error.
fn ended(result: Result<u8, Unusable>) -> u8 {
    result.unwrap_or_else(|unusable| {
        // Only the failure to write this very line could follow, and there is nobody to tell.
        let _ = writeln!(io::stderr(), "tsq-adjtime: {}", unusable.problem);
        unusable.exit.code()
    })
}

/// Measures and adjusts as the settings say.
///
/// # Errors
/// [`Unusable`] if the clock may not be set (before anything is sent), or the system fails us.
pub fn synchronise(settings: &Settings, view: View) -> Result<Outcome, Unusable> {
    let start = Instant::now();
    if !settings.dry_run {
        permission()?;
    }
    let memory = Memory::open(&settings.keeping, settings.dry_run)?;
    let policy = Policy {
        max_offset: memory.max_offset(settings),
        ..settings.policy
    };
    let limits = Limits {
        max_step: policy.max_offset,
        max_slew: policy.slew_threshold,
    };
    let system = SystemClock::open(limits);
    let mut clock = if settings.dry_run {
        memory.hold(DryRun::new(system, limits), settings)?
    } else {
        memory.hold(system, settings)?
    };
    // The TLS library takes such a clock for impossible, and panics.
    if clock.read() < HostTime::from_unix_nanos(0) {
        let problem =
            "this host's clock is before 1970: set it by hand to about the right date first";
        return Err(Unusable {
            exit: Exit::Internal,
            problem: problem.into(),
        });
    }
    if let Some(path) = &settings.receipt {
        receipt::append(path, Vec::new()).map_err(|error| Unusable {
            exit: Exit::Usage,
            problem: error.to_string(),
        })?;
    }
    // The kernel turns receive stamps on a little after the first socket that wants them.
    let _ = tsq_net::kernel_clock();

    let signed = settings.receipt.as_deref().and_then(receipt::last_signed);
    let floor = memory.floor(signed);
    let rule = Rule {
        clock: Standing::of(clock.read(), floor),
        floor,
        keys: settings.bootstrap_servers,
    };
    let servers = settings.servers_for(rule.clock);
    let mut session = Session::new(servers.clone(), settings.options.clone()).map_err(internal)?;
    let mut line = Line::new(!view.json);
    let verify = settings.verify && !settings.dry_run;
    let end = start + settings.timeout;
    let first_end = if verify {
        start + settings.timeout.mul_f64(FIRST_SHARE)
    } else {
        end
    };
    let fallback = settings.ladder.map(|ladder| Fallback::new(servers, ladder));
    let mut measure = |end: Instant| measure(&mut session, fallback.as_ref(), end, &mut line);
    let mut sources = measure(first_end).map_err(internal)?;
    let (analysis, trust) = trust::decide(&mut sources, clock.read(), &rule, &settings.choice);
    let missing = uncounted::line(&sources, &analysis).filter(|_| settings.require_all);
    let (action, mut exit) = match missing {
        Some(missing) => (
            Action::refused(format!("{missing} (--require-all)")),
            Exit::NoAgreement,
        ),
        None => adjust(&analysis, &policy, clock.as_mut()),
    };
    // The clock may have been set by now: what follows must not hide that.
    let receipt_problem = settings.receipt.as_ref().and_then(|path| {
        receipt::keep(path, &sources, &analysis, &action, settings.dry_run)
            .err()
            .map(|error| error.to_string())
    });
    let state_problem = (exit == Exit::Done && !settings.dry_run)
        .then(|| memory.keep(&trust).err())
        .flatten()
        .map(|error| format!("the clock is adjusted, and that cannot be kept: {error}"));
    let problem = receipt_problem.or(state_problem);
    if problem.is_some() {
        exit = Exit::Internal;
    }
    let adjusted = matches!(action, Action::Slew { .. } | Action::Step { .. });
    let remaining = if adjusted && verify {
        let again = measure(end).map_err(internal)?;
        Some(Remaining {
            measured: Analysis::of(&again, &settings.choice).combined,
        })
    } else {
        None
    };
    session.close();
    drop(line);
    Ok(Outcome {
        sources,
        analysis,
        action,
        remaining,
        dry_run: settings.dry_run,
        elapsed: start.elapsed(),
        exit,
        problem,
        trust: Some(trust),
        self_test: None,
    })
}

/// Whether this process may set the clock at all.
fn permission() -> Result<(), Unusable> {
    let nothing = Limits {
        max_step: Duration::ZERO,
        max_slew: Duration::ZERO,
    };
    SystemClock::open(nothing)
        .may_set()
        .map_err(|error| Unusable {
            exit: exit_of(&error),
            problem: error.to_string(),
        })
}

/// Asks all servers, and by other protocols those that TSQ does not reach.
fn measure(
    session: &mut Session,
    fallback: Option<&Fallback>,
    end: Instant,
    line: &mut Line,
) -> io::Result<Vec<SourceReport>> {
    if let Some(fallback) = fallback {
        let left = end.saturating_duration_since(Instant::now());
        session.on_trouble(PATIENCE.min(left / 3), fallback.starter(end));
    }
    let mut sources = session.measure(end, &mut |progress| line.show(progress))?;
    if let Some(fallback) = fallback {
        fallback.collect(&mut sources, end);
    }
    Ok(sources)
}

/// Does to `clock` what the analysis and the policy call for.
pub fn adjust(analysis: &Analysis, policy: &Policy, clock: &mut dyn Clock) -> (Action, Exit) {
    match &analysis.combined {
        Ok(combined) => match apply(combined, policy, clock) {
            Ok((action, Exit::Done)) if analysis.by_ntp => (action, Exit::Unauthenticated),
            Ok(done) => done,
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
    }
}

fn apply(
    combined: &Combined,
    policy: &Policy,
    clock: &mut dyn Clock,
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
            let slewing = clock.slew(offset)?;
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
            let applied = clock.step(offset)?;
            (Action::Step { offset: applied.by }, Exit::Done)
        }
        Decision::Refused { offset, limit } => {
            let mut reason = format!(
                "the offset of {} is past --max-offset {} ms: if that is right, raise the limit",
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

fn print(outcome: &Outcome, view: View) -> Result<(), Unusable> {
    let stdout = io::stdout();
    let printed = if view.json {
        json::print(outcome, &mut stdout.lock())
    } else {
        table::print(outcome, view.verbose, &mut stdout.lock())
    };
    finished(printed)
}

/// The end of printing: a reader that has gone has seen enough.
pub(crate) fn finished(printed: io::Result<()>) -> Result<(), Unusable> {
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(internal(error)),
        _ => Ok(()),
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what map_err hands over"
)]
pub(crate) fn internal(error: io::Error) -> Unusable {
    Unusable {
        exit: Exit::Internal,
        problem: error.to_string(),
    }
}

/// How long TSQ has before the next rung is tried as well.
const PATIENCE: Duration = Duration::from_millis(600);

/// How much of the time the first measurement may take when a second is to follow.
const FIRST_SHARE: f64 = 0.8;

#[cfg(test)]
mod tests {
    use super::*;
    use tsq_clock::SimulatedClock;

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

    #[test]
    fn small_offset_is_slewed_and_large_one_stepped() {
        let mut clock = clock();
        let (action, _) = apply(&measured(50), &POLICY, &mut clock).unwrap();
        assert!(
            matches!(action, Action::Slew { duration, .. } if duration == Duration::from_secs(100))
        );
        let (action, _) = apply(&measured(-300), &POLICY, &mut clock).unwrap();
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
        clock.slew(Offset::from_nanos(100_000_000)).unwrap();
        let (action, _) = apply(&measured(0), &POLICY, &mut clock).unwrap();
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
        clock.slew(Offset::from_nanos(100_000_000)).unwrap();
        let (action, exit) = apply(&measured(1_001), &POLICY, &mut clock).unwrap();
        assert_eq!(exit, Exit::PastLimit);
        assert!(
            matches!(&action, Action::Refused { reason } if reason.contains("+100.000 ms")),
            "{action:?}"
        );
        assert_eq!(clock.pending_slew(), Ok(Offset::from_nanos(100_000_000)));
    }
}
