//! Which query a message belongs to.

use tsq_proto::Nonce;

/// The nonce a message begins with, however malformed the rest.
pub(crate) fn nonce_of(message: &[u8]) -> Option<Nonce> {
    let rest = message.strip_prefix(&NONCE_HEADER)?;
    rest.first_chunk().copied().map(Nonce::new)
}

/// Type and length of a Nonce element (T1).
const NONCE_HEADER: [u8; 2] = [1, 16];
