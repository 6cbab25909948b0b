//! One run, from the command line to what it prints.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use crate::args::Args;
use crate::ask::Pace;
use crate::connections::Connections;
use crate::crowd::Crowd;
use crate::pace::Schedule;
use crate::report::{DEFAULT_MAX_LOSS, Idle, Outcome, Report, Step, Stormed};
use crate::settings::Settings;
use crate::storm::{Handshakes, Storm};
use crate::tally::Tally;
use crate::watch::{Usage, Used, Watched, own_cpu};
use crate::{Ask, Error};

/// Runs and prints; gives the exit code.
pub fn main(args: &Args) -> u8 {
    let report = match run(args) {
        Ok(report) => report,
        Err(error) => {
            tell(format_args!("{}: {error}", args.server));
            return error.exit_code();
        }
    };
    let code = report.exit_code();
    if let Err(error) = report.print(args.json) {
        tell(format_args!("{error}"));
        return 1;
    }
    if let Some(problem) = report.problem() {
        tell(format_args!("{}: {problem}", args.server));
    }
    code
}

/// A line on standard error; there may be nobody to read it.
fn tell(words: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "tsq-perf: {words}");
}

/// What was measured, up to the first error.
fn run(args: &Args) -> Result<Report, Error> {
    let ending = tsq_command::first_process::end_by_signals()?;
    let settings = Settings::new(args)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    ending.leave();
    let mut report = Report {
        title: settings.title(args),
        pid: settings.watched.map(|it| it.pid()),
        outcome: Outcome::Requests(Vec::new()),
        connections: None,
        idle: None,
        error: None,
        max_loss: args.max_loss,
        signed: args.signed,
        in_steps: args.steps.is_some(),
        interrupted: false,
    };
    let done = match args.handshakes {
        true => storm(args, &settings, &stop, &mut report),
        false => requests(args, &settings, &stop, &mut report),
    };
    report.error = done.err();
    report.interrupted = stop.load(Ordering::Relaxed);
    Ok(report)
}

fn requests(
    args: &Args,
    settings: &Settings,
    stop: &AtomicBool,
    report: &mut Report,
) -> Result<(), Error> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut threads = Vec::new();
        // Those of one thread ask before the next are made, or they would time out meanwhile.
        let count = args.idle.div_ceil(IDLE_AT_ONCE);
        let made = (0..count).try_for_each(|index| {
            let mut crowd = connect(settings, share(args.idle, count, index), stop)?;
            let done = &done;
            threads.push(scope.spawn(move || Ok(ask_slowly(&mut crowd, done))));
            Ok(())
        });
        let result = made.and_then(|()| steps(args, settings, stop, report));
        done.store(true, Ordering::Relaxed);
        let mut idle = (count > 0).then(Idle::default);
        let mut ended = Ok(());
        for thread in threads {
            let (tally, connections, result) = joined(thread)?;
            if let Some(idle) = &mut idle {
                idle.tally.merge(&tally);
                idle.connections.merge(&connections);
            }
            ended = ended.and(result);
        }
        report.idle = idle;
        result.and(ended)
    })
}

fn steps(
    args: &Args,
    settings: &Settings,
    stop: &AtomicBool,
    report: &mut Report,
) -> Result<(), Error> {
    let mut crowds = in_parallel((0..args.threads).collect(), |index| {
        connect(settings, share(args.connections, args.threads, index), stop)
    })?;
    if !args.json {
        tell(format_args!("{}", all_connections(&crowds).words()));
    }
    let mut steps = Vec::new();
    let result = climb(&mut crowds, args, settings, stop, &mut steps);
    report.outcome = Outcome::Requests(steps);
    let connections = all_connections(&crowds);
    let none = connections.alive == 0 && !stop.load(Ordering::Relaxed);
    let ended = none.then(|| Error::NoConnection(connections.end_words()));
    report.connections = Some(connections);
    result.and(ended.map_or(Ok(()), Err))
}

fn all_connections(crowds: &[Crowd]) -> Connections {
    let mut all = Connections::default();
    for crowd in crowds {
        all.merge(&crowd.connections());
    }
    all
}

/// Step after step, as long as one follows and a connection is left.
fn climb(
    crowds: &mut [Crowd],
    args: &Args,
    settings: &Settings,
    stop: &AtomicBool,
    steps: &mut Vec<Step>,
) -> Result<(), Error> {
    let watched = settings.watched.as_ref();
    let mut rate = args.rate;
    phase(crowds, args, rate, args.warm_up, stop)?;
    while crowds.iter().any(|crowd| crowd.alive() > 0) {
        crowds.iter_mut().for_each(|crowd| drop(crowd.take_tally()));
        let before = Before::now(watched);
        let elapsed = phase(crowds, args, rate, args.duration, stop)?;
        let mut tally = Tally::default();
        for crowd in crowds.iter_mut() {
            tally.merge(&crowd.take_tally());
        }
        let (used, own) = before.since(watched);
        let loss = tally.loss() * 100.0;
        steps.push(Step {
            wanted: rate,
            elapsed,
            tally,
            used,
            own,
            alive: crowds.iter().map(Crowd::alive).sum(),
        });
        let most = args.max_loss.unwrap_or(DEFAULT_MAX_LOSS);
        match (args.steps, rate) {
            (Some(factor), Some(last))
                if loss <= most && !stop.load(Ordering::Relaxed) && last < FASTEST =>
            {
                rate = Some(last * factor);
            }
            _ => break,
        }
        phase(crowds, args, rate, args.warm_up, stop)?;
    }
    Ok(())
}

