//! What the server may hold and send, counted from outside.

use std::collections::HashMap;
use std::net::SocketAddr;

/// What came and what went, by address.
#[derive(Default)]
pub(crate) struct Traffic {
    by_address: HashMap<SocketAddr, Bytes>,
    received: usize,
    /// Of these, from where real clients are.
    genuine: usize,
    /// What went to addresses that proved nothing, beyond three times what came from each.
    beyond: usize,
}

#[derive(Default)]
struct Bytes {
    received: usize,
    sent: usize,
    /// A real client is there: it may have proven that it can read there.
    may_be_valid: bool,
}

impl Bytes {
    fn beyond(&self) -> usize {
        if self.may_be_valid {
            return 0;
        }
        self.sent.saturating_sub(3 * self.received)
    }
}

impl Traffic {
    pub(crate) fn received(&mut self, from: SocketAddr, len: usize, genuine: bool) {
        self.received += len;
        if genuine {
            self.genuine += len;
        }
        let bytes = self.by_address.entry(from).or_default();
        let before = bytes.beyond();
        bytes.received += len;
        bytes.may_be_valid |= genuine;
        self.beyond -= before - bytes.beyond();
    }

    /// An address that did not prove anything gets at most three times what came from there (RFC 9000, section 8.1); and,
    /// where a client seems to have moved there, what real clients paid for with as many bytes of their own.
    // tsq: M9
    pub(crate) fn sent(&mut self, to: SocketAddr, len: usize) {
        let bytes = self.by_address.entry(to).or_default();
        let before = bytes.beyond();
        bytes.sent += len;
        self.beyond += bytes.beyond() - before;
        assert!(
            self.beyond <= self.genuine,
            "{} bytes to {to}, which sent {}; {} beyond three times in all, and clients sent {}",
            bytes.sent,
            bytes.received,
            self.beyond,
            self.genuine
        );
    }

    /// A connection costs whoever wants it a packet of 1200 bytes (RFC 9000, section 14.1).
    pub(crate) fn connections_allowed(&self) -> usize {
        self.received / PACKET
    }
}

/// The least length of a packet that begins a connection.
const PACKET: usize = 1200;

/// Streams a client may have open at once.
pub(crate) const STREAMS: u16 = 16;

/// Stateless answers that wait to be sent.
pub(crate) const RESPONSES: usize = 64;

/// Packets that one packet, or one moment, may bring forth. There is no such limit in the server: it is here so that an
/// endless loop is found.
pub(crate) const PACKETS_AT_ONCE: usize = 2000;
