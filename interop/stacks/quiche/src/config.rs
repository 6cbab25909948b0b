//! What quiche is told on both sides.

use quiche::{Config, ConnectionId, Error, MAX_CONN_ID_LEN, PROTOCOL_VERSION};

/// Datagrams or none, these protocols, and room for hundreds of streams.
pub(crate) fn config(alpn: &[String], datagrams: bool, streams: u64) -> Result<Config, Error> {
    let mut config = Config::new(PROTOCOL_VERSION)?;
    let names: Vec<&[u8]> = alpn.iter().map(String::as_bytes).collect();
    config.set_application_protos(&names)?;
    config.set_max_idle_timeout(10_000);
    config.set_initial_max_data(1 << 20);
    config.set_initial_max_stream_data_bidi_local(4096);
    config.set_initial_max_stream_data_bidi_remote(4096);
    config.set_initial_max_streams_bidi(streams);
    config.set_active_connection_id_limit(4);
    if datagrams {
        config.enable_dgram(true, QUEUE, QUEUE);
    }
    Ok(config)
}

/// A new connection id.
///
/// # Panics
/// When the system has no random numbers.
pub(crate) fn connection_id() -> ConnectionId<'static> {
    let mut bytes = vec![0; MAX_CONN_ID_LEN];
    peer_common::random(&mut bytes);
    ConnectionId::from_vec(bytes)
}

/// Datagrams that may wait: more than any run here sends at once.
const QUEUE: usize = 1000;
