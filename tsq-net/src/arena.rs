//! Memory for packets and messages on their way through.

use bytes::BytesMut;

/// Hands out small pieces of larger allocations: an allocation for many packets, not for each.
///
/// The pieces are small enough that one kept for long pins little memory.
#[derive(Default)]
pub(crate) struct Arena(BytesMut);

impl Arena {
    /// A piece that holds a copy of `bytes`.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> BytesMut {
        if self.0.capacity() - self.0.len() < bytes.len() {
            self.0.reserve(bytes.len().max(ARENA));
        }
        self.0.extend_from_slice(bytes);
        self.0.split()
    }
}

const ARENA: usize = 4096;
