//! A scenario: what a file says, checked, so that nothing in it can be wrong any more.

use crate::expression::Expression;
use crate::metrics::Metric;

/// Clocks, links, events, and limits on how well a daemon keeps the client's clock.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file's name without `.toml`.
    pub name: String,
    /// One line.
    pub title: String,
    /// Whole seconds, as all times of this kind.
    pub duration: u64,
    /// From when on the error is measured.
    pub measure_from: u64,
    /// The moment that `back_*` and `peak_s` refer to.
    pub mark: Option<u64>,
    /// How many seeds are run.
    pub seeds: u64,
    /// How often servers are asked: log2 of the least and the greatest interval, s. None: as the daemon likes.
    pub poll: Option<(u8, u8)>,
    /// The servers; number 1 is the first.
    pub servers: Vec<Server>,
    /// The host whose clock is kept.
    pub client: Client,
    /// In order of time.
    pub events: Vec<Event>,
    /// Upper bounds of metrics over the seeds.
    pub limits: Vec<Limit>,
}

/// A server and its links.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its clock.
    pub clock: Oscillator,
    /// When it starts to answer.
    pub start: f64,
    /// Delays from the client.
    pub up: Expression,
    /// Delays to the client.
    pub down: Expression,
    /// From when on it lies.
    pub falseticker_from: Option<f64>,
}

/// A clock's start.
#[derive(Clone, Debug)]
pub struct Oscillator {
    /// Its error at 0, s.
    pub offset: f64,
    /// Its frequency error.
    pub frequency: Expression,
}

/// The client, and what its daemon is told.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its clock.
    pub clock: Oscillator,
    /// When its daemon starts.
    pub start: f64,
    /// Indices of the servers that it uses.
    pub uses: Vec<usize>,
    /// The clock may be stepped for an error above this, s.
    pub step_above: f64,
    /// In so many of the first updates; None: always.
    pub step_updates: Option<u32>,
    /// The fastest slew, on top of the frequency correction.
    pub max_slew_ppm: u32,
}

/// Something that happens.
#[derive(Clone, Debug)]
pub struct Event {
    /// When, s.
    pub at: u64,
    /// What.
    pub what: What,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum What {
    /// Clocks jump.
    Step {
        /// By so many seconds.
        by: f64,
        /// Whose; None: the client's.
        servers: Option<Vec<usize>>,
    },
    /// Packets are lost both ways.
    Outage {
        /// Until then.
        until: u64,
        /// To and from these servers.
        servers: Vec<usize>,
    },
    /// The client sleeps.
    Suspend {
        /// Until then.
        until: u64,
        /// What its clock gains meanwhile, s.
        rtc_error: f64,
    },
    /// Its daemon is stopped and started again.
    Restart {
        /// After so many seconds.
        down: f64,
        /// Whether it finds its state.
        keep_state: bool,
    },
    /// It uses these servers from now on.
    Servers {
        /// Their indices.
        uses: Vec<usize>,
    },
}

/// An upper bound of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Which.
    pub metric: Metric,
    /// Over the seeds.
    pub of: Of,
    /// The bound.
    pub bound: f64,
}

/// What of a metric's values over the seeds is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Their median.
    Median,
    /// The greatest.
    Worst,
}
