//! One line of time for everything: seconds since a start, on a clock that nobody steers and that goes on while the machine sleeps.

use std::time::Duration;

use tsq_proto::{HostTime, Monotonic, Offset};

/// What this host's clocks show at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// `CLOCK_MONOTONIC_RAW`: nobody steers it.
    pub raw: Monotonic,
    /// How long the machine has slept since it was started: `CLOCK_BOOTTIME` less `CLOCK_MONOTONIC`.
    pub slept: Duration,
    /// `CLOCK_REALTIME`: the one that is kept.
    pub wall: HostTime,
}

/// The four stamps of an exchange: ours of the raw clock, the server's of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamps {
    /// T1, when the request left.
    pub left: Monotonic,
    /// T2, when it came to the server.
    pub received: HostTime,
    /// T3, when the answer left.
    pub sent: HostTime,
    /// T4, when it came here.
    pub came: Monotonic,
}

/// The start: times and offsets are reckoned from it, so that they are small enough for a float to hold a picosecond.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeline {
    raw: Monotonic,
    slept: Duration,
    wall: HostTime,
}

impl Timeline {
    pub(crate) fn from(start: &Now) -> Self {
        let Now { raw, slept, wall } = *start;
        Self { raw, slept, wall }
    }

    /// Seconds since the start, sleep included.
    pub(crate) fn at(&self, now: &Now) -> f64 {
        self.raw_at(now.raw) + self.slept(now)
    }

    /// The raw clock's reading at that time, if the machine sleeps no more than it has.
    pub(crate) fn raw(&self, at: f64, now: &Now) -> Monotonic {
        let seconds = at - self.slept(now);
        let nanos = (self.raw.as_nanos() as f64 + seconds * NANOS).clamp(0.0, u64::MAX as f64);
        // Rounded up: a timeout must not be early.
        Monotonic::from_nanos(nanos.ceil() as u64)
    }

    /// Seconds of sleep since the start.
    pub(crate) fn slept(&self, now: &Now) -> f64 {
        let nanos = |time: Duration| time.as_nanos().cast_signed();
        (nanos(now.slept) - nanos(self.slept)) as f64 / NANOS
    }

    /// How far the kept clock is ahead of the raw one, in s: what it gained since the start.
    pub(crate) fn gained(&self, now: &Now) -> f64 {
        self.ahead(now.wall, now.raw) - self.slept(now)
    }

    /// When the exchange was, and how long each half of it took by both clocks.
    pub(crate) fn halves(&self, stamps: &Stamps, now: &Now) -> [f64; 3] {
        let slept = self.slept(now);
        let middle = (self.raw_at(stamps.left) + self.raw_at(stamps.came)) / 2.0 + slept;
        let up = self.ahead(stamps.received, stamps.left) - slept;
        let down = slept - self.ahead(stamps.sent, stamps.came);
        [middle, up, down]
    }

    fn raw_at(&self, raw: Monotonic) -> f64 {
        raw.as_nanos()
            .wrapping_sub(self.raw.as_nanos())
            .cast_signed() as f64
            / NANOS
    }

    /// What `time` is past `raw`, less what it was at the start.
    fn ahead(&self, time: HostTime, raw: Monotonic) -> f64 {
        let gone = i128::from(time.as_unix_nanos()) - i128::from(self.wall.as_unix_nanos());
        let raw = i128::from(raw.as_nanos()) - i128::from(self.raw.as_nanos());
        (gone - raw) as f64 / NANOS
    }
}

const NANOS: f64 = 1e9;

/// Whether that time has come, to the nanosecond that the clock can show: a float may miss it by less.
pub(crate) fn is_due(time: f64, at: f64) -> bool {
    time <= at + 1.0 / NANOS
}

/// As an offset; what does not fit is the farthest there is.
pub(crate) fn offset(seconds: f64) -> Offset {
    // A cast saturates, and makes zero of what is no number.
    Offset::from_nanos((seconds * NANOS).round() as i64)
}

pub(crate) fn seconds(offset: Offset) -> f64 {
    offset.as_nanos() as f64 / NANOS
}

/// As a length of time; negative ones are none, and what does not fit is the longest there is.
pub(crate) fn length(seconds: f64) -> Duration {
    Duration::from_nanos((seconds * NANOS).ceil() as u64)
}
