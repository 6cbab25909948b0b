//! What a client keeps of one connection for the next.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;

/// Whether a client shortens its next handshake by what it kept of earlier ones.
///
/// A resumed handshake does not ask about the certificate again: whoever trusted the first
/// connection under a condition (a clock not yet known, a pin since taken back) must
/// [`Tickets::clear`] when the condition turns out false.
#[derive(Clone, Debug, Default)]
pub enum Sessions {
    /// Every handshake is a full one.
    #[default]
    Forget,
    /// Resume where there is a ticket.
    Resume(Tickets),
    /// Resume, and let messages leave in the first flight: see
    /// [`Engine::may_send_early`](crate::Engine::may_send_early).
    ///
    /// Early messages can be replayed by whoever copies the packets. A TSQ request may be: it
    /// changes nothing, and its nonce ties the answer to it (C3).
    Early(Tickets),
}

/// The tickets of one server, each good for one connection; a clone is the same store.
///
/// The server is told by its name: tickets of another name replace those there are. Two hosts behind one
/// name need a store each, or each is handed the other's tickets.
///
/// The tickets live as long as this process: the TLS library cannot write them down yet.
#[derive(Clone, Debug, Default)]
pub struct Tickets(Arc<Store>);

impl Tickets {
    /// An empty store for one server, which keeps its last 8 tickets.
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`Self::new`], keeping `most`: for a program that opens many connections at once.
    pub fn keeping(most: usize) -> Self {
        let tickets = Self::default();
        tickets.0.lock().most = most;
        tickets
    }

    /// Connections that can be resumed with what is here; a server may refuse each of them.
    pub fn len(&self) -> usize {
        self.0.lock().tickets.len()
    }

    /// Whether the next handshake will be a full one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets every ticket: the next handshake checks the certificate again.
    pub fn clear(&self) {
        self.0.lock().forget();
    }
}

impl Sessions {
    /// The same for the TLS library: the store, and whether early data may be sent.
    pub(super) fn into_rustls(self) -> (Resumption, bool) {
        match self {
            Self::Forget => (Resumption::disabled(), false),
            Self::Resume(tickets) => (Resumption::store(tickets.0), false),
            Self::Early(tickets) => (Resumption::store(tickets.0), true),
        }
    }
}

#[derive(Debug, Default)]
struct Store(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    most: usize,
    name: Option<ServerName<'static>>,
    group: Option<NamedGroup>,
    /// Oldest first.
    tickets: VecDeque<Tls13ClientSessionValue>,
}

impl Store {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Every change is one push or pop: a thread that panicked left the store whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            most: MOST_TICKETS,
            name: None,
            group: None,
            tickets: VecDeque::new(),
        }
    }
}

impl Kept {
    fn forget(&mut self) {
        *self = Self {
            most: self.most,
            ..Self::default()
        };
    }

    fn belongs_to(&self, name: &ServerName<'_>) -> bool {
        self.name.as_ref() == Some(name)
    }

    fn make_it_of(&mut self, name: ServerName<'static>) {
        if !self.belongs_to(&name) {
            self.forget();
            self.name = Some(name);
        }
    }
}

impl ClientSessionStore for Store {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        let mut kept = self.lock();
        kept.make_it_of(name);
        kept.group = Some(group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        let kept = self.lock();
        kept.group.filter(|_| kept.belongs_to(name))
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut kept = self.lock();
        kept.make_it_of(name);
        kept.tickets.push_back(ticket);
        if kept.tickets.len() > kept.most {
            kept.tickets.pop_front();
        }
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut kept = self.lock();
        if !kept.belongs_to(name) {
            return None;
        }
        kept.tickets.pop_back()
    }

    // QUIC has TLS 1.3 only.
    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}
}

/// A server sends a few with each handshake, and takes each only once.
const MOST_TICKETS: usize = 8;
