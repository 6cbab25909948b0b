//! NTP requests protected by NTS. Every answer is opened: its key, its nonce, and the cookie in it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tsq_ntp::exchange::Query;
use tsq_ntp::nts::packet::Unique;
use tsq_ntp::nts::{self, Session};

use super::plain::Protocol;
use crate::Error;

/// Sessions with one server; the clients of a load share them, in turns.
pub(crate) struct Nts(RefCell<State>);

struct State {
    sessions: Vec<Session>,
    turn: usize,
    under_way: HashMap<u64, (usize, Query, Unique)>,
}

impl Nts {
    /// Exchanges keys `count` times with the server at this address.
    ///
    /// # Errors
    /// It does not exchange keys, or its certificate is not of `authority` (a PEM file).
    pub(crate) fn start(server: SocketAddr, authority: &str, count: usize) -> Result<Self, Error> {
        let tls = tls(authority)?;
        let sessions = (0..count).map(|_| session(server, &tls));
        Ok(Self(RefCell::new(State {
            sessions: sessions.collect::<Result<_, _>>()?,
            turn: 0,
            under_way: HashMap::new(),
        })))
    }
}

/// One exchange of keys, from the connection to the cookies.
///
/// # Errors
/// As [`Nts::start`].
pub(crate) fn session(server: SocketAddr, tls: &Arc<ClientConfig>) -> Result<Session, Error> {
    let name = server.ip().to_string();
    let deadline = Instant::now() + LIMIT;
    nts::exchange_keys(server, &name, Arc::clone(tls), deadline)
        .map(|(session, _)| session)
        .map_err(|failure| format!("no exchange of keys: {failure}").into())
}

/// For [`session`].
///
/// # Errors
/// The file has no certificate.
pub(crate) fn tls(authority: &str) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority)?)?;
    let provider = tsq_net::tls::provider();
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
    Ok(nts::tls(verifier)?)
}

const LIMIT: Duration = Duration::from_secs(5);

impl Protocol for Nts {
    fn request(&self, token: u64, packet: &mut Vec<u8>) {
        let mut state = self.0.borrow_mut();
        let state = &mut *state;
        packet.clear();
        let query = Query::new(token);
        // A session whose cookies are all under way is passed over; with none left nothing is sent, and so lost.
        for _ in 0..state.sessions.len() {
            let turn = state.turn;
            state.turn = (turn + 1) % state.sessions.len();
            if let Ok(Some((bytes, unique))) = state.sessions[turn].protect(&query) {
                state.under_way.insert(token, (turn, query, unique));
                packet.extend(bytes);
                return;
            }
        }
    }

    fn check(&self, answer: &[u8]) -> Option<u64> {
        let origin = answer.get(24..32)?.first_chunk().copied();
        let token = u64::from_be_bytes(origin?);
        let mut state = self.0.borrow_mut();
        let (session, query, unique) = state.under_way.remove(&token)?;
        let opened = state.sessions[session].open(&query, &unique, answer);
        opened.is_ok().then_some(token)
    }
}
