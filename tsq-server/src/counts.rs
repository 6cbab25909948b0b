//! What a shard has done, counted without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread counts up and any thread may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one. To be called by one thread only: an addition that two could share costs more.
    pub fn count(&self) {
        self.0.store(self.get().wrapping_add(1), Ordering::Relaxed);
    }

    /// Adds `n`, as [`Self::count`] does.
    pub fn add(&self, n: u64) {
        self.0.store(self.get().wrapping_add(n), Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Two structures with the same fields: one that is counted in, and what it comes to at one moment.
macro_rules! counts {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// What a shard is doing.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $field: Counter,)*
            /// From T2 to T3 of each answer.
            pub lag: Histogram,
        }

        /// What shards have done.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Counters {
            /// The numbers now.
            pub fn snapshot(&self) -> Counts {
                Counts { $($field: self.$field.get(),)* }
            }
        }

        impl Counts {
            /// Adds what another shard has done.
            pub fn add(&mut self, other: &Self) {
                $(self.$field = self.$field.wrapping_add(other.$field);)*
            }
        }
    };
}

counts! {
    /// Requests answered with the time, by datagram.
    datagrams,
    /// Requests answered with the time, on a stream.
    streams,
    /// Requests by datagram not answered: malformed, too long, or asking what we do not have.
    refused_datagrams,
    /// The same on streams, answered with an error.
    refused_streams,
    /// Requests by datagram dropped because they come too fast.
    dropped_datagrams,
    /// The same on streams, which were reset.
    dropped_streams,
    /// Streams reset because their request did not come to its end in time.
    unfinished_streams,
    /// Answers whose T2 is the kernel's.
    kernel_stamps,
    /// Answers whose T2 is not the kernel's.
    user_stamps,
    /// Packets the socket did not take.
    unsent,
    /// Handshakes completed.
    handshakes,
    /// Departures told in later answers.
    follow_ups,
    /// Packets of clients that may not ask.
    denied,
    /// Connections ended by the client.
    closed_by_client,
    /// Connections forgotten because nothing was heard for the idle time.
    closed_idle,
    /// Connections ended by a TLS or QUIC error, such as more streams or bytes than may be.
    closed_by_error,
    /// Connections ended by us: over a limit, or at the end of the service.
    closed_by_server,
    /// Connections closed because the client's certificate counts no more.
    withdrawn,
    /// Attempts asked to come again with a token (Retry).
    retried,
    /// Attempts let through by chance although a limit was reached.
    leaked,
    /// Attempts or connections refused because there are as many connections as may be.
    over_connections,
    /// The same, because an IPv4 address has as many as it may have.
    over_v4,
    /// The same, for an IPv6 /64.
    over_v6_64,
    /// The same, for an IPv6 /56.
    over_v6_56,
    /// The same, for an IPv6 /48.
    over_v6_48,
    /// Attempts refused because there are as many handshakes under way as may be.
    over_half_open,
    /// Attempts not answered because handshakes come too fast.
    over_handshake_rate,
    /// Handshakes given up because they took too long.
    over_handshake_time,
    /// Connections closed for the memory they took, each or all together.
    over_memory,
    /// Requests not answered because their connection asks too fast.
    over_connection_rate,
    /// Requests not answered because all connections together ask too fast.
    over_request_rate,
}

impl Counts {
    /// Requests refused, by whatever transport.
    pub fn refused(&self) -> u64 {
        self.refused_datagrams + self.refused_streams
    }

    /// Requests dropped, by whatever transport.
    pub fn dropped(&self) -> u64 {
        self.dropped_datagrams + self.dropped_streams
    }

    /// How often each limit was reached, by its option's name.
    pub fn by_limit(&self) -> [(&'static str, u64); 11] {
        [
            ("max-connections", self.over_connections),
            ("max-connections-per-ipv4", self.over_v4),
            ("max-connections-per-ipv6-64", self.over_v6_64),
            ("max-connections-per-ipv6-56", self.over_v6_56),
            ("max-connections-per-ipv6-48", self.over_v6_48),
            ("max-handshakes", self.over_half_open),
            ("max-handshakes-per-second", self.over_handshake_rate),
            ("handshake-timeout", self.over_handshake_time),
            ("max-connection-memory", self.over_memory),
            ("max-requests-per-connection", self.over_connection_rate),
            ("max-requests-per-second", self.over_request_rate),
        ]
    }

    /// How often any limit was reached.
    pub fn over_limits(&self) -> u64 {
        self.by_limit().iter().map(|(_, count)| count).sum()
    }
}

/// How many of what took how long.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; LIMITS.len() + 1],
    nanos: Counter,
}

impl Histogram {
    /// Counts something that took `nanos` nanoseconds.
    pub fn observe(&self, nanos: u64) {
        let index = LIMITS.partition_point(|&limit| limit < nanos);
        self.buckets[index].count();
        self.nanos.add(nanos);
    }

    /// The sum of all, in nanoseconds.
    pub fn sum(&self) -> u64 {
        self.nanos.get()
    }

    /// How many took at most this many nanoseconds (and more than the one before); the last has no limit.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let limits = LIMITS.iter().copied().map(Some).chain([None]);
        limits.zip(self.buckets.iter().map(Counter::get))
    }
}

/// From a microsecond to a second.
const LIMITS: [u64; 13] = [
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_in_the_sum() {
        let counters = Counters::default();
        counters.datagrams.count();
        counters.over_v4.add(3);
        let mut sum = counters.snapshot();
        sum.add(&counters.snapshot());
        assert_eq!((sum.datagrams, sum.over_v4, sum.streams), (2, 6, 0));
    }

    #[test]
    fn both_sides_of_a_bucket() {
        let histogram = Histogram::default();
        for nanos in [0, 1_000, 1_001, 2_000, u64::MAX / 8] {
            histogram.observe(nanos);
        }
        let counts: Vec<u64> = histogram.buckets().map(|(_, count)| count).collect();
        assert_eq!((counts[0], counts[1], counts[2], counts[13]), (2, 2, 0, 1));
        assert_eq!(histogram.sum(), 4_001 + u64::MAX / 8);
    }
}
