//! No address gets more than three times what came from it before it has shown that it can be read at.
//!
//! quinn-proto counts too, but begins a packet while any budget is left, and fills packets that begin a
//! handshake or probe a path up to 1200 bytes: 3822 bytes for one Initial of 1200, and 1200 for 40 bytes
//! of a client that seems to have moved. So what it hands out is weighed again here, exactly, and a packet
//! too many is held back until more bytes come or the address is known.
//!
//! One thing more than three times may go to an address the client seems to have moved to, or no client
//! that waits for its answer could ever move: quinn-proto's probe of 1200 bytes, against a request of 60.
//! It is paid for with bytes the client sent from where it is known, one for one, so that a client that
//! lies about its address still brings nobody more than three times what it sent itself.
//!
//! Which address is known, quinn-proto does not tell. It shows, though: it hands out a packet for an address
//! whose budget, as itself counts, is used up only if it found the address valid; and every packet for an
//! address that the client moved to asks for a proof (PATH_CHALLENGE) until it has one.

use std::net::SocketAddr;

use super::Outgoing;

/// Weighs what a server's connection sends, by address.
pub(super) struct Guard {
    /// Where the peer was last known to read.
    home: SocketAddr,
    home_proven: bool,
    /// Where the connection sends now.
    current: Path,
    /// Where it sent before, or where packets come from that did not move the connection.
    other: Option<Path>,
    /// Bytes from where the peer is known to read, to pay for a probe of where it moves; up to `MOST_SAVED`.
    saved: u64,
    held: Option<Held>,
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    Send,
    /// Not yet.
    Hold,
    /// Never: it answers a probe that was too small for it, and a larger one gets its own answer.
    Drop,
}

struct Path {
    remote: SocketAddr,
    /// Bytes that came from there, and bytes sent there.
    received: u64,
    sent: u64,
    /// Of these, paid for with what was saved.
    paid: u64,
    /// The same in quinn-proto's eyes since it began with this path: what came for the connection from
    /// anywhere (at least what it counts), and what it handed out for this address (at most).
    attributed: u64,
    given: u64,
    /// Whether the two above tell of quinn-proto's own budget.
    telling: bool,
}

struct Held {
    outgoing: Outgoing,
    bytes: Vec<u8>,
}

impl Guard {
    /// A connection from `remote`, begun by a packet of `len` bytes; `proven`: by a token.
    pub(super) fn new(remote: SocketAddr, len: usize, proven: bool) -> Self {
        let mut current = Path::new(remote, true);
        current.received = len as u64;
        current.attributed = len as u64;
        Self {
            home: remote,
            home_proven: proven,
            current,
            other: None,
            saved: if proven { len as u64 } else { 0 },
            held: None,
        }
    }

    /// Counts a packet for this connection. To be called before the connection sees it.
    pub(super) fn received(&mut self, from: SocketAddr, len: usize) {
        let path = if self.current.remote == from {
            &mut self.current
        } else {
            if self.other.as_ref().is_none_or(|path| path.remote != from) {
                // What the address before had left is forgotten: that only makes us stricter.
                self.other = Some(Path::new(from, true));
            }
            self.other.as_mut().expect("it was made just now")
        };
        path.received = path.received.saturating_add(len as u64);
        if self.is_proven(from) {
            self.save(len as u64);
        }
    }

    /// Follows the connection, which has seen a packet of `len` bytes and now sends to `remote`.
    pub(super) fn handled(&mut self, remote: SocketAddr, len: usize) {
        self.follow(remote);
        self.current.attributed = self.current.attributed.saturating_add(len as u64);
    }

    /// Follows the connection, which now sends to `remote`.
    pub(super) fn follow(&mut self, remote: SocketAddr) {
        if remote == self.current.remote {
            return;
        }
        let next = match self.other.take() {
            Some(path) if path.remote == remote => path,
            // It went back to where it was, by a timer: its own counts for that address are not known here.
            _ => Path::new(remote, false),
        };
        let left = std::mem::replace(&mut self.current, next);
        // Coming back, quinn-proto may first probe the way it left, outside its budget.
        self.other = Some(Path {
            attributed: 0,
            given: 0,
            telling: false,
            ..left
        });
        // It was for another address, or holds a probe that is void now; QUIC repeats what mattered.
        self.held = None;
    }

