//! What becomes of a packet that came.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::{ConnectionEvent, ConnectionHandle, DatagramEvent, Endpoint, Incoming};

use super::admission::{Admission, Attempt, Everybody, Verdict};
use super::guard::Guard;
use super::holding::AtWork;
use super::{ConnId, Engine, entry};
use crate::memory;
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
        self.settle_kept_packet();
        let data = self.packets.copy(bytes);
        self.scratch.clear();
        match self
            .endpoint
            .handle(now, remote, local_ip, None, data, &mut self.scratch)
        {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                let packet = Received {
                    now,
                    local_ip,
                    stamp,
                    from: remote,
                    bytes,
                };
                self.connection_packet(handle, event, &packet);
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.admit(now, incoming, bytes.len(), stamp, admission);
            }
            Some(DatagramEvent::Response(transmit)) => self.respond(&transmit),
            None => {}
        }
    }

    /// Who keeps a piece of the last packet has it on its account from now on.
    fn settle_kept_packet(&mut self) {
        if let Some(kept) = self.packets.kept()
            && let Some(slot) = entry(&mut self.slots, kept.by)
        {
            slot.memory += kept.bytes;
            slot.keeps_packets = true;
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
                    self.packets.used_by(conn);
                    admission.accepted(now, conn, &attempt);
                    self.drive(now, conn, Some(stamp));
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
        let before = memory::account();
        match self.endpoint.accept(incoming, now, &mut self.scratch, None) {
            Ok((handle, conn)) => {
                // More is a table of the endpoint's that has grown.
                let memory = memory::change(before, memory::account()).min(FIRST);
                let guard = Guard::new(attempt.remote, len, attempt.validated);
                Some(self.insert(now, handle, conn, Some(guard), memory))
            }
            Err(error) => {
                if let Some(transmit) = error.response {
                    self.respond(&transmit);
                }
                None
            }
        }
    }

    fn connection_packet(
        &mut self,
        handle: ConnectionHandle,
        event: ConnectionEvent,
        packet: &Received<'_>,
    ) {
        let Some(slot) = self.slots.get_mut(handle.0).and_then(Option::as_deref_mut) else {
            return;
        };
        let (id, now, len) = (slot.id, packet.now, packet.bytes.len());
        self.packets.used_by(id);
        slot.heard = now;
        if let Some(guard) = &mut slot.guard {
            guard.received(packet.from, len);
        }
        if is_retry_or_versions(packet.bytes) && slot.conn.side().is_server() {
            // quinn-proto would end the connection, and anyone who saw its packets could send this.
            return;
        }
        let first = packet.bytes.first().copied().unwrap_or_default();
        // A forged one only makes the caller ask again.
        slot.retried |= first & LONG_TYPE == RETRY;
        let overtakes = first & LONG_HEADER == 0 && slot.conn.is_handshaking();
        let full = slot.held_bytes + len > HELD_BYTES || slot.held.len() >= HELD_PACKETS;
        if overtakes && full {
            return;
        }
        let mut slot = AtWork::new(slot);
        if overtakes || slot.keeps_packets {
            drop(event);
            let Some(event) = again(&mut self.endpoint, packet, &mut self.scratch) else {
                return;
            };
            if overtakes {
                // quinn-proto drops these; the sender would have to ask again.
                slot.held.push((event, packet.stamp, len));
                slot.held_bytes += len;
                return;
            }
            slot.handle(event, len);
        } else {
            slot.handle(event, len);
        }
        drop(slot);
        self.drive(now, id, Some(packet.stamp));
        self.release_held(now, id);
    }

    fn release_held(&mut self, now: Instant, id: ConnId) {
        let holding = entry(&mut self.slots, id).filter(|slot| !slot.held.is_empty());
        let Some(slot) = holding.filter(|slot| !slot.conn.is_handshaking()) else {
            return;
        };
        let mut slot = AtWork::new(slot);
        slot.held_bytes = 0;
        let held = std::mem::take(&mut slot.held);
        let before = std::mem::replace(&mut slot.keeps_packets, true);
        drop(slot);
        for (event, stamp, len) in held {
            if self.with(id, |slot| slot.handle(event, len)).is_some() {
                self.drive(now, id, Some(stamp));
            }
        }
        if let Some(slot) = entry(&mut self.slots, id) {
            slot.keeps_packets = before;
        }
    }
}

/// The same packet once more, in memory of its own that is as long as it: for who may keep a piece of it.
fn again(
    endpoint: &mut Endpoint,
    packet: &Received<'_>,
    scratch: &mut Vec<u8>,
) -> Option<ConnectionEvent> {
    let data = BytesMut::from(packet.bytes);
    match endpoint.handle(
        packet.now,
        packet.from,
        packet.local_ip,
        None,
        data,
        scratch,
    )? {
        DatagramEvent::ConnectionEvent(_, event) => Some(event),
        // It was for a connection a moment ago.
        DatagramEvent::NewConnection(incoming) => {
            endpoint.ignore(incoming);
            None
        }
        DatagramEvent::Response(_) => None,
    }
}

/// A packet for a connection.
struct Received<'a> {
    now: Instant,
    local_ip: Option<IpAddr>,
    stamp: Stamp,
    from: SocketAddr,
    bytes: &'a [u8],
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

/// Packets kept per connection until its handshake is complete, and their bytes; a client asks a handful at
/// once, in packets of 60.
const HELD_PACKETS: usize = 16;
const HELD_BYTES: usize = 4096;

/// A connection takes at most this, in bytes, when its first packet has been looked at.
const FIRST: isize = 64 * 1024;
