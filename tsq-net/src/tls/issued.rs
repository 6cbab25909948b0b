//! The sessions a server may be asked to resume.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::server::StoresServerSessions;

/// The last so many sessions, each resumed at most once.
///
/// That a session is used up is what keeps a copied first flight from being answered twice; the TLS
/// library takes early data from no other kind of ticket. The library's own store searches all entries
/// for each that it removes, and holds 256.
#[derive(Debug, Default)]
pub(super) struct Issued {
    entries: Mutex<Entries>,
    resumed: Resumed,
}

/// How many sessions a server's clients took up again instead of a full handshake.
///
/// The TLS library does not tell in which handshake; a clone counts the same.
#[derive(Clone, Debug, Default)]
pub struct Resumed(Arc<AtomicU64>);

impl Resumed {
    /// So many until now.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
struct Entries {
    sessions: HashMap<Vec<u8>, Vec<u8>>,
    /// Every name given out, oldest first, also of sessions that were used up since.
    order: VecDeque<Vec<u8>>,
}

impl Issued {
    /// Counts in `resumed`.
    pub(super) fn counting(resumed: Resumed) -> Self {
        Self {
            resumed,
            ..Self::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // A map and a queue of names: a name in one of them only is no harm.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoresServerSessions for Issued {
    /// `name` is random and new (the TLS library draws 32 bytes).
    fn put(&self, name: Vec<u8>, session: Vec<u8>) -> bool {
        let mut entries = self.lock();
        if entries.order.len() == MOST_SESSIONS
            && let Some(oldest) = entries.order.pop_front()
        {
            entries.sessions.remove(&oldest);
        }
        entries.order.push_back(name.clone());
        entries.sessions.insert(name, session);
        true
    }

    fn get(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.lock().sessions.get(name).cloned()
    }

    fn take(&self, name: &[u8]) -> Option<Vec<u8>> {
        let session = self.lock().sessions.remove(name)?;
        self.resumed.0.fetch_add(1, Ordering::Relaxed);
        Some(session)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// Some 250 bytes each, so 4 MiB when all are there.
const MOST_SESSIONS: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    #[test]
    fn session_is_resumed_once() {
        let resumed = Resumed::default();
        let issued = Issued::counting(resumed.clone());
        issued.put(name(1), vec![7]);
        assert_eq!(issued.take(&name(1)), Some(vec![7]));
        assert_eq!(issued.take(&name(1)), None);
        assert_eq!(resumed.count(), 1);
    }

    #[test]
    fn oldest_sessions_make_room_and_the_newest_stay() {
        let issued = Issued::default();
        for number in 0..MOST_SESSIONS + 10 {
            issued.put(name(number), vec![]);
        }
        assert_eq!(issued.get(&name(9)), None);
        assert!(issued.get(&name(10)).is_some());
        assert!(issued.get(&name(MOST_SESSIONS + 9)).is_some());
        assert_eq!(issued.lock().sessions.len(), MOST_SESSIONS);
        assert_eq!(issued.lock().order.len(), MOST_SESSIONS);
    }
}