    /// The peer has shown that it read what was sent to the first address: the handshake is complete.
    pub(super) fn handshake_complete(&mut self) {
        if !self.home_proven && self.home == self.current.remote {
            self.save(self.current.received);
        }
        self.home_proven = true;
    }

    /// Weighs a packet of `len` bytes that quinn-proto handed out for `to`; `asks`: for a proof of the address.
    // tsq: M9
    pub(super) fn weigh(&mut self, to: SocketAddr, len: usize, asks: bool) -> Weight {
        if self.is_proven(to) {
            return Weight::Send;
        }
        if to != self.current.remote {
            let path = self.other.as_mut().filter(|path| path.remote == to);
            return if path.is_some_and(|path| path.send(len)) {
                Weight::Send
            } else {
                Weight::Drop
            };
        }
        let moved_and_proven = self.home_proven && !asks;
        if moved_and_proven || self.current.would_tell() {
            self.home = to;
            self.home_proven = true;
            // Nobody had anything he did not want.
            self.save(self.current.received.saturating_add(self.current.paid));
            return Weight::Send;
        }
        self.current.given = self.current.given.saturating_add(len as u64);
        if self.send(len) {
            Weight::Send
        } else {
            Weight::Hold
        }
    }

    /// Counts `len` bytes as sent to the current address, if they may be.
    fn send(&mut self, len: usize) -> bool {
        if self.current.send(len) {
            return true;
        }
        let missing = self.current.missing(len);
        let paid = missing <= self.saved;
        if paid {
            self.saved -= missing;
            self.current.paid = self.current.paid.saturating_add(missing);
            self.current.sent = self.current.sent.saturating_add(len as u64);
        }
        paid
    }

    fn save(&mut self, bytes: u64) {
        self.saved = self.saved.saturating_add(bytes).min(MOST_SAVED);
    }

    /// Keeps the packet in `bytes` until it may be sent.
    pub(super) fn hold(&mut self, outgoing: Outgoing, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        self.held = Some(Held { outgoing, bytes });
    }

    /// The packet held back, if it may be sent by now, in `buffer`.
    pub(super) fn release(&mut self, buffer: &mut Vec<u8>) -> Option<Outgoing> {
        let held = self.held.as_ref()?;
        if !self.is_proven(held.outgoing.remote) {
            let len = held.bytes.len();
            if !self.send(len) {
                return None;
            }
        }
        let held = self.held.take()?;
        buffer.extend_from_slice(&held.bytes);
        Some(held.outgoing)
    }

    /// Whether to ask quinn-proto for a packet: not for a second one that would have to wait.
    pub(super) fn wants_more(&self) -> bool {
        self.held.is_none() || self.current.would_tell()
    }

    /// Whether all that goes to the current address is to be weighed.
    pub(super) fn is_wary(&self) -> bool {
        !self.is_proven(self.current.remote)
    }

    fn is_proven(&self, address: SocketAddr) -> bool {
        self.home_proven && self.home == address
    }
}

impl Path {
    fn new(remote: SocketAddr, telling: bool) -> Self {
        Self {
            remote,
            received: 0,
            sent: 0,
            paid: 0,
            attributed: 0,
            given: 0,
            telling,
        }
    }

    /// Counts `len` bytes as sent, if they may be.
    fn send(&mut self, len: usize) -> bool {
        let allowed = self.missing(len) == 0;
        if allowed {
            self.sent = self.sent.saturating_add(len as u64);
        }
        allowed
    }

    /// How many of `len` bytes more than three times what came would be.
    fn missing(&self, len: usize) -> u64 {
        let sent = self.sent.saturating_add(len as u64);
        let allowed = self.received.saturating_mul(FACTOR);
        sent.saturating_sub(allowed.saturating_add(self.paid))
    }

    /// Whether quinn-proto would begin a packet for this address only if it found it valid.
    fn would_tell(&self) -> bool {
        self.telling && self.attributed.saturating_mul(FACTOR) <= self.given
    }
}

/// RFC 9000, section 8.1.
const FACTOR: u64 = 3;

/// Two probes.
const MOST_SAVED: u64 = 2 * 1200;