/// One stretch of asking at one rate; how long it lasted, the wait for the last answers aside.
fn phase(
    crowds: &mut [Crowd],
    args: &Args,
    rate: Option<f64>,
    duration: Duration,
    stop: &AtomicBool,
) -> Result<Duration, Error> {
    let begun = Instant::now();
    let end = begun + duration;
    let in_flight = share(args.in_flight, args.threads, 0).max(1);
    in_parallel(crowds.iter_mut().collect(), |crowd: &mut Crowd| {
        let mut pace = pace(args, rate, in_flight, begun);
        match crowd.run(&mut pace, end, stop) {
            // Those of other threads may go on.
            Err(Error::NoConnection(_)) if crowd.alive() == 0 => Ok(()),
            result => result,
        }
    })?;
    let elapsed = begun.elapsed();
    in_parallel(crowds.iter_mut().collect(), Crowd::finish)?;
    Ok(elapsed)
}

fn storm(
    args: &Args,
    settings: &Settings,
    stop: &AtomicBool,
    report: &mut Report,
) -> Result<(), Error> {
    let ask = Ask {
        patience: settings.ask.patience.max(HANDSHAKE_PATIENCE),
        ..settings.ask
    };
    let mut storms = in_parallel((0..args.threads).collect(), |_| {
        Storm::new(settings.server, &settings.believed, args.mix, ask)
    })?;
    let mut phase = |duration: Duration| {
        let begun = Instant::now();
        let most = share(args.connections, args.threads, 0).max(1);
        let end = begun + duration;
        let result = in_parallel(storms.iter_mut().collect(), |storm| {
            storm.run(&mut pace(args, args.rate, most, begun), end, stop)
        });
        let elapsed = begun.elapsed();
        let result = result.and(in_parallel(storms.iter_mut().collect(), Storm::finish));
        let mut all = Handshakes::default();
        for storm in &mut storms {
            all.merge(&storm.take_counts());
        }
        (elapsed, all, result.map(drop))
    };
    let watched = settings.watched.as_ref();
    let mut measured = |duration: Duration| {
        let (before, full) = (Before::now(watched), settings.believed.full_handshakes());
        let (elapsed, handshakes, result) = phase(duration);
        let (used, own) = before.since(watched);
        report.outcome = Outcome::Handshakes(Box::new(Stormed {
            elapsed,
            handshakes,
            full: settings.believed.full_handshakes() - full,
            used,
            own,
        }));
        result
    };
    // What went wrong while warming up is told as well.
    measured(args.warm_up)?;
    measured(args.duration)
}

fn pace(args: &Args, rate: Option<f64>, most: usize, begun: Instant) -> Pace {
    match rate {
        None => Pace::Closed(most),
        Some(rate) => {
            let rate = rate / f64::from(args.threads);
            Pace::Open(Schedule::new(begun, rate, !args.even))
        }
    }
}

fn connect(settings: &Settings, count: usize, stop: &AtomicBool) -> Result<Crowd, Error> {
    let Settings {
        server,
        believed,
        ask,
        ..
    } = settings;
    Crowd::connect(*server, believed, count, *ask, stop)
}

/// Each of the idle connections asks in turn, often enough not to be given up as silent.
fn ask_slowly(crowd: &mut Crowd, done: &AtomicBool) -> Slow {
    #[expect(clippy::cast_precision_loss, reason = "at most 100 000")]
    let rate = crowd.alive() as f64 / IDLE_TURN.as_secs_f64();
    let forever = Instant::now() + Duration::from_secs(7 * 86_400);
    let mut pace = Pace::Open(Schedule::new(Instant::now(), rate.max(0.1), false));
    let result = match crowd.run(&mut pace, forever, done) {
        // The connections tell.
        Err(Error::NoConnection(_)) if crowd.alive() == 0 => Ok(()),
        result => result,
    };
    let result = result.and_then(|()| crowd.finish());
    (crowd.take_tally(), crowd.connections(), result)
}

type Slow = (Tally, Connections, Result<(), Error>);

/// The state of both processes before a measurement.
struct Before {
    usage: Option<Usage>,
    own: Duration,
}

impl Before {
    fn now(watched: Option<&Watched>) -> Self {
        Self {
            usage: watched.and_then(|it| it.usage().ok()),
            own: own_cpu(),
        }
    }

    fn since(&self, watched: Option<&Watched>) -> (Option<Used>, Duration) {
        let now = Self::now(watched);
        let used = now.usage.zip(self.usage.as_ref());
        (
            used.map(|(now, before)| now.since(before)),
            now.own.saturating_sub(self.own),
        )
    }
}

/// Does `work` on each item in a thread of its own.
fn in_parallel<T: Send, R: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> Result<R, Error> + Sync,
) -> Result<Vec<R>, Error> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items
            .into_iter()
            .map(|item| scope.spawn(move || work(item)))
            .collect();
        threads.into_iter().map(joined).collect()
    })
}

fn joined<R>(thread: thread::ScopedJoinHandle<'_, Result<R, Error>>) -> Result<R, Error> {
    thread
        .join()
        .unwrap_or_else(|_| Err("a thread of the generator panicked".into()))
}

/// The part of `count` that thread `index` of `threads` has.
fn share(count: u32, threads: u32, index: u32) -> usize {
    let more = u32::from(index < count % threads);
    (count / threads + more) as usize
}

/// Idle connections made without any of them asking.
const IDLE_AT_ONCE: u32 = 1000;

/// Requests a second no program on one host makes.
const FASTEST: f64 = 1e7;
/// Within the ten seconds after which a silent client connection ends.
const IDLE_TURN: Duration = Duration::from_secs(8);
/// A lost packet of a handshake is repeated after 90 ms, and again after twice that.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        for (count, threads) in [(50, 1), (50, 3), (7, 7), (100, 8)] {
            let sum: usize = (0..threads).map(|i| share(count, threads, i)).sum();
            assert_eq!(sum, count as usize);
        }
    }
}
