//! What strangers may use of this server, and what becomes of those who want more.
//!
//! * [`Limits`] are the numbers, for the whole process.
//! * [`Shared`] counts what all shards have together: connections, handshakes under way, connections of
//!   each network. These are few changes per connection, by atomic additions.
//! * [`Gate`] is one shard's: it decides about attempts and requests, without a lock and without
//!   reading a clock. Rates are shared out: of N shards each has an Nth of them.
//!
//! Every table has its size from the beginning, or is bounded by the number of connections. What a connection
//! holds is measured and limited, and [`MemoryBound`] is the sum of it all.
//!
//! An attempt over a limit is first asked to come again with a token (Retry, stateless), which a
//! spoofed source cannot; then refused, unless the [`Leak`] lets it through. Only connections of
//! proven addresses count for their network: nobody can use up the share of another by its name.

mod args;
mod bucket;
mod gate;
mod leak;
mod memory;
mod prefixes;
mod seed;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tsq_net::Spare;

pub use args::{LimitArgs, RetryArg};
pub use bucket::{Bucket, Rate};
pub use gate::Gate;
pub use leak::Leak;
pub use memory::{MemoryBound, SHARE};
pub use prefixes::{Network, PerNetwork, Prefixes};
pub use seed::Seed;
use seed::Seeds;

/// The limits of a server, all its shards together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: u32,
    /// Of these, connections of one network.
    pub per_network: PerNetwork,
    /// Handshakes under way at once.
    pub half_open: u32,
    /// Handshakes a second; as many at once.
    pub handshake_rate: u32,
    /// How long a handshake may take.
    pub handshake_time: Duration,
    /// When a client must show first that it reads at its address.
    pub retry: Retry,
    /// Handshakes under way from which on [`Retry::Auto`] asks for it.
    pub retry_above: u32,
    /// Requests a second on one connection, and as many at once; 0: no limit.
    pub connection_rate: u32,
    /// Requests a second in all; 0: no limit.
    pub request_rate: u32,
    /// Bytes that one connection may hold.
    pub connection_memory: usize,
    /// Bytes for all connections that hold more than their [`SHARE`].
    pub spare_memory: usize,
    /// How long nothing may come from a client.
    pub silence: Duration,
    /// Streams a client may have open at once on a connection, as QUIC was told.
    pub streams: u16,
}

/// When a client must show, by a Retry packet's token, that it reads at its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// When handshakes pile up, or another limit is reached.
    Auto,
    /// Each time: costs every client a round trip.
    Always,
    /// Never: under a flood of spoofed packets, honest clients are refused with them.
    Never,
}

impl Limits {
    /// No limits, for a server nobody else can reach: tests and measurements.
    pub const NONE: Self = Self {
        connections: u32::MAX,
        per_network: PerNetwork {
            v4: u32::MAX,
            v6_64: u32::MAX,
            v6_56: u32::MAX,
            v6_48: u32::MAX,
        },
        half_open: u32::MAX,
        handshake_rate: 1_000_000_000,
        handshake_time: Duration::from_secs(3600),
        retry: Retry::Never,
        retry_above: u32::MAX,
        connection_rate: 0,
        request_rate: 0,
        connection_memory: usize::MAX,
        spare_memory: usize::MAX,
        silence: Duration::from_secs(24 * 3600),
        streams: u16::MAX,
    };
}

/// What all shards of a server have together.
#[derive(Debug)]
pub struct Shared {
    connections: AtomicU32,
    half_open: AtomicU32,
    prefixes: Prefixes,
    spare: Arc<Spare>,
    seeds: Seeds,
}

impl Shared {
    /// Nothing yet, of a server with these limits; `seed` decides what they leave to chance.
    pub fn new(limits: &Limits, seed: Seed) -> Self {
        Self {
            connections: AtomicU32::new(0),
            half_open: AtomicU32::new(0),
            prefixes: Prefixes::new(&limits.per_network, limits.connections, seed),
            spare: Arc::new(Spare::new(limits.spare_memory)),
            seeds: Seeds::new(seed),
        }
    }

    /// What connections that hold more than their share draw from.
    pub fn spare(&self) -> Arc<Spare> {
        Arc::clone(&self.spare)
    }

    /// Connections now, those in their handshake included, and those that are over but not forgotten yet.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Handshakes under way now.
    pub fn half_open(&self) -> u32 {
        self.half_open.load(Ordering::Relaxed)
    }
}
