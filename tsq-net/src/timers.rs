//! When each connection wants to be called again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::engine::ConnId;

/// A heap with few entries per connection.
///
/// Entries are not moved when a timer is put off: on expiry the connection is asked again, and
/// armed anew for the later instant. QUIC puts timers off with every packet, so this saves most
/// of the heap's work.
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, ConnId)>>,
}

impl Default for Timers {
    fn default() -> Self {
        // So that a few connections never make it grow.
        Self {
            heap: BinaryHeap::with_capacity(64),
        }
    }
}

/// A connection's own note of its entries.
#[derive(Default)]
pub(crate) struct Armed {
    next: Option<Instant>,
    /// The latest entry that an earlier one was put before; good again when that has expired. Else a
    /// connection that asks now and then would leave an entry for its idle timeout each time.
    spare: Option<Instant>,
}

impl Armed {
    /// Whether the entry that expired at `at` is the one to act on; others are superseded.
    pub(crate) fn expired(&mut self, at: Instant) -> bool {
        if self.next == Some(at) {
            self.next = self.spare.take();
            return true;
        }
        if self.spare == Some(at) {
            self.spare = None;
        }
        false
    }
}

impl Timers {
    /// Arms `conn` for `at`; `armed` is the connection's own.
    pub(crate) fn arm(&mut self, conn: ConnId, armed: &mut Armed, at: Instant) {
        if armed.next.is_none_or(|earlier| at < earlier) {
            armed.spare = armed.spare.or(armed.next);
            armed.next = Some(at);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// As a connection does that asks every 100 ms and is idle after 30 s.
    #[test]
    fn connection_that_asks_for_long_leaves_few_entries() {
        let conn = ConnId::for_tests(1);
        let (mut timers, mut armed) = (Timers::default(), Armed::default());
        let mut now = Instant::now();
        for _ in 0..3000 {
            let idle = now + Duration::from_secs(30);
            timers.arm(conn, &mut armed, now + Duration::from_millis(50));
            now += Duration::from_millis(50);
            while let Some((at, conn)) = timers.expire(now) {
                armed.expired(at);
                timers.arm(conn, &mut armed, idle);
            }
            now += Duration::from_millis(50);
            assert!(timers.heap.len() <= 2, "{}", timers.heap.len());
            assert!(timers.next().is_some_and(|next| next <= idle));
        }
    }

    #[test]
    fn superseded_entry_is_not_acted_on_but_serves_again() {
        let conn = ConnId::for_tests(1);
        let (mut timers, mut armed) = (Timers::default(), Armed::default());
        let [early, late] = [1, 2].map(|seconds| Instant::now() + Duration::from_secs(seconds));
        timers.arm(conn, &mut armed, late);
        timers.arm(conn, &mut armed, early);
        assert_eq!(timers.expire(late), Some((early, conn)));
        assert!(armed.expired(early));
        timers.arm(conn, &mut armed, late);
        assert_eq!(timers.expire(late), Some((late, conn)));
        assert!(armed.expired(late));
        assert_eq!(timers.expire(late), None);
    }
}
