//! The sessions a server may be asked to resume.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::server::StoresServerSessions;

/// The sessions that a server's clients may take up again: the last of them, as many as [`Issued::MOST_BYTES`] hold
/// and 16384 at most, each once. A clone is the same store.
///
/// That a session is used up is what keeps a copied first flight from being answered twice; the TLS
/// library takes early data from no other kind of ticket. The library's own store searches all entries
/// for each that it removes, and holds 256.
#[derive(Clone, Debug, Default)]
pub struct Issued(Arc<Store>);

#[derive(Debug, Default)]
struct Store {
    entries: Mutex<Entries>,
    resumed: AtomicU64,
}

#[derive(Debug, Default)]
struct Entries {
    sessions: HashMap<Box<[u8]>, Box<[u8]>>,
    /// Every name given out, oldest first, also of sessions that were used up since.
    order: VecDeque<Box<[u8]>>,
    /// Of all sessions, without their names.
    bytes: usize,
}

impl Entries {
    fn remove(&mut self, name: &[u8]) -> Option<Box<[u8]>> {
        let session = self.sessions.remove(name)?;
        self.bytes -= session.len();
        Some(session)
    }

    fn is_full(&self, more: usize) -> bool {
        self.order.len() == MOST_SESSIONS || self.bytes + more > MOST_SESSION_BYTES
    }
}

impl Issued {
    /// The most that all sessions take, with their names and places in the tables.
    ///
    /// One of a client that shows no certificate takes some 250 bytes, one of a client that does the length of its
    /// chain more.
    pub const MOST_BYTES: usize = MOST_SESSIONS * BESIDE + MOST_SESSION_BYTES;

    /// How many sessions were taken up again instead of a full handshake, until now.
    pub fn resumed(&self) -> u64 {
        self.0.resumed.load(Ordering::Relaxed)
    }

    /// Forgets every session: the next handshake of each client is a full one, in which both sides show and
    /// check certificates again. Due whenever other certificates count than those the sessions began with.
    ///
    /// A handshake under way at this moment may leave a session behind that began with the old ones:
    /// [`Engine::poll_resumption`](crate::Engine::poll_resumption).
    pub fn forget(&self) {
        *self.0.lock() = Entries::default();
    }

    pub(super) fn store(&self) -> Arc<dyn StoresServerSessions> {
        Arc::clone(&self.0) as _
    }
}

impl Store {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        // A map and a queue of names: a name in one of them only is no harm.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoresServerSessions for Store {
    /// `name` is random and new (the TLS library draws 32 bytes).
    fn put(&self, name: Vec<u8>, session: Vec<u8>) -> bool {
        if session.len() > MOST_SESSION_BYTES {
            return false;
        }
        let mut entries = self.lock();
        while entries.is_full(session.len())
            && let Some(oldest) = entries.order.pop_front()
        {
            entries.remove(&oldest);
        }
        entries.order.push_back(name.clone().into());
        entries.bytes += session.len();
        entries.sessions.insert(name.into(), session.into());
        true
    }

    fn get(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.lock()
            .sessions
            .get(name)
            .map(|session| session.to_vec())
    }

    fn take(&self, name: &[u8]) -> Option<Vec<u8>> {
        let session = self.lock().remove(name)?;
        self.resumed.fetch_add(1, Ordering::Relaxed);
        Some(session.into())
    }

    fn can_cache(&self) -> bool {
        true
    }
}

const MOST_SESSIONS: usize = 16 * 1024;
/// Room for all of them where they are those of clients without certificates.
const MOST_SESSION_BYTES: usize = MOST_SESSIONS * 440;
/// A name of 32 bytes twice, as the allocator rounds it, a place in the queue, and two in a table that is at most half
/// empty.
const BESIDE: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    #[test]
    fn session_is_resumed_once() {
        let issued = Issued::default();
        let store = issued.store();
        store.put(name(1), vec![7]);
        assert_eq!(store.take(&name(1)), Some(vec![7]));
        assert_eq!(store.take(&name(1)), None);
        assert_eq!(issued.resumed(), 1);
    }

    #[test]
    fn oldest_sessions_make_room_and_the_newest_stay() {
        let Issued(store) = Issued::default();
        for number in 0..MOST_SESSIONS + 10 {
            store.put(name(number), vec![]);
        }
        assert_eq!(store.get(&name(9)), None);
        assert!(store.get(&name(10)).is_some());
        assert!(store.get(&name(MOST_SESSIONS + 9)).is_some());
        assert_eq!(store.lock().sessions.len(), MOST_SESSIONS);
        assert_eq!(store.lock().order.len(), MOST_SESSIONS);
    }

    #[test]
    fn long_sessions_take_the_room_of_many_short_ones() {
        let Issued(store) = Issued::default();
        let chain = vec![0; 4096];
        for number in 0..MOST_SESSIONS {
            store.put(name(number), chain.clone());
        }
        let held = |store: &Store| {
            let entries = store.lock();
            let bytes: usize = entries.sessions.values().map(|session| session.len()).sum();
            assert_eq!(entries.bytes, bytes);
            bytes
        };
        assert!(held(&store) <= MOST_SESSION_BYTES);
        assert!(held(&store) > MOST_SESSION_BYTES - 4096);
        assert!(store.take(&name(MOST_SESSIONS - 1)).is_some());
        assert_eq!(store.take(&name(0)), None);
        assert!(!store.put(name(MOST_SESSIONS), vec![0; MOST_SESSION_BYTES + 1]));
        assert!(store.get(&name(MOST_SESSIONS - 2)).is_some());
        held(&store);
    }

    #[test]
    fn forgotten_sessions_are_not_resumed_and_later_ones_are() {
        let issued = Issued::default();
        let store = issued.store();
        store.put(name(1), vec![7]);
        issued.clone().forget();
        assert_eq!(store.take(&name(1)), None);
        assert_eq!(issued.resumed(), 0);
        store.put(name(2), vec![8]);
        assert_eq!(store.take(&name(2)), Some(vec![8]));
    }
}
