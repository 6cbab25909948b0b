//! QUIC's own settings, chosen for tiny messages that must not wait.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::{IdleTimeout, TransportConfig, VarInt};

/// Which side of a connection the settings are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Asks; needs room for a certificate chain.
    Client,
    /// Answers; keeps little per connection.
    Server {
        /// Streams a client may have open at once.
        streams: u16,
        /// A silent connection is dropped after this long.
        idle: Duration,
        /// Bytes that are buffered for a connection, each way.
        buffer: u32,
    },
}

/// The transport settings for `role`. A client may change its address (C6): quinn-proto follows.
// tsq: C6
pub fn transport(role: Role) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    // A message is a few dozen bytes: path MTU probes, GSO and large windows cost memory and
    // packets and gain nothing (docs/design/decisions.md).
    config
        .mtu_discovery_config(None)
        .enable_segmentation_offload(false)
        .send_fairness(false)
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(16 * 1024))
        .send_window(16 * 1024)
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .allow_spin(false)
        .initial_rtt(INITIAL_RTT);
    match role {
        Role::Client => config
            .max_concurrent_bidi_streams(VarInt::from_u32(0))
            .crypto_buffer_size(64 * 1024)
            .max_idle_timeout(idle(Duration::from_secs(10))),
        Role::Server {
            streams,
            idle: time,
            buffer,
        } => config
            .stream_receive_window(VarInt::from_u32(buffer.min(STREAM_WINDOW)))
            .receive_window(VarInt::from_u32(buffer))
            .send_window(buffer.into())
            .max_concurrent_bidi_streams(VarInt::from_u32(u32::from(streams)))
            .crypto_buffer_size(8 * 1024)
            .max_idle_timeout(idle(time)),
    };
    Arc::new(config)
}

/// The first retransmission of a lost handshake packet comes after three times this.
///
/// QUIC's default of 333 ms means a second of waiting, a third of a one-shot client's whole time.
/// On a path slower than 100 ms this costs one or two needless packets of the handshake.
const INITIAL_RTT: Duration = Duration::from_millis(30);

/// The longest request on a stream, or answer.
const STREAM_WINDOW: u32 = 1024;

const DATAGRAM_BUFFER: usize = 4 * 1024;

fn idle(time: Duration) -> Option<IdleTimeout> {
    // Only a timeout past 2^62 ms does not fit, and then there is none.
    IdleTimeout::try_from(time).ok()
}
