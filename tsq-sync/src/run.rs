//! One run: measure, decide, adjust, look again.

use std::time::{Duration, Instant};

use tsq_algo::Policy;
use tsq_client::{Progress, Session, SourceReport};
use tsq_clock::{Clock, Disturbance, DryRun, Limits, SystemClock};
use tsq_proto::{HostTime, Offset};

use crate::action::{Action, Refusal};
use crate::adjust::{adjust, undisturbed};
use crate::judged::Judged;
use crate::memory::Memory;
use crate::outcome::{Outcome, Problem, Remaining, Warning};
use crate::remaining::unexplained;
use crate::settings::Settings;
use crate::standing::{Rule, Standing};
use crate::uncounted::Uncounted;
use crate::unready::Unready;
use crate::{keeper, receipt, trust};

/// Measures and adjusts as the settings say; `progress` is called a few times a second.
///
/// # Errors
/// [`Unready`] if the clock may not be set (before anything is sent), or the system fails us.
pub fn synchronise(
    settings: &Settings,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Outcome, Unready> {
    let start = Instant::now();
    let end = start + settings.timeout;
    let (mut run, warnings) = Run::ready(settings, start, progress)?;
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
        judged,
        done,
    } = turn;
    let action = done.unwrap_or_else(|disturbance| Refusal::Disturbed(disturbance).into());
    let mut outcome = Outcome {
        sources,
        judged,
        action,
        remaining: None,
        dry_run: settings.dry_run,
        elapsed: Duration::ZERO,
        warnings,
        problems: Vec::new(),
        self_test: None,
    };
    // The clock may have been set by now: what follows must not hide that.
    run.keep_receipts(&mut outcome);
    if outcome.action.adjusts() && verify {
        let rest = run.look_again(end)?;
        outcome.problems.extend(rest.problem(&outcome, begun));
        outcome.remaining = Some(rest.remaining);
    }
    run.remember(&mut outcome);
    run.session.close();
    outcome.elapsed = start.elapsed();
    Ok(outcome)
}

/// Makes the file of receipts ready, if one is wanted; returns what in it raises the floor.
fn receipts(settings: &Settings, warnings: &mut Vec<Warning>) -> Result<Option<HostTime>, Unready> {
    let (Some(path), Some(keys)) = (&settings.receipt, &settings.options.keys) else {
        return Ok(None);
    };
    let signed = receipt::last_signed(path, &**keys);
    let ready = receipt::append(path, Vec::new()).map_err(Unready::Receipt)?;
    warnings.extend(ready.map(Warning::Aside));
    Ok(signed.unwrap_or_else(|why| {
        warnings.push(Warning::Unsafe(why));
        None
    }))
}

/// What it takes to measure, and to set the clock by it.
struct Run<'a> {
    settings: &'a Settings,
    policy: Policy,
    rule: Rule,
    memory: Memory,
    clock: Box<dyn Clock>,
    session: Session,
    progress: &'a mut dyn FnMut(&Progress),
}

/// A measurement, and what came of it.
struct Turn {
    begun: Instant,
    sources: Vec<SourceReport>,
    judged: Judged,
    done: Result<Action, Disturbance>,
}

/// A second measurement.
struct Rest {
    remaining: Remaining,
    /// What a slew has still to do of it.
    pending: Offset,
    undisturbed: Result<(), Disturbance>,
}

impl Rest {
    /// What is wrong with it, after a measurement that began then and an adjustment.
    fn problem(&self, outcome: &Outcome, begun: Instant) -> Option<Problem> {
        if let Err(disturbance) = self.undisturbed {
            return Some(Problem::Disturbed(disturbance));
        }
        let before = outcome.judged.combined.as_ref().ok()?;
        let after = self.remaining.measured.as_ref().ok()?;
        let elapsed = begun.elapsed();
        unexplained((before, after), &outcome.action, self.pending, elapsed).map(Problem::NotTaken)
    }
}

