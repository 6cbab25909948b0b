//! The limits as options.

use std::time::Duration;

use clap::{ValueEnum, value_parser};
use tsq_command::duration::{BadDuration, Bare, within};
use tsq_net::Role;

use super::{Limits, PerNetwork, Retry};

/// What strangers may use. The defaults let a site with 1000 hosts behind one address in, and are not
/// noticed by clients that want the time; [`MemoryBound`](super::MemoryBound) says what they come to.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Limits, for all threads together")]
pub struct LimitArgs {
    /// Connections at once; each takes about 18 KiB, and up to 32 KiB
    #[arg(long, value_name = "N", default_value = "20000", value_parser = value_parser!(u32).range(1..))]
    pub max_connections: u32,

    /// Connections of one IPv4 address: give more where a larger site is behind one
    #[arg(long, value_name = "N", default_value = "1000", value_parser = value_parser!(u32).range(1..))]
    pub max_connections_per_ipv4: u32,

    /// Connections of one IPv6 /64, a link
    #[arg(long, value_name = "N", default_value = "1000", value_parser = value_parser!(u32).range(1..))]
    pub max_connections_per_ipv6_64: u32,

    /// Connections of one IPv6 /56, often a household
    #[arg(long, value_name = "N", default_value = "2000", value_parser = value_parser!(u32).range(1..))]
    pub max_connections_per_ipv6_56: u32,

    /// Connections of one IPv6 /48, often a site
    #[arg(long, value_name = "N", default_value = "4000", value_parser = value_parser!(u32).range(1..))]
    pub max_connections_per_ipv6_48: u32,

    /// Handshakes under way at once
    #[arg(long, value_name = "N", default_value = "2000", value_parser = value_parser!(u32).range(1..))]
    pub max_handshakes: u32,

    /// Handshakes begun in a second; each takes about 0.2 ms of a core
    #[arg(long, value_name = "N", default_value = "4000", value_parser = value_parser!(u32).range(1..=100_000_000))]
    pub max_handshakes_per_second: u32,

    /// A handshake not done after this time is given up
    #[arg(long, value_name = "TIME", default_value = "10", value_parser = patience)]
    pub handshake_timeout: Duration,

    /// When a client must first show, at the cost of a round trip, that it reads at its address
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    pub retry: RetryArg,

    /// Handshakes under way from which on --retry auto asks for that
    #[arg(long, value_name = "N", default_value = "200", value_parser = value_parser!(u32).range(1..))]
    pub retry_above: u32,

    /// Requests a second on one connection, and as many at once; others are dropped; 0: no limit
    #[arg(long, value_name = "N", default_value = "20000", value_parser = value_parser!(u32).range(..=100_000_000))]
    pub max_requests_per_connection: u32,

    /// Requests a second in all; 0: no limit, the processor is one
    #[arg(long, value_name = "N", default_value = "0", value_parser = value_parser!(u32).range(..=100_000_000))]
    pub max_requests_per_second: u32,

    /// Streams a client may have open at once on a connection
    #[arg(long, value_name = "N", default_value = "8", value_parser = value_parser!(u16).range(1..=1000))]
    pub max_streams: u16,

    /// Bytes that are buffered for a connection, each way
    #[arg(long, value_name = "BYTES", default_value = "16384", value_parser = value_parser!(u32).range(2048..=1_048_576))]
    pub max_buffer: u32,

    /// Bytes of memory that one connection may take; it is closed if it takes more
    #[arg(long, value_name = "BYTES", default_value = "262144", value_parser = value_parser!(u32).range(65_536..))]
    pub max_connection_memory: u32,

    /// Bytes for all connections that take more than 32 KiB; who wants more when none is left is closed
    #[arg(long, value_name = "BYTES", default_value = "67108864", value_parser = value_parser!(u32).range(1_048_576..))]
    pub max_spare_memory: u32,

    /// A silent connection is forgotten after this time
    #[arg(long, value_name = "TIME", default_value = "30", value_parser = patience)]
    pub idle_timeout: Duration,
}

/// From a second to 18 hours; a bare number is seconds.
fn patience(text: &str) -> Result<Duration, BadDuration> {
    let (least, most) = (Duration::from_secs(1), Duration::from_secs(64_800));
    within(text, Bare::Seconds, least, most)
}

/// When a client must show that it reads at its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RetryArg {
    /// When handshakes pile up, or a limit is reached.
    Auto,
    /// Each time.
    Always,
    /// Never.
    Never,
}

/// Where a pointer has 16 bits there is no server.
fn bytes(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl LimitArgs {
    /// The limits that a shard keeps.
    pub fn limits(&self) -> Limits {
        Limits {
            connections: self.max_connections,
            per_network: PerNetwork {
                v4: self.max_connections_per_ipv4,
                v6_64: self.max_connections_per_ipv6_64,
                v6_56: self.max_connections_per_ipv6_56,
                v6_48: self.max_connections_per_ipv6_48,
            },
            half_open: self.max_handshakes,
            handshake_rate: self.max_handshakes_per_second,
            handshake_time: self.handshake_timeout,
            retry: match self.retry {
                RetryArg::Auto => Retry::Auto,
                RetryArg::Always => Retry::Always,
                RetryArg::Never => Retry::Never,
            },
            retry_above: self.retry_above,
            connection_rate: self.max_requests_per_connection,
            request_rate: self.max_requests_per_second,
            connection_memory: bytes(self.max_connection_memory),
            spare_memory: bytes(self.max_spare_memory),
            silence: self.idle_timeout,
            streams: self.max_streams,
        }
    }

    /// The limits that QUIC keeps.
    pub fn role(&self) -> Role {
        Role::Server {
            streams: self.max_streams,
            idle: self.idle_timeout,
            buffer: self.max_buffer,
        }
    }
}
