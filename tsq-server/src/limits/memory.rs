//! What the limits come to in memory.

use std::fmt;

use tsq_net::tls::Issued;

use super::{Limits, Prefixes};

/// Bytes that every connection may hold; for more it draws on the spare.
///
/// An idle one takes about half of it. Most takes one in its handshake: keys, certificates, what is not
/// acknowledged yet.
pub const SHARE: usize = 32 * 1024;

/// The most that a server takes, in bytes, by its limits and number of shards; see [`Limits::memory_bound`].
///
/// It counts what the allocator hands out. The process takes a little more: what lies between allocations is
/// nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBound {
    /// The connections that there may be, each with its share, and what others know of it: its ids in the
    /// endpoint's tables, its timers, its account.
    pub connections: usize,
    /// Requests of which a part has come, on every stream that there may be.
    pub requests: usize,
    /// For connections that hold more than their share.
    pub spare: usize,
    /// Counters of connections by network.
    pub networks: usize,
    /// Sessions that may be resumed.
    pub sessions: usize,
    /// Buffers of the shards, the sockets' in the kernel included.
    pub shards: usize,
    /// The program, its certificates and keys.
    pub program: usize,
}

impl Limits {
    /// What a server of so many shards (threads times addresses) takes at most within these limits.
    pub fn memory_bound(&self, shards: usize) -> MemoryBound {
        let connections = usize::try_from(self.connections).unwrap_or(usize::MAX);
        MemoryBound {
            connections: connections.saturating_mul(SHARE + BESIDE),
            requests: connections
                .saturating_mul(usize::from(self.streams))
                .saturating_mul(REQUEST),
            spare: self.spare_memory,
            networks: Prefixes::bytes(&self.per_network, self.connections),
            sessions: Issued::MOST_BYTES,
            shards: shards.saturating_mul(SHARD),
            program: PROGRAM,
        }
    }
}

impl MemoryBound {
    /// The sum.
    pub fn bytes(&self) -> usize {
        [
            self.connections,
            self.requests,
            self.spare,
            self.networks,
            self.sessions,
            self.shards,
            self.program,
        ]
        .into_iter()
        .fold(0, usize::saturating_add)
    }
}

/// In MB of 1000 * 1000 bytes, rounded up.
impl fmt::Display for MemoryBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MB", self.bytes().div_ceil(1_000_000))
    }
}

/// What is kept of a connection beside it: eight ids of ours (in two tables that are at most half empty), the
/// reset token of its peer, three timers, an account, a packet that waits to be sent.
const BESIDE: usize = 2048;

/// The longest request, in a vector that grew by doubling, and its places in two tables.
const REQUEST: usize = 2 * 1024 + 512;

/// Room for a batch of packets, and the socket's buffer: the kernel makes twice the 4 MiB asked for.
const SHARD: usize = 9 * 1024 * 1024;

const PROGRAM: usize = 32 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::limits::LimitArgs;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        limits: LimitArgs,
    }

    fn bound(words: &str, shards: usize) -> MemoryBound {
        let words = std::iter::once("x").chain(words.split_whitespace());
        Alone::parse_from(words)
            .limits
            .limits()
            .memory_bound(shards)
    }

    #[test]
    fn defaults_come_to_what_the_manual_says() {
        let shown = bound("", 2).to_string();
        let manual = include_str!("../../../docs/operate/serve.md");
        assert!(
            manual.contains(&format!("to {shown} with two threads")),
            "{shown}"
        );
    }

    #[test]
    fn unit_leaves_a_quarter_of_room_over_the_defaults() {
        let unit = include_str!("../../../packaging/tsq-server.service");
        let line = unit
            .lines()
            .find_map(|line| line.strip_prefix("MemoryMax="));
        let most: usize = line.unwrap().strip_suffix('M').unwrap().parse().unwrap();
        // The manager's M is 1024 * 1024.
        let (most, needed) = (most << 20, bound("", 8).bytes());
        assert!(most >= needed / 4 * 5, "{most} < 1.25 * {needed}");
        assert!(most <= needed / 4 * 6, "{most} > 1.5 * {needed}");
    }

    #[test]
    fn every_limit_of_memory_is_in_the_sum() {
        let least = bound("", 1).bytes();
        for (more, words, shards) in [
            (10_000 * (SHARE + 8 * REQUEST), "--max-connections 30000", 1),
            (20_000 * REQUEST, "--max-streams 9", 1),
            (64 << 20, "--max-spare-memory 134217728", 1),
            (SHARD, "", 2),
        ] {
            let grown = bound(words, shards).bytes() - least;
            assert!(grown >= more && grown < more / 10 * 13, "{words}: {grown}");
        }
    }

    #[test]
    fn no_limits_have_no_bound() {
        assert_eq!(Limits::NONE.memory_bound(1).bytes(), usize::MAX);
    }
}
