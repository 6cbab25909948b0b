//! One run, from the command line to what it prints.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::args::Args;
use crate::crowd::{Crowd, Pace};
use crate::pace::Schedule;
use crate::report::{Outcome, Report, Step, Stormed};
use crate::settings::Settings;
use crate::storm::{Handshakes, Storm};
use crate::tally::Tally;
use crate::watch::{Usage, Used, Watched, own_cpu};
use crate::{Ask, Error};

/// Runs and prints; gives the exit code.
pub fn main(args: &Args) -> u8 {
    match run(args) {
        Ok(report) => {
            report.print(args.json);
            if let Some(hint) = report.hint() {
                eprintln!("tsq-perf: {}: {hint}", args.server);
            }
            report.exit_code()
        }
        Err(error) => {
            eprintln!("tsq-perf: {}: {error}", args.server);
            error.exit_code()
        }
    }
}

fn run(args: &Args) -> Result<Report, Error> {
    let settings = Settings::new(args)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let (outcome, idle) = if args.handshakes {
        (storm(args, &settings, &stop)?, None)
    } else {
        requests(args, &settings, &stop)?
    };
    Ok(Report {
        title: settings.title(args),
        pid: settings.watched.map(|it| it.pid()),
        outcome,
        idle,
        max_loss: args.max_loss,
        signed: args.signed,
        in_steps: args.steps.is_some(),
        interrupted: stop.load(Ordering::Relaxed),
    })
}

fn requests(
    args: &Args,
    settings: &Settings,
    stop: &AtomicBool,
) -> Result<(Outcome, Option<Tally>), Error> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut idle = Vec::new();
        // Those of one thread ask before the next are made, or they would time out meanwhile.
        let threads = args.idle.div_ceil(IDLE_AT_ONCE);
        let made = (0..threads).try_for_each(|index| {
            let mut crowd = connect(settings, share(args.idle, threads, index), stop)?;
            let done = &done;
            idle.push(scope.spawn(move || ask_slowly(&mut crowd, done)));
            Ok(())
        });
        let steps = made.and_then(|()| steps(args, settings, stop));
        done.store(true, Ordering::Relaxed);
        let mut tally = (threads > 0).then(Tally::default);
        for thread in idle {
            let more = joined(thread);
            if let Some(tally) = &mut tally {
                tally.merge(&more?);
            }
        }
        let idle = tally;
        Ok((Outcome::Requests(steps?), idle))
    })
}

fn steps(args: &Args, settings: &Settings, stop: &AtomicBool) -> Result<Vec<Step>, Error> {
    let mut crowds = in_parallel((0..args.threads).collect(), |index| {
        connect(settings, share(args.connections, args.threads, index), stop)
    })?;
    if !args.json {
        eprintln!("tsq-perf: {} connections made", args.connections);
    }
    let watched = settings.watched.as_ref();
    let warm_up = Duration::from_secs_f64(args.warm_up);
    let (mut rate, mut steps) = (args.rate, Vec::new());
    loop {
        phase(&mut crowds, args, rate, warm_up, stop)?;
        crowds.iter_mut().for_each(|crowd| drop(crowd.take_tally()));
        let before = Before::now(watched);
        let elapsed = phase(
            &mut crowds,
            args,
            rate,
            Duration::from_secs_f64(args.duration),
            stop,
        )?;
        let mut tally = Tally::default();
        for crowd in &mut crowds {
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
    }
    crowds.iter_mut().for_each(Crowd::close);
    Ok(steps)
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
    let in_flight = share(args.in_flight, args.threads, 0).max(1);
    in_parallel(crowds.iter_mut().collect(), |crowd| {
        let mut pace = pace(args, rate, in_flight, begun);
        crowd.run(&mut pace, begun + duration, stop)
    })?;
    let elapsed = begun.elapsed();
    in_parallel(crowds.iter_mut().collect(), Crowd::finish)?;
    Ok(elapsed)
}

fn storm(args: &Args, settings: &Settings, stop: &AtomicBool) -> Result<Outcome, Error> {
    let ask = Ask {
        patience: settings.ask.patience.max(HANDSHAKE_PATIENCE),
        ..settings.ask
    };
    let mut storms = in_parallel((0..args.threads).collect(), |_| {
        Storm::new(settings.server, &settings.believed, args.mix, ask)
    })?;
    let mut phase = |seconds: f64| {
        let begun = Instant::now();
        let most = share(args.connections, args.threads, 0).max(1);
        in_parallel(storms.iter_mut().collect(), |storm| {
            let mut pace = pace(args, args.rate, most, begun);
            storm.run(&mut pace, begun + Duration::from_secs_f64(seconds), stop)
        })?;
        let elapsed = begun.elapsed();
        in_parallel(storms.iter_mut().collect(), Storm::finish)?;
        let mut all = Handshakes::default();
        for storm in &mut storms {
            all.merge(&storm.take_counts());
        }
        Ok::<_, Error>((elapsed, all))
    };
    phase(args.warm_up)?;
    let watched = settings.watched.as_ref();
    let (before, full) = (Before::now(watched), settings.believed.full_handshakes());
    let (elapsed, handshakes) = phase(args.duration)?;
    let (used, own) = before.since(watched);
    Ok(Outcome::Handshakes(Box::new(Stormed {
        elapsed,
        handshakes,
        full: settings.believed.full_handshakes() - full,
        used,
        own,
    })))
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
fn ask_slowly(crowd: &mut Crowd, done: &AtomicBool) -> Result<Tally, Error> {
    #[expect(clippy::cast_precision_loss, reason = "at most 100 000")]
    let rate = crowd.alive() as f64 / IDLE_TURN.as_secs_f64();
    let forever = Instant::now() + Duration::from_secs(7 * 86_400);
    let mut pace = Pace::Open(Schedule::new(Instant::now(), rate.max(0.1), false));
    crowd.run(&mut pace, forever, done)?;
    crowd.finish()?;
    crowd.close();
    Ok(crowd.take_tally())
}

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

/// As ntpperf and others have it.
pub(crate) const DEFAULT_MAX_LOSS: f64 = 0.1;
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
