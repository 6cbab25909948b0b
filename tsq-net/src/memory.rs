//! How much memory this thread holds, counted by its allocator.
//!
//! QUIC keeps much for a peer, in many places: data out of order, packets that are not acknowledged, ids,
//! streams, TLS. Each has a limit of its own or none, and some count the bytes of the payload only. An
//! allocator sees them all: so what a connection holds is measured around each call into it
//! ([`Engine::limit_memory`](crate::Engine::limit_memory)), and no list of places has to be complete.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counting. A program that wants limits to hold has it as its global allocator:
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: tsq_net::Counted = tsq_net::Counted;
/// ```
///
/// Without it nothing is counted, and a connection seems to hold nothing.
#[derive(Clone, Copy, Debug)]
pub struct Counted;

thread_local! {
    /// Allocated less freed by this thread, wrapping: what others free that we allocated makes it negative.
    static HELD: Cell<usize> = const { Cell::new(0) };
    /// Of that, what is on nobody's account.
    static ASIDE: Cell<usize> = const { Cell::new(0) };
}

/// Bytes this thread has allocated and not freed, modulo 2^64: differences tell.
pub fn held() -> usize {
    HELD.get()
}

/// What of [`held`] is on somebody's account, for differences too.
pub(crate) fn account() -> usize {
    HELD.get().wrapping_sub(ASIDE.get())
}

fn put_aside(bytes: usize) {
    ASIDE.set(ASIDE.get().wrapping_add(bytes));
}

/// The change from `before` to `after`, two answers of [`account`] or of [`held`].
pub(crate) fn change(before: usize, after: usize) -> isize {
    after.wrapping_sub(before).cast_signed()
}

/// Does `work` on nobody's account.
pub(crate) fn uncounted<T>(work: impl FnOnce() -> T) -> T {
    let before = held();
    let done = work();
    put_aside(held().wrapping_sub(before));
    done
}

/// Does `work` on a table that many share: that the table grew is not counted for who came just then.
pub(crate) fn on_shared_table<T>(work: impl FnOnce() -> T) -> T {
    let before = held();
    let done = work();
    let bytes = held().wrapping_sub(before);
    if change(0, bytes) > GROWTH {
        put_aside(bytes);
    }
    done
}

/// Tables of more than a hundred entries grow by more than this; one entry takes less.
const GROWTH: isize = 4096;

/// What the usual allocators take for it: 8 bytes more, in steps of 16.
fn taken(size: usize) -> usize {
    size.saturating_add(8 + 15).max(32) & !15
}

fn count(size: usize) {
    HELD.set(HELD.get().wrapping_add(taken(size)));
}

fn discount(size: usize) {
    HELD.set(HELD.get().wrapping_sub(taken(size)));
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe; this one only counts beside the system's"
)]
// SAFETY: every call goes to the system's allocator unchanged. Counting neither allocates nor unwinds: the
// cell is made without code and has no destructor.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        discount(layout.size());
        // SAFETY: `pointer` came from `System` with this layout, for every way to get one here goes there.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        discount(layout.size());
        count(size);
        // SAFETY: as in `dealloc`; the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For all tests of this crate's own.
    #[global_allocator]
    static ALLOCATOR: Counted = Counted;

    #[test]
    fn what_is_allocated_and_freed_is_counted() {
        let (before, all) = (account(), held());
        let bytes = vec![0_u8; 1000];
        assert_eq!(change(before, account()), 1008);
        drop(bytes);
        assert_eq!(change(before, account()), 0);
        let kept = uncounted(|| vec![0_u8; 1000]);
        assert_eq!(change(before, account()), 0);
        assert_eq!(change(all, held()), 1008);
        drop(kept);
        assert_eq!(change(before, account()), -1008);
        assert_eq!(change(all, held()), 0);
    }

    #[test]
    fn an_allocation_takes_what_the_system_takes_for_it() {
        for (size, chunk) in [(0, 32), (24, 32), (25, 48), (40, 48), (41, 64)] {
            assert_eq!(taken(size), chunk, "{size}");
        }
    }

    #[test]
    fn what_was_freed_more_than_allocated_is_a_negative_change() {
        assert_eq!(change(100, 164), 64);
        assert_eq!(change(100, 36), -64);
        assert_eq!(change(0, 0_usize.wrapping_sub(64)), -64);
    }
}
