//! Clients that were served once, and whether they still may be.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, UnixTime};
use tsq_net::ConnId;

use super::Clients;

/// One shard's view of whose certificates count.
///
/// TLS judges a client's certificate once, in the handshake in which it is shown. Connections and sessions live on
/// from there, for months where a client asks again and again; so they are judged once more when a session is
/// resumed, and all connections when other authorities count.
#[derive(Debug, Default)]
pub struct Standing {
    /// None where everybody is served.
    clients: Option<Arc<Clients>>,
    /// Of the authorities that the connections were judged by.
    version: u64,
    /// Not yet judged by the newest.
    waiting: Vec<ConnId>,
}

impl Standing {
    /// Serves clients that these authorities vouch for, or everybody.
    pub fn new(clients: Option<Arc<Clients>>) -> Self {
        Self {
            version: clients.as_ref().map_or(0, |clients| clients.version()),
            clients,
            waiting: Vec::new(),
        }
    }

    /// Whether a client that has shown `chain` may be served at `now`.
    pub fn counts(&self, chain: &[CertificateDer<'_>], now: impl FnOnce() -> UnixTime) -> bool {
        self.clients
            .as_ref()
            .is_none_or(|clients| clients.take(chain, now()))
    }

    /// Has the connections `there_are` judged again if other authorities count than before. Costs one comparison
    /// if not.
    pub fn refresh<I: IntoIterator<Item = ConnId>>(&mut self, there_are: impl FnOnce() -> I) {
        let Some(clients) = &self.clients else {
            return;
        };
        let version = clients.version();
        if self.version != version {
            self.version = version;
            self.waiting = there_are().into_iter().collect();
        }
    }

    /// The next connection to judge.
    pub fn take_next(&mut self) -> Option<ConnId> {
        self.waiting.pop()
    }

    /// Whether there is one.
    pub fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }
}
