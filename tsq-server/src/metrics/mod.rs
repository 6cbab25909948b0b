//! What the server is doing, for those who run it.
//!
//! * [`Metrics`] sums up the counters of all shards. Nothing is counted for it twice, and no shard waits for it.
//! * [`Responder`] tells it over HTTP: `/metrics` in the OpenMetrics or the older text format, `/healthz` in a word.
//! * SIGUSR1 writes the same into the log, in a line.
//!
//! Nothing here holds an address, a name or a nonce of a client's.

mod families;
mod http;
mod limit_log;
mod memory;
mod responder;
mod started;
mod text;

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tsq_net::tls::Issued;

use crate::certificate::Identities;
use crate::counts::{Counters, Counts};
use crate::limits::Shared;
use crate::log::Lost;
use crate::reload::Failures;
pub use limit_log::LimitLog;
pub use memory::Memory;
pub use responder::Responder;
pub use started::Started;
use tsq_host::newest::Newest;
use tsq_host::own_clock::OwnClock;

/// Where the numbers are.
pub struct Metrics {
    sources: Arc<Sources>,
    registry: Registry,
}

/// What is read when somebody asks.
#[derive(Debug)]
pub struct Sources {
    /// Counters of every shard of every address.
    pub shards: Vec<Arc<Counters>>,
    /// What all shards have together.
    pub shared: Arc<Shared>,
    /// Sessions that may be, and were, resumed.
    pub issued: Issued,
    /// What our clock is worth.
    pub clock: Arc<Newest<OwnClock>>,
    /// What we take of the host's memory.
    pub memory: Memory,
    /// Log lines that nobody read.
    pub log: Lost,
    /// The certificates shown.
    pub identities: Arc<Identities>,
    /// Files that could not be read again.
    pub failures: Arc<Failures>,
    /// When we began.
    pub started: Started,
}

impl Metrics {
    /// Reads `sources` whenever it is asked.
    pub fn new(sources: Sources) -> Self {
        let sources = Arc::new(sources);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(&sources)));
        Self { sources, registry }
    }

    /// All numbers in the OpenMetrics text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // A String takes whatever is written.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// The same in the text format 0.0.4 of Prometheus, which is older and read by everything.
    pub fn plain_text(&self) -> String {
        text::plain(&self.text())
    }

    /// What was turned away until now, by the option's name.
    pub fn over_limits(&self) -> Vec<(&'static str, u64)> {
        self.sources.counts().by_limit().to_vec()
    }

    /// Whether clients get good time here, as far as this host knows.
    pub fn is_good(&self) -> bool {
        self.sources.clock.newest().synchronised
    }

    /// Writes a summary into the log.
    pub fn log(&self) {
        let counts = self.sources.counts();
        let clock = self.sources.clock.newest();
        tracing::info!(
            connections = self.sources.shared.connections(),
            half_open = self.sources.shared.half_open(),
            handshakes = counts.handshakes,
            resumed = self.sources.issued.resumed(),
            datagrams = counts.datagrams,
            streams = counts.streams,
            refused = counts.refused(),
            dropped = counts.dropped(),
            over_limits = counts.over_limits(),
            retried = counts.retried,
            kernel_stamps = counts.kernel_stamps,
            user_stamps = counts.user_stamps,
            resident_kib = self.sources.memory.resident().map(|bytes| bytes / 1024),
            synchronised = clock.synchronised,
            stratum = clock.stratum,
            "summary"
        );
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("sources", &self.sources)
            .finish_non_exhaustive()
    }
}

impl Sources {
    /// What all shards have done.
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for shard in &self.shards {
            sum.add(&shard.snapshot());
        }
        sum
    }
}
