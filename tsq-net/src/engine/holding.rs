//! What a server's connections may hold of memory and time, and the end of those that hold more.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::slot::Slot;
use crate::memory;

/// What each connection of a server may hold, and all together.
///
/// Every connection may hold its share. Few need more, for a moment: they draw it from what all have to
/// spare. So connections hold at most `count * share + spare`, whatever their clients do.
#[derive(Clone, Debug)]
pub struct MemoryLimit {
    /// Bytes that every connection may hold.
    pub share: usize,
    /// Bytes that one connection may hold.
    pub most: usize,
    /// For those that hold more than their share.
    pub spare: Arc<Spare>,
}

/// Memory for connections that hold more than their share, of all engines that have it together.
#[derive(Debug, Default)]
pub struct Spare {
    size: usize,
    used: AtomicUsize,
}

impl Spare {
    /// So many bytes.
    pub fn new(size: usize) -> Self {
        Self {
            size,
            used: AtomicUsize::new(0),
        }
    }

    /// Bytes in use now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn draw(&self, bytes: usize) -> bool {
        let draw = |used: usize| used.checked_add(bytes).filter(|all| *all <= self.size);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, draw)
            .is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl MemoryLimit {
    /// Whether a connection may hold `held` bytes, of which it has `drawn` so many.
    pub(super) fn allows(&self, held: usize, drawn: &mut usize) -> bool {
        // In steps, for the sum is shared with other threads; and a connection that goes up and down
        // does not touch it each time.
        let wanted = held.saturating_sub(self.share).next_multiple_of(STEP);
        if held > self.most {
            return false;
        }
        if wanted > *drawn {
            if !self.spare.draw(wanted - *drawn) {
                return false;
            }
            *drawn = wanted;
        } else if wanted + STEP < *drawn {
            self.spare.give_back(*drawn - wanted);
            *drawn = wanted;
        }
        true
    }

    pub(super) fn give_back(&self, drawn: &mut usize) {
        if *drawn > 0 {
            self.spare.give_back(std::mem::take(drawn));
        }
    }
}

/// A connection at work: what it allocates and frees meanwhile is on its account.
pub(super) struct AtWork<'a> {
    slot: &'a mut Slot,
    before: usize,
}

impl<'a> AtWork<'a> {
    pub(super) fn new(slot: &'a mut Slot) -> Self {
        Self {
            slot,
            before: memory::account(),
        }
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.slot.memory += memory::change(self.before, memory::account());
    }
}

impl Deref for AtWork<'_> {
    type Target = Slot;
    fn deref(&self) -> &Slot {
        self.slot
    }
}

impl DerefMut for AtWork<'_> {
    fn deref_mut(&mut self) -> &mut Slot {
        self.slot
    }
}

impl Slot {
    /// When it is forgotten, whatever QUIC still waits for: its times are three times what the peer claims
    /// to need, which may be minutes.
    pub(super) fn forgotten_at(&self, silence: Option<Duration>) -> Option<Instant> {
        self.guard.as_ref()?;
        match self.over_since {
            Some(since) => Some(since + LINGER),
            None => silence.map(|silence| self.heard + silence + GRACE),
        }
    }
}

/// How long a connection that is over is remembered, so that packets on their way find it: a stateless
/// reset tells their sender the same afterwards, and there are at most 50 of those a second.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// QUIC's own idle timeout comes first, where it is not later than this.
const GRACE: Duration = Duration::from_secs(1);

/// Bytes that are drawn from the spare at once.
const STEP: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(spare: usize) -> MemoryLimit {
        MemoryLimit {
            share: 10_000,
            most: 100_000,
            spare: Arc::new(Spare::new(spare)),
        }
    }

    #[test]
    fn share_is_free_and_what_is_beyond_is_drawn_and_given_back() {
        let limit = limit(3 * STEP);
        let mut drawn = 0;
        assert!(limit.allows(10_000, &mut drawn));
        assert_eq!(limit.spare.used(), 0);
        assert!(limit.allows(10_001, &mut drawn));
        assert_eq!(limit.spare.used(), STEP);
        assert!(limit.allows(10_000 + 3 * STEP, &mut drawn));
        assert_eq!((drawn, limit.spare.used()), (3 * STEP, 3 * STEP));
        assert!(!limit.allows(10_001 + 3 * STEP, &mut drawn));
        assert!(limit.allows(10_001, &mut drawn));
        assert_eq!(limit.spare.used(), STEP);
        limit.give_back(&mut drawn);
        assert_eq!((drawn, limit.spare.used()), (0, 0));
    }

    #[test]
    fn nobody_gets_more_than_the_most_or_what_others_have_drawn() {
        let limit = limit(1_000_000);
        let (mut one, mut other) = (0, 0);
        assert!(limit.allows(100_000, &mut one));
        assert!(!limit.allows(100_001, &mut one));
        let small = MemoryLimit {
            spare: Arc::new(Spare::new(STEP)),
            ..limit
        };
        let mut first = 0;
        assert!(small.allows(10_001, &mut first));
        assert!(!small.allows(10_001, &mut other));
        small.give_back(&mut first);
        assert!(small.allows(10_001, &mut other));
    }
}
