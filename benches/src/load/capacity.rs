//! How many requests a second a server takes before it loses some.

use std::time::{Duration, Instant};

use tsq_perf::{Pace, Schedule};

use super::{Load, Tally};
use crate::Error;

/// The outcome of rate steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Capacity {
    /// Answered requests per second at the highest step with no more than [`MOST_LOST`]; None when there was none.
    pub(crate) rate: Option<f64>,
    /// The generator could not ask faster: the server may take more.
    pub(crate) is_ours: bool,
}

/// Asks at rates that rise around `closed`, what it answered when each answer brought forth the next request, each
/// for `step`, until too many are lost.
///
/// # Errors
/// As [`Load::run`].
pub(crate) fn capacity(
    load: &mut dyn Load,
    closed: f64,
    step: Duration,
) -> Result<Capacity, Error> {
    load.finish()?;
    let mut reached = None;
    for factor in STEPS {
        let rate = closed * factor;
        // A server that was kept from its core for a moment loses packets, too: only a loss that is repeated counts.
        let mut outcome = take(load, rate, step)?;
        if outcome.is_none() {
            outcome = take(load, rate, step)?;
        }
        match outcome {
            Some(Taken::All(answered)) => reached = Some(answered),
            Some(Taken::NotAsked) => break,
            None => {
                return Ok(Capacity {
                    rate: reached,
                    is_ours: false,
                });
            }
        }
    }
    Ok(Capacity {
        rate: reached,
        is_ours: true,
    })
}

/// Of what is answered with every answer bringing forth the next request.
const STEPS: [f64; 10] = [0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5];

/// Of those asked: 0.1 %.
const MOST_LOST: f64 = 0.001;
/// A generator that asked less of what it was to ask says nothing of the server. Arrivals are random: of a thousand,
/// some 30 more or less.
const LEAST_ASKED: f64 = 0.95;

/// What became of a step that lost no more than it may.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Taken {
    /// Requests answered per second.
    All(f64),
    /// Too few were asked.
    NotAsked,
}

/// One step; None when it lost too many.
fn take(load: &mut dyn Load, rate: f64, step: Duration) -> Result<Option<Taken>, Error> {
    let (before, begun) = (load.tally(), Instant::now());
    let mut pace = Pace::Open(Schedule::new(begun, rate, true));
    load.run(&mut pace, begun + step)?;
    let elapsed = begun.elapsed();
    load.finish()?;
    let tally = load.tally().since(before);
    Ok(match verdict(tally, rate * step.as_secs_f64()) {
        Verdict::Taken => Some(Taken::All(count(tally.answered) / elapsed.as_secs_f64())),
        Verdict::NotAsked => Some(Taken::NotAsked),
        Verdict::Lost => None,
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Taken,
    Lost,
    NotAsked,
}

fn verdict(tally: Tally, wanted: f64) -> Verdict {
    let (asked, lost) = (count(tally.answered + tally.lost), count(tally.lost));
    if lost > asked * MOST_LOST {
        Verdict::Lost
    } else if asked < wanted * LEAST_ASKED {
        Verdict::NotAsked
    } else {
        Verdict::Taken
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of requests are far below 2^53"
)]
fn count(requests: u64) -> f64 {
    requests as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(answered: u64, lost: u64) -> Tally {
        Tally {
            answered,
            lost,
            late: 0,
        }
    }

    #[test]
    fn one_in_a_thousand_may_be_lost_and_no_more() {
        assert_eq!(verdict(tally(9990, 10), 10_000.0), Verdict::Taken);
        assert_eq!(verdict(tally(9989, 11), 10_000.0), Verdict::Lost);
    }

    #[test]
    fn what_was_not_asked_is_not_the_servers_fault() {
        assert_eq!(verdict(tally(9400, 0), 10_000.0), Verdict::NotAsked);
        assert_eq!(verdict(tally(9600, 0), 10_000.0), Verdict::Taken);
        assert_eq!(verdict(tally(0, 0), 10_000.0), Verdict::NotAsked);
    }

    /// Loses everything of a step with more requests than that.
    struct Limited {
        most: u64,
        tally: Tally,
        steps: Vec<u64>,
    }

    impl Load for Limited {
        fn run(&mut self, pace: &mut Pace, end: Instant) -> Result<(), Error> {
            let Pace::Open(schedule) = pace else {
                return Err("closed".into());
            };
            let mut asked = 0;
            while schedule.take(end).is_some() {
                asked += 1;
            }
            self.steps.push(asked);
            if asked > self.most {
                self.tally.lost += asked;
            } else {
                self.tally.answered += asked;
            }
            Ok(())
        }

        fn finish(&mut self) -> Result<(), Error> {
            Ok(())
        }

        fn tally(&self) -> Tally {
            self.tally
        }
    }

    /// A hundred thousand requests at a factor of 1: their chance is some 300 more or less.
    #[test]
    fn capacity_is_the_last_rate_before_the_loss() {
        let mut server = Limited {
            most: 75_000,
            tally: tally(0, 0),
            steps: Vec::new(),
        };
        let found = capacity(&mut server, 1e6, Duration::from_millis(100)).unwrap();
        assert!(!found.is_ours && found.rate.is_some(), "{found:?}");
        // 0.25, 0.4, 0.55, 0.7, and twice 0.8.
        assert_eq!(server.steps.len(), 6, "{:?}", server.steps);
        assert!(server.steps[3] > 65_000 && server.steps[4] > 75_000);
    }

    #[test]
    fn server_that_takes_every_step_was_not_the_limit() {
        let mut server = Limited {
            most: u64::MAX,
            tally: tally(0, 0),
            steps: Vec::new(),
        };
        let found = capacity(&mut server, 1e5, Duration::from_millis(100)).unwrap();
        assert!(found.is_ours && found.rate.is_some(), "{found:?}");
        assert_eq!(server.steps.len(), STEPS.len());
    }
}
