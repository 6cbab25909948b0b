//! Memory for packets and messages on their way through.

use bytes::BytesMut;

use crate::engine::ConnId;
use crate::memory;

/// Room for one packet or message, used again for the next: no allocation for each.
///
/// What comes out is shared, and whoever keeps a byte of it keeps all. So a connection that still does so
/// when the next packet comes gets the room for good, on its account, and there is a new one for the others.
#[derive(Default)]
pub(crate) struct Arena {
    room: BytesMut,
    user: Option<ConnId>,
    /// What the room takes, as the allocator counts: whoever frees it will have as much less.
    taken: isize,
}

/// The room that a connection keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) by: ConnId,
    pub(crate) bytes: isize,
}

impl Arena {
    /// To be called before [`Self::copy`]: who still uses what that gave out the last time.
    #[must_use]
    pub(crate) fn kept(&mut self) -> Option<Kept> {
        if self.room.try_reclaim(ROOM) {
            return None;
        }
        let bytes = self.taken;
        let before = memory::account();
        let room = BytesMut::with_capacity(ROOM);
        self.taken = memory::change(before, memory::account());
        self.room = room;
        self.user.take().map(|by| Kept { by, bytes })
    }

    /// A copy of `bytes` in the room.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> BytesMut {
        self.user = None;
        if bytes.is_empty() || bytes.len() > ROOM {
            return BytesMut::from(bytes);
        }
        let before = memory::account();
        self.room.extend_from_slice(bytes);
        let copy = self.room.split();
        // The first time, a count of its users is made.
        self.taken += memory::change(before, memory::account());
        copy
    }

    /// Who got the copy.
    pub(crate) fn used_by(&mut self, conn: ConnId) {
        self.user = Some(conn);
    }
}

/// More than the longest packet.
const ROOM: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_used_again_when_nobody_keeps_what_it_held() {
        let mut arena = Arena::default();
        assert_eq!(arena.kept(), None);
        let first = arena.copy(&[1; 1500]);
        let place = first.as_ptr();
        arena.used_by(ConnId::for_tests(1));
        drop(first);
        assert_eq!(arena.kept(), None);
        assert_eq!(arena.copy(&[2; 1500]).as_ptr(), place);
    }

    #[test]
    fn who_keeps_a_byte_keeps_the_room_and_others_share_none_of_it() {
        let mut arena = Arena::default();
        assert_eq!(arena.kept(), None);
        let byte = arena.copy(&[1, 2, 3]).freeze().slice(1..2);
        let keeper = ConnId::for_tests(1);
        arena.used_by(keeper);
        let kept = arena.kept().unwrap();
        assert_eq!(kept.by, keeper);
        assert!(kept.bytes >= ROOM.cast_signed());
        let other = arena.copy(&[4]);
        assert_eq!((&byte[..], &other[..]), (&[2][..], &[4][..]));
        let before_that = memory::account();
        drop(byte);
        assert_eq!(memory::change(before_that, memory::account()), -kept.bytes);
        // Nobody was named for the second copy, which is still in use.
        assert_eq!(arena.kept(), None);
    }
}
