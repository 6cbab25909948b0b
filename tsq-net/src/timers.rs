//! When each connection wants to be called again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::engine::ConnId;

/// A heap with at most one live entry per connection.
///
/// Entries are not moved when a timer is put off: on expiry the connection is asked again, and
/// armed anew for the later instant. QUIC puts timers off with every packet, so this saves most
/// of the heap's work.
#[derive(Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, ConnId)>>,
}

impl Timers {
    /// Arms `conn` for `at`; `armed` is the connection's own note of its live entry.
    pub(crate) fn arm(&mut self, conn: ConnId, armed: &mut Option<Instant>, at: Instant) {
        if armed.is_none_or(|earlier| at < earlier) {
            *armed = Some(at);
            self.heap.push(Reverse((at, conn)));
        }
    }

    /// The earliest instant at which a connection may have something to do.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes a connection whose entry is due; the instant tells live entries from superseded ones.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<(Instant, ConnId)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}
