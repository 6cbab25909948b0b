//! Clocks under true time: the servers', and the client's with what its kernel adds to it.

use std::time::Duration;

use tsq_algo::discipline::{Now, Rate};
use tsq_proto::{HostTime, Monotonic};

use crate::expression::{Instance, Names};
use crate::scenario::Oscillator;

/// A moment of true time, in ps: four months fit, and a delay is rounded by less than any clock shows.
pub(crate) type Moment = u64;

/// One second.
pub(crate) const SECOND: Moment = 1_000_000_000_000;

/// So many ps, rounded; None of a negative number, none at all, or one beyond four months.
pub(crate) fn span(seconds: f64) -> Option<Moment> {
    let fits = (0.0..=1e7).contains(&seconds);
    fits.then(|| (seconds * SECOND as f64).round() as Moment)
}

/// In s.
pub(crate) fn seconds(span: Moment) -> f64 {
    span as f64 / SECOND as f64
}

/// A frequency that stops a clock, or runs it backwards or at twice its speed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BadFrequency(pub(crate) f64);

/// A clock that nobody corrects.
#[derive(Debug)]
pub(crate) struct Free {
    frequency: Instance,
    /// Its frequency error until the next whole second.
    rate: f64,
    /// Its error at `since`, s.
    error: f64,
    since: Moment,
}

impl Free {
    /// At true time 0.
    pub(crate) fn new(
        oscillator: &Oscillator,
        seed: u64,
        owner: u64,
    ) -> Result<Self, BadFrequency> {
        let mut clock = Self {
            frequency: Instance::new(&oscillator.frequency, seed, owner),
            rate: 0.0,
            error: oscillator.offset,
            since: 0,
        };
        clock.second(0)?;
        Ok(clock)
    }

    /// A whole second has come: the frequency is another.
    pub(crate) fn second(&mut self, now: Moment) -> Result<(), BadFrequency> {
        self.error = self.error(now);
        self.since = now;
        self.rate = self.frequency.evaluate(&Names::default());
        match self.rate.abs() < 0.5 {
            true => Ok(()),
            false => Err(BadFrequency(self.rate)),
        }
    }

    /// It jumps.
    pub(crate) fn step(&mut self, by: f64) {
        self.error += by;
    }

    /// How far it is ahead of true time, s.
    pub(crate) fn error(&self, now: Moment) -> f64 {
        self.error + self.rate * seconds(now.saturating_sub(self.since))
    }

    /// What it shows.
    pub(crate) fn read(&self, now: Moment) -> HostTime {
        HostTime::from_unix_nanos(START_UNIX + nanos(now, self.error(now)))
    }
}

/// True time 0, in ns since 1970: a day in November 2023, and what the raw clock shows then.
const START_UNIX: i64 = 1_700_000_000_000_000_000;
const START_RAW: i64 = 1_000_000_000_000;

fn nanos(now: Moment, error: f64) -> i64 {
    let whole = (now / 1000).cast_signed();
    let rest = (now % 1000) as f64 / 1000.0 + error * 1e9;
    whole + rest.round() as i64
}

/// The client's clocks.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The oscillator: its error is that of the raw clock, were it not for sleep.
    oscillator: Free,
    /// What the kept clock runs faster than the raw one.
    rate: f64,
    /// The kept clock's error at `since`, s.
    error: f64,
    since: Moment,
    slept: Moment,
    /// When it fell asleep, and its error then.
    asleep: Option<(Moment, f64)>,
}

impl Kept {
    /// At true time 0.
    pub(crate) fn new(
        oscillator: &Oscillator,
        seed: u64,
        owner: u64,
    ) -> Result<Self, BadFrequency> {
        let free = Oscillator {
            offset: 0.0,
            ..oscillator.clone()
        };
        Ok(Self {
            oscillator: Free::new(&free, seed, owner)?,
            rate: 0.0,
            error: oscillator.offset,
            since: 0,
            slept: 0,
            asleep: None,
        })
    }

    /// A whole second has come.
    pub(crate) fn second(&mut self, now: Moment) -> Result<(), BadFrequency> {
        self.settle(now);
        self.oscillator.second(now)
    }

    /// From now on it runs like this.
    pub(crate) fn run(&mut self, rate: Rate, now: Moment) {
        self.settle(now);
        self.rate = (1.0 + rate.frequency) * (1.0 + rate.slew) - 1.0;
    }

    /// It jumps.
    pub(crate) fn step(&mut self, by: f64, now: Moment) {
        self.settle(now);
        self.error += by;
    }

    /// d(clock)/dt - 1.
    pub(crate) fn frequency(&self) -> f64 {
        (1.0 + self.oscillator.rate) * (1.0 + self.rate) - 1.0
    }

    /// How far it is ahead of true time, s.
    pub(crate) fn error(&self, now: Moment) -> f64 {
        self.error + self.frequency() * seconds(now.saturating_sub(self.since))
    }

    fn settle(&mut self, now: Moment) {
        self.error = self.error(now);
        self.since = now;
    }

    /// The machine falls asleep.
    pub(crate) fn suspend(&mut self, now: Moment) {
        self.asleep = Some((now, self.error(now)));
    }

    /// It wakes, its clock having gained so much meanwhile.
    pub(crate) fn resume(&mut self, gained: f64, now: Moment) {
        if let Some((since, error)) = self.asleep.take() {
            self.slept += now.saturating_sub(since);
            self.settle(now);
            self.error = error + gained;
        }
    }

    /// What the client's clocks show; not to be asked while it sleeps.
    pub(crate) fn now(&self, now: Moment) -> Now {
        let awake = now.saturating_sub(self.slept);
        let raw = START_RAW + nanos(awake, self.oscillator.error(now));
        Now {
            raw: Monotonic::from_nanos(raw.max(0).cast_unsigned()),
            slept: Duration::from_nanos(self.slept / 1000),
            wall: HostTime::from_unix_nanos(START_UNIX + nanos(now, self.error(now))),
        }
    }

    /// When the raw clock will show this, if the frequency stays as it is.
    pub(crate) fn when(&self, raw: Monotonic, now: Moment) -> Moment {
        let shown = self.now(now).raw;
        let ahead = raw.as_nanos().saturating_sub(shown.as_nanos()) as f64 * 1000.0;
        now.saturating_add((ahead / (1.0 + self.oscillator.rate)).ceil() as Moment)
    }
}
