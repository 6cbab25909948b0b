//! The one thing a load generator must know of a server: the pin of its key.

use std::net::SocketAddr;

use tsq_client::Trust;
use tsq_perf::Believed;

use crate::Error;

/// Belief in the server with this pin (64 hex digits) and no other.
///
/// # Errors
/// It is no pin.
pub(crate) fn pinned(pin: &str, server: SocketAddr) -> Result<Believed, Error> {
    let trust = Trust::pins(vec![pin.parse()?]);
    Ok(Believed::new(&trust, &server.ip().to_string())?)
}
