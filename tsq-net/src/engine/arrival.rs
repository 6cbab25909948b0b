//! What becomes of a packet that came.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use quinn_proto::{ConnectionEvent, ConnectionHandle, DatagramEvent, Incoming};

use super::admission::{Admission, Attempt, Everybody, Verdict};
use super::guard::Guard;
use super::{ConnId, Engine, slot};
use crate::stamp::Stamp;

impl Engine {
    /// Takes in one UDP packet. Poll events and packets before the next one.
    ///
    /// A server accepts whoever comes; see [`Self::handle_packet_asking`].
    pub fn handle_packet(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local_ip: Option<IpAddr>,
        bytes: &[u8],
        stamp: Stamp,
    ) {
        self.handle_packet_asking(now, remote, local_ip, bytes, stamp, &mut Everybody);
    }

    /// Takes in one UDP packet as [`Self::handle_packet`] does, and asks `admission` whether to begin
    /// the connection it may want.
    pub fn handle_packet_asking(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local_ip: Option<IpAddr>,
        bytes: &[u8],
        stamp: Stamp,
        admission: &mut impl Admission,
    ) {
        let data = self.arena.copy(bytes);
        self.scratch.clear();
        match self
            .endpoint
            .handle(now, remote, local_ip, None, data, &mut self.scratch)
        {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                let packet = Received {
                    event,
                    stamp,
                    from: remote,
                    len: bytes.len(),
                    first: bytes.first().copied().unwrap_or_default(),
                    servers_only: is_retry_or_versions(bytes),
                };
                self.connection_packet(handle, packet);
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.admit(now, incoming, bytes.len(), stamp, admission);
            }
            Some(DatagramEvent::Response(transmit)) => self.respond(&transmit),
            None => {}
        }
    }

    fn admit(
        &mut self,
        now: Instant,
        incoming: Incoming,
        len: usize,
        stamp: Stamp,
        admission: &mut impl Admission,
    ) {
        let attempt = Attempt {
            remote: incoming.remote_address(),
            validated: incoming.remote_address_validated(),
            may_retry: incoming.may_retry(),
        };
        match admission.admit(now, &attempt) {
            Verdict::Accept => {
                if let Some(conn) = self.accept(now, incoming, &attempt, len) {
                    admission.accepted(now, conn, &attempt);
                    self.drive(conn, stamp);
                }
            }
            Verdict::Retry if attempt.may_retry => {
                // The error is for attempts that may not.
                if let Ok(transmit) = self.endpoint.retry(incoming, &mut self.scratch) {
                    self.respond(&transmit);
                }
            }
            Verdict::Retry | Verdict::Refuse => {
                let transmit = self.endpoint.refuse(incoming, &mut self.scratch);
                self.respond(&transmit);
            }
            Verdict::Ignore => self.endpoint.ignore(incoming),
        }
    }

    fn accept(
        &mut self,
        now: Instant,
        incoming: Incoming,
        attempt: &Attempt,
        len: usize,
    ) -> Option<ConnId> {
        match self.endpoint.accept(incoming, now, &mut self.scratch, None) {
            Ok((handle, conn)) => {
                let guard = Guard::new(attempt.remote, len, attempt.validated);
                Some(self.insert(handle, conn, Some(guard)))
            }
            Err(error) => {
                if let Some(transmit) = error.response {
                    self.respond(&transmit);
                }
                None
            }
        }
    }

    fn connection_packet(&mut self, handle: ConnectionHandle, packet: Received) {
        let Some(slot) = self.slots.get_mut(handle.0).and_then(Option::as_mut) else {
            return;
        };
        let id = slot.id;
        if let Some(guard) = &mut slot.guard {
            guard.received(packet.from, packet.len);
        }
        if packet.servers_only && slot.conn.side().is_server() {
            // quinn-proto would end the connection, and anyone who saw its packets could send this.
            return;
        }
        // A forged one only makes the caller ask again.
        slot.retried |= packet.first & LONG_TYPE == RETRY;
        if packet.first & LONG_HEADER == 0 && slot.conn.is_handshaking() {
            // quinn-proto drops these; the sender would have to ask again.
            if slot.held.len() < HELD_PACKETS {
                slot.held.push((packet.event, packet.stamp, packet.len));
            }
            return;
        }
        slot.handle(packet.event, packet.len);
        self.drive(id, packet.stamp);
        self.release_held(id);
    }

    fn release_held(&mut self, id: ConnId) {
        let Some(slot) = slot(&mut self.slots, id) else {
            return;
        };
        if slot.held.is_empty() || slot.conn.is_handshaking() {
            return;
        }
        for (event, stamp, len) in std::mem::take(&mut slot.held) {
            if let Some(slot) = self::slot(&mut self.slots, id) {
                slot.handle(event, len);
                self.drive(id, stamp);
            }
        }
    }
}

/// A packet for a connection.
struct Received {
    event: ConnectionEvent,
    stamp: Stamp,
    from: SocketAddr,
    len: usize,
    /// The packet's first byte.
    first: u8,
    /// Of a kind that only servers send, and that nothing proves to be whole.
    servers_only: bool,
}

/// The bit of a packet's first byte that marks a long header (RFC 9000, section 17).
const LONG_HEADER: u8 = 0x80;

/// Whether a packet is a Retry or Version Negotiation (RFC 9000, sections 17.2.1 and 17.2.5).
fn is_retry_or_versions(bytes: &[u8]) -> bool {
    match bytes {
        [first, version @ ..] if first & LONG_HEADER != 0 => {
            first & LONG_TYPE == RETRY || version.starts_with(&[0; 4])
        }
        _ => false,
    }
}

/// That bit and those of the type, and their value in a Retry packet (section 17.2.5).
const LONG_TYPE: u8 = 0xb0;
const RETRY: u8 = 0xb0;

/// Packets kept per connection until its handshake is complete; a client asks a handful at once.
const HELD_PACKETS: usize = 16;
