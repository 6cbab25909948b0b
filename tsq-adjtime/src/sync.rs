//! One run: measure, decide, adjust, look again.

use std::time::{Duration, Instant};

use tsq_algo::Policy;
use tsq_client::{Session, SourceReport};
use tsq_clock::{Clock, Disturbance, DryRun, Limits, SystemClock};
use tsq_proto::{HostTime, Offset};

use crate::adjust::{adjust, undisturbed};
use crate::analysis::Analysis;
use crate::memory::Memory;
use crate::outcome::{Action, Exit, Outcome, Remaining, exit_of};
use crate::progress::Line;
use crate::remaining::unexplained;
use crate::run::{View, internal};
use crate::settings::{Settings, Unusable};
use crate::trust::{Rule, Standing, TrustReport};
use crate::{keeper, receipt, trust, uncounted};

/// Measures and adjusts as the settings say.
///
/// # Errors
/// [`Unusable`] if the clock may not be set (before anything is sent), or the system fails us.
pub fn synchronise(settings: &Settings, view: View) -> Result<Outcome, Unusable> {
    let start = Instant::now();
    let end = start + settings.timeout;
    let mut warnings = Vec::new();
    if !settings.dry_run {
        permission()?;
        warnings.extend(keeper::alone(settings.beside_daemon)?);
    }
    let until = start + settings.timeout.mul_f64(FIRST_SHARE);
    let memory = Memory::open(&settings.keeping, settings.dry_run, until)?;
    warnings.extend(memory.warning().map(str::to_owned));
    let policy = Policy {
        max_offset: memory.max_offset(settings),
        ..settings.policy
    };
    let limits = Limits {
        max_step: policy.max_offset,
        max_slew: policy.slew_threshold,
    };
    let system = SystemClock::open(limits);
    let clock = if settings.dry_run {
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
    let signed = receipts(settings, &mut warnings)?;
    // The kernel turns receive stamps on a little after the first socket that wants them.
    let _ = tsq_net::kernel_clock();

    let floor = memory.floor(signed);
    let rule = Rule {
        clock: Standing::of(clock.read(), floor),
        floor,
        keys: settings.bootstrap_servers,
    };
    let servers = settings.servers_for(rule.clock);
    let options = settings.options.clone();
    let mut run = Run {
        settings,
        policy,
        rule,
        clock,
        session: match settings.ladder {
            Some(ladder) => Session::with_fallback(servers, options, ladder),
            None => Session::new(servers, options),
        }
        .map_err(internal)?,
        line: Line::new(!view.json),
    };
    let verify = settings.verify && !settings.dry_run;
    let share = |end: Instant| {
        if verify {
            part_of(FIRST_SHARE, end)
        } else {
            end
        }
    };
    let mut turn = run.turn(share(end))?;
    if turn.done.is_err() && Instant::now() + LEAST < end {
        turn = run.turn(share(end))?;
    }
    let Turn {
        begun,
        sources,
        analysis,
        trust,
        done,
    } = turn;
    let (action, mut exit) = done.unwrap_or_else(|disturbance| {
        let reason = format!("{disturbance}: run this again when nothing else moves it");
        (Action::refused(reason), Exit::Internal)
    });
    // The clock may have been set by now: what follows must not hide that.
    let mut receipt_problem = None;
    if let Some(path) = &settings.receipt {
        match receipt::keep(path, &sources, &analysis, &action, settings.dry_run) {
            Ok(aside) => warnings.extend(aside.map(|aside| aside.to_string())),
            Err(error) => receipt_problem = Some(error.to_string()),
        }
    }
    let adjusted = matches!(action, Action::Slew { .. } | Action::Step { .. });
    let rest = if adjusted && verify {
        Some(run.look_again(end)?)
    } else {
        None
    };
    let not_taken = rest.as_ref().and_then(|rest| {
        if let Err(disturbance) = rest.undisturbed {
            return Some(format!("the clock was adjusted, and then {disturbance}"));
        }
        let before = analysis.combined.as_ref().ok()?;
        let after = rest.remaining.measured.as_ref().ok()?;
        unexplained((before, after), &action, rest.pending, begun.elapsed())
    });
    // What the servers agreed on may be kept, but not by a clock that is not theirs.
    let good = matches!(exit, Exit::Done | Exit::Unauthenticated) && not_taken.is_none();
    let state_problem = (good && !settings.dry_run)
        .then(|| memory.keep(&trust).err())
        .flatten()
        .map(|error| format!("the clock is adjusted, and that cannot be kept: {error}"));
    let problem = not_taken.or(receipt_problem).or(state_problem);
    if problem.is_some() {
        exit = Exit::Internal;
    }
    run.session.close();
    Ok(Outcome {
        sources,
        analysis,
        action,
        remaining: rest.map(|rest| rest.remaining),
        dry_run: settings.dry_run,
        elapsed: start.elapsed(),
        exit,
        warnings,
        problem,
        trust: Some(trust),
        self_test: None,
    })
}

/// Makes the file of receipts ready, if one is wanted; returns what in it raises the floor.
fn receipts(settings: &Settings, warnings: &mut Vec<String>) -> Result<Option<HostTime>, Unusable> {
    let (Some(path), Some(keys)) = (&settings.receipt, &settings.options.keys) else {
        return Ok(None);
    };
    let signed = receipt::last_signed(path, &**keys);
    let ready = receipt::append(path, Vec::new()).map_err(|error| Unusable {
        exit: Exit::Usage,
        problem: error.to_string(),
    })?;
    warnings.extend(ready.map(|aside| aside.to_string()));
    Ok(signed.unwrap_or_else(|why| {
        warnings.push(why.to_string());
        None
    }))
}

/// What it takes to measure, and to set the clock by it.
struct Run<'a> {
    settings: &'a Settings,
    policy: Policy,
    rule: Rule,
    clock: Box<dyn Clock>,
    session: Session,
    line: Line,
}

