//! Load: every answer brings forth the next request, or a schedule does; and every answer is checked.

mod capacity;
pub(crate) mod nts;
pub(crate) mod plain;
pub(crate) mod quic;
pub(crate) mod roughtime;

use std::time::{Duration, Instant};

use tsq_perf::{CpuTime, Pace};

use crate::Error;

pub(crate) use capacity::{Capacity, capacity};

/// A load generator: some number of clients, each with one request under way.
pub(crate) trait Load {
    /// Asks at this pace until `end`.
    ///
    /// # Errors
    /// The server gave an answer that is wrong, or none at all.
    fn run(&mut self, pace: &mut Pace, end: Instant) -> Result<(), Error>;

    /// Waits for the answers under way, at most as long as [`PATIENCE`].
    ///
    /// # Errors
    /// As [`Self::run`].
    fn finish(&mut self) -> Result<(), Error>;

    /// What has happened so far.
    fn tally(&self) -> Tally;
}

/// How requests ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Answered in time and right.
    pub(crate) answered: u64,
    /// Given up after [`PATIENCE`].
    pub(crate) lost: u64,
    /// Answered right after they were given up.
    pub(crate) late: u64,
}

impl Tally {
    fn since(self, earlier: Self) -> Self {
        Self {
            answered: self.answered - earlier.answered,
            lost: self.lost - earlier.lost,
            late: self.late - earlier.late,
        }
    }
}

/// What a server did under load, and what it used for that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Measured {
    pub(crate) tally: Tally,
    pub(crate) elapsed: Duration,
    /// Of the server's process, all threads.
    pub(crate) cpu: Duration,
}

impl Measured {
    pub(crate) fn requests_per_second(&self) -> f64 {
        self.answered() / self.elapsed.as_secs_f64()
    }

    pub(crate) fn cpu_us_per_request(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.answered()
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of requests are far below 2^53"
    )]
    fn answered(&self) -> f64 {
        self.tally.answered as f64
    }
}

/// Loads the server with process id `server` for `duration`, after a warm-up.
///
/// # Errors
/// As [`Load::run`], or when fewer than [`FEWEST`] requests were answered: no figure comes from that.
pub(crate) fn measure(
    load: &mut dyn Load,
    server: u32,
    duration: Duration,
) -> Result<Measured, Error> {
    let pace = &mut Pace::Closed(MOST_UNDER_WAY);
    load.run(pace, Instant::now() + WARM_UP)?;
    let (cpu, tally, begun) = (CpuTime::of(server)?, load.tally(), Instant::now());
    load.run(pace, begun + duration)?;
    let elapsed = begun.elapsed();
    let cpu = CpuTime::of(server)?.since(&cpu)?;
    let tally = load.tally().since(tally);
    if tally.answered < FEWEST {
        return Err(format!("only {} requests were answered", tally.answered).into());
    }
    Ok(Measured {
        tally,
        elapsed,
        cpu,
    })
}

const WARM_UP: Duration = Duration::from_millis(300);
const FEWEST: u64 = 1000;

/// How long an answer is waited for. Far beyond any queue: 1000 requests take a server 10 ms.
pub(crate) const PATIENCE: Duration = Duration::from_millis(500);

/// Requests under way at a time; with more clients than that, they take turns.
///
/// A socket buffer of Linux's default size holds some 270 small packets: with more requests than
/// that, the losses of a full buffer would be measured and not the server.
pub(crate) const MOST_UNDER_WAY: usize = 128;

/// How often given-up requests are looked for.
pub(crate) const SWEEP: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_divided_by_answers_only() {
        let measured = Measured {
            tally: Tally {
                answered: 1_000_000,
                lost: 500_000,
                late: 3,
            },
            elapsed: Duration::from_secs(5),
            cpu: Duration::from_secs(4),
        };
        assert!((measured.cpu_us_per_request() - 4.0).abs() < 1e-9);
        assert!((measured.requests_per_second() - 200_000.0).abs() < 1e-6);
    }
}
