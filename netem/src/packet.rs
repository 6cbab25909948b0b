//! What can be told of a QUIC packet from outside.

/// Whether a packet is a Retry of QUIC version 1 (RFC 9000, section 17.2.5): nothing of it is hidden.
#[must_use]
pub fn is_retry(packet: &[u8]) -> bool {
    matches!(packet, [first, 0, 0, 0, 1, ..] if first & 0xf0 == 0xf0)
}