/// A measurement, and what came of it.
struct Turn {
    begun: Instant,
    sources: Vec<SourceReport>,
    analysis: Analysis,
    trust: TrustReport,
    done: Result<(Action, Exit), Disturbance>,
}

/// A second measurement.
struct Rest {
    remaining: Remaining,
    /// What a slew has still to do of it.
    pending: Offset,
    undisturbed: Result<(), Disturbance>,
}

impl Run<'_> {
    /// Measures until `end` at the latest, and adjusts.
    fn turn(&mut self, end: Instant) -> Result<Turn, Unusable> {
        let (begun, since) = (Instant::now(), self.clock.moment());
        let mut sources = self.measure(end)?;
        let now = self.clock.read();
        let (analysis, trust) = trust::decide(&mut sources, now, &self.rule, &self.settings.choice);
        let missing = uncounted::line(&sources, &analysis).filter(|_| self.settings.require_all);
        let done = match missing {
            Some(missing) => Ok((
                Action::refused(format!("{missing} (--require-all)")),
                Exit::NoAgreement,
            )),
            None => adjust(&analysis, &self.policy, self.clock.as_mut(), &since),
        };
        Ok(Turn {
            begun,
            sources,
            analysis,
            trust,
            done,
        })
    }

    /// Measures what is left.
    fn look_again(&mut self, end: Instant) -> Result<Rest, Unusable> {
        let since = self.clock.moment();
        let sources = self.measure(end)?;
        let measured = Analysis::of(&sources, &self.settings.choice).combined;
        Ok(Rest {
            undisturbed: undisturbed(&measured, self.clock.as_ref(), &since),
            remaining: Remaining { measured },
            // It could be read a moment ago.
            pending: self.clock.pending_slew().unwrap_or_default(),
        })
    }

    /// Asks all servers, and by other protocols those that TSQ does not reach.
    fn measure(&mut self, end: Instant) -> Result<Vec<SourceReport>, Unusable> {
        let line = &mut self.line;
        self.session
            .measure(end, &mut |progress| line.show(progress))
            .map_err(internal)
    }
}

/// So much of the time that is left.
fn part_of(share: f64, end: Instant) -> Instant {
    let now = Instant::now();
    now + end.saturating_duration_since(now).mul_f64(share)
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

/// Less is no time to measure anew: it would hide why.
const LEAST: Duration = Duration::from_millis(100);

/// How much of the time another run may take from us; and how much of what is left then the first measurement, when
/// a second is to follow.
const FIRST_SHARE: f64 = 0.8;