impl<'a> Run<'a> {
    /// Everything that must hold before something is sent.
    fn ready(
        settings: &'a Settings,
        start: Instant,
        progress: &'a mut dyn FnMut(&Progress),
    ) -> Result<(Self, Vec<Warning>), Unready> {
        let mut warnings = Vec::new();
        if !settings.dry_run {
            warnings.extend(may_set(settings.beside_daemon)?);
        }
        let until = start + settings.timeout.mul_f64(FIRST_SHARE);
        let (memory, warning) = Memory::open(&settings.keeping, settings.dry_run, until)?;
        warnings.extend(warning);
        let policy = Policy {
            max_offset: memory.max_offset(settings.policy.max_offset),
            ..settings.policy
        };
        let limits = Limits {
            max_step: policy.max_offset,
            max_slew: policy.slew_threshold,
        };
        let system = SystemClock::open(limits);
        let clock = if settings.dry_run {
            memory.hold(DryRun::new(system, limits))?
        } else {
            memory.hold(system)?
        };
        // The TLS library takes such a clock for impossible, and panics.
        if clock.read() < HostTime::from_unix_nanos(0) {
            return Err(Unready::BeforeEpoch);
        }
        let signed = receipts(settings, &mut warnings)?;
        // The kernel turns receive stamps on a little after the first socket that wants them.
        let _ = tsq_net::kernel_clock();
        let floor = memory.floor(signed);
        let rule = Rule {
            clock: Standing::of(clock.read(), SystemClock::state(), floor),
            floor,
            keys: settings.bootstrap_servers,
        };
        let (servers, options) = (settings.servers_for(rule.clock), settings.options.clone());
        let run = Self {
            settings,
            policy,
            rule,
            memory,
            clock,
            session: match settings.ladder {
                Some(ladder) => Session::with_fallback(servers, options, ladder)?,
                None => Session::new(servers, options)?,
            },
            progress,
        };
        Ok((run, warnings))
    }

    /// Measures until `end` at the latest, and adjusts.
    fn turn(&mut self, end: Instant) -> Result<Turn, Unready> {
        let (begun, since) = (Instant::now(), self.clock.moment());
        let mut sources = self.session.measure(end, self.progress)?;
        let now = self.clock.read();
        let judged = trust::judge(&mut sources, now, &self.rule, &self.settings.choice);
        let missing = Uncounted::of(&sources, &judged).filter(|_| self.settings.require_all);
        let done = match missing {
            Some(missing) => Ok(Refusal::NotAll(missing).into()),
            None => adjust(&judged, &self.policy, self.clock.as_mut(), &since),
        };
        Ok(Turn {
            begun,
            sources,
            judged,
            done,
        })
    }

    /// Measures what is left.
    fn look_again(&mut self, end: Instant) -> Result<Rest, Unready> {
        let since = self.clock.moment();
        let sources = self.session.measure(end, self.progress)?;
        let measured = Judged::of(&sources, &self.settings.choice).combined;
        Ok(Rest {
            undisturbed: undisturbed(&measured, self.clock.as_ref(), &since),
            remaining: Remaining { measured },
            // It could be read a moment ago.
            pending: self.clock.pending_slew().unwrap_or_default(),
        })
    }

    fn keep_receipts(&self, outcome: &mut Outcome) {
        let Some(path) = &self.settings.receipt else {
            return;
        };
        let action = match outcome.dry_run {
            true => "none",
            false => outcome.action.name(),
        };
        let (sources, judged) = (&outcome.sources, &outcome.judged);
        match receipt::keep(path, sources, judged, action, self.clock.read()) {
            Ok(aside) => outcome.warnings.extend(aside.map(Warning::Aside)),
            Err(error) => outcome.problems.push(Problem::Receipt(error)),
        }
    }

    /// What the servers agreed on may be kept, but not by a clock that is not theirs.
    fn remember(&self, outcome: &mut Outcome) {
        let not_taken = outcome
            .problems
            .iter()
            .any(|problem| matches!(problem, Problem::NotTaken(_) | Problem::Disturbed(_)));
        let refused = matches!(outcome.action, Action::Refused { .. });
        if refused || not_taken || self.settings.dry_run {
            return;
        }
        if let Some(trust) = &outcome.judged.trust
            && let Err(error) = self.memory.keep(trust)
        {
            outcome.problems.push(Problem::State(error));
        }
    }
}

/// So much of the time that is left.
fn part_of(share: f64, end: Instant) -> Instant {
    let now = Instant::now();
    now + end.saturating_duration_since(now).mul_f64(share)
}

/// That this process may set the clock, and no daemon keeps it, unless it is to be set `beside` one; a warning if one
/// runs that may begin to.
///
/// # Errors
/// [`Unready`] says which.
pub fn may_set(beside: bool) -> Result<Option<Warning>, Unready> {
    let nothing = Limits {
        max_step: Duration::ZERO,
        max_slew: Duration::ZERO,
    };
    SystemClock::open(nothing)
        .may_set()
        .map_err(Unready::Clock)?;
    keeper::alone(beside)
}

/// Less is no time to measure anew: it would hide why.
const LEAST: Duration = Duration::from_millis(100);

/// How much of the time another run may take from us; and how much of what is left then the first measurement, when
/// a second is to follow.
const FIRST_SHARE: f64 = 0.8;
