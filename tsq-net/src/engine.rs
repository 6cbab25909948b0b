//! The QUIC state of any number of connections, without a socket or a clock of its own.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::{
    ClientConfig, ConnectError, Connection, ConnectionHandle, Endpoint, EndpointConfig,
    EndpointEvent, ServerConfig, VarInt,
};
use rustls::pki_types::CertificateDer;

use crate::arena::Arena;
use crate::event::{CloseReason, Event};
use crate::memory;
use crate::shard::{ServerSecret, Shard, ShardIds};
use crate::stamp::Stamp;
use crate::timers::Timers;

mod admission;
mod arrival;
mod chance;
mod guard;
mod holding;
mod messages;
mod slot;

pub use admission::{Admission, Attempt, Verdict};
use chance::Chance;
use guard::{Guard, Weight};
use holding::AtWork;
pub use holding::{MemoryLimit, Spare};
pub use messages::{OpenError, SendError};
use slot::Slot;

/// The QUIC state machine of an endpoint: packets and time in, events and packets out.
///
/// The caller's loop is always the same, and the order matters, because an answer should leave
/// before the next packet is looked at:
///
/// 1. [`handle_packet`](Self::handle_packet) or [`handle_timeout`](Self::handle_timeout);
/// 2. [`poll_event`](Self::poll_event) until None, acting on each event;
/// 3. [`poll_transmit`](Self::poll_transmit) until None after each action, sending each packet;
/// 4. wait for a packet, at most until [`poll_timeout`](Self::poll_timeout).
///
/// Every message in an [`Event`] carries the stamp of the very UDP packet that brought it, also
/// when that packet overtook the end of the handshake and had to be held back.
pub struct Engine {
    endpoint: Endpoint,
    slots: Vec<Option<Box<Slot>>>,
    generation: u32,
    timers: Timers,
    events: VecDeque<Event>,
    /// Server's connections with a certificate that was shown on an earlier one.
    resumptions: VecDeque<ConnId>,
    ready: VecDeque<ConnId>,
    responses: VecDeque<Response>,
    /// For packets that came, and for messages to be sent.
    packets: Arena,
    messages: Arena,
    scratch: Vec<u8>,
    count_frames: bool,
    memory: Option<MemoryLimit>,
    silence: Option<Duration>,
    /// Of a seeded client.
    chance: Option<Chance>,
}

/// Names one connection of one [`Engine`]; never used again after the connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    index: u32,
    generation: u32,
}

impl ConnId {
    /// For tables with a place for each connection: as small as can be, and used again once this
    /// connection is gone, so the id is to be kept in its place and compared.
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// An id that names no connection of any engine, for tests of tables keyed by ids.
    pub fn for_tests(index: u32) -> Self {
        Self {
            index,
            generation: 0,
        }
    }
}

/// A packet to send, whose bytes are in the buffer given to [`Engine::poll_transmit`].
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    /// The connection it belongs to; None for stateless answers (version negotiation, reset).
    pub conn: Option<ConnId>,
    /// Where to.
    pub remote: SocketAddr,
    /// Source address to use, on a socket bound to none.
    pub local_ip: Option<IpAddr>,
    /// What of the caller's it carries (only with [`Engine::count_frames`]).
    pub carries: Carries,
}

/// How many of the caller's messages a packet carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carries {
    /// Datagrams, in the order they were queued.
    pub datagrams: u64,
    /// Stream frames, retransmitted ones included.
    pub stream_frames: u64,
}

struct Response {
    remote: SocketAddr,
    local_ip: Option<IpAddr>,
    bytes: Vec<u8>,
}

impl Engine {
    /// An endpoint that accepts connections, alone at its address and with a secret of its own.
    pub fn server(config: ServerConfig) -> Self {
        Self::new(EndpointConfig::default(), Some(Arc::new(config)))
    }

    /// One of the endpoints that accept connections at an address; all have the same `config`.
    pub fn shard(config: Arc<ServerConfig>, secret: &ServerSecret, shard: Shard) -> Self {
        let mut endpoint = EndpointConfig::new(secret.reset_key());
        endpoint.cid_generator(move || Box::new(ShardIds::new(shard)));
        Self::new(endpoint, Some(config))
    }

    /// An endpoint that only makes connections.
    pub fn client() -> Self {
        Self::new(EndpointConfig::default(), None)
    }

    /// As [`Self::client`], with all that QUIC leaves to chance (connection IDs, the packet numbers it skips, padding,
    /// when keys change) drawn from `seed`, which nobody else may know: from the same packets, times and randomness of
    /// TLS come the same packets.
    pub fn client_seeded(seed: [u8; 32]) -> Self {
        let chance = Chance::new(seed);
        let mut engine = Self::new(chance.endpoint(), None);
        engine.chance = Some(chance);
        engine
    }

    /// As [`Self::server`], seeded as [`Self::client_seeded`].
    pub fn server_seeded(config: ServerConfig, seed: [u8; 32]) -> Self {
        let chance = Chance::new(seed);
        Self::new(chance.endpoint(), Some(Arc::new(chance.server(config))))
    }

    fn new(mut config: EndpointConfig, server: Option<Arc<ServerConfig>>) -> Self {
        // tsq: C1
        config.supported_versions(vec![QUIC_V1]);
        Self {
            endpoint: Endpoint::new(Arc::new(config), server, false, None),
            slots: Vec::new(),
            generation: 0,
            timers: Timers::default(),
            events: VecDeque::new(),
            resumptions: VecDeque::new(),
            ready: VecDeque::new(),
            responses: VecDeque::new(),
            packets: Arena::default(),
            messages: Arena::default(),
            scratch: Vec::new(),
            count_frames: false,
            memory: None,
            silence: None,
            chance: None,
        }
    }

    /// Fills [`Outgoing::carries`] for connections to come: needed to know which packet took a
    /// message away.
    pub fn count_frames(&mut self) {
        self.count_frames = true;
    }

    /// As [`Self::count_frames`], for this connection, from its next packet on.
    pub fn count_frames_of(&mut self, id: ConnId) {
        if let Some(slot) = entry(&mut self.slots, id) {
            slot.count_frames = true;
        }
    }

    /// Ends every accepted connection that holds more memory than `limit` allows: for that, the program's
    /// allocator is to be [`Counted`](crate::Counted). Their end is an [`Event::Closed`] with
    /// [`CloseReason::Memory`].
    pub fn limit_memory(&mut self, limit: MemoryLimit) {
        self.memory = Some(limit);
    }

    /// Forgets an accepted connection from which nothing has come for `time`. QUIC's own idle timeout is as
    /// long as the peer wants it: three times what it claims to need for an acknowledgement, or has needed.
    pub fn limit_silence(&mut self, time: Duration) {
        self.silence = Some(time);
    }

    /// Bytes that an accepted connection holds, as far as its thread's allocator knows.
    pub fn memory_of(&mut self, id: ConnId) -> usize {
        entry(&mut self.slots, id).map_or(0, |slot| slot.memory())
    }

    /// Accepts no further connections; those there are go on.
    pub fn refuse_new(&mut self) {
        self.endpoint.set_server_config(None);
    }

    /// Begins a connection to `remote`, whose certificate is checked against `server_name`.
    ///
    /// # Errors
    /// The name is no DNS name or address, the address is not one to connect to, or the ids are
    /// used up.
    pub fn connect(
        &mut self,
        now: Instant,
        config: ClientConfig,
        remote: SocketAddr,
        server_name: &str,
    ) -> Result<ConnId, ConnectError> {
        let config = match &mut self.chance {
            Some(chance) => chance.client(config),
            None => config,
        };
        let (handle, conn) = self.endpoint.connect(now, config, remote, server_name)?;
        let id = self.insert(now, handle, conn, None, 0);
        self.mark_ready(id);
        Ok(id)
    }

    /// Whether messages queued on this connection now leave before its handshake is complete (0-RTT).
    ///
    /// True only between [`connect`](Self::connect) and [`Event::Connected`], when the configuration
    /// has [`Sessions::Early`](crate::tls::Sessions::Early) and a ticket. Then datagrams and streams
    /// can be sent at once; `Connected` tells whether the server read them. It may refuse silently:
    /// keep what is needed to ask again.
    pub fn may_send_early(&mut self, id: ConnId) -> bool {
        entry(&mut self.slots, id)
            .is_some_and(|slot| slot.conn.is_handshaking() && slot.conn.has_0rtt())
    }

    /// Runs the timers that are due. Poll events and packets after it.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, id)) = self.timers.expire(now) {
            let Some(mut slot) = slot(&mut self.slots, id) else {
                continue;
            };
            if !slot.armed.expired(at) {
                continue;
            }
            if slot
                .forgotten_at(self.silence)
                .is_some_and(|due| due <= now)
            {
                drop(slot);
                self.forget(id, CloseReason::TimedOut);
            } else if slot.conn.poll_timeout().is_some_and(|due| due <= now) {
                slot.conn.handle_timeout(now);
                slot.follow();
                drop(slot);
                self.drive(now, id, None);
            } else {
                drop(slot);
                self.settle(now, id);
            }
        }
    }

    /// The next thing that happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// On a server, the next connection that takes up a session whose client showed a certificate when it began.
    /// TLS has judged that certificate then and does not now: judge [`Self::peer_chain`], and close the
    /// connection if it counts no more. Poll this before [`Self::poll_event`]: messages may come in the first flight.
    pub fn poll_resumption(&mut self) -> Option<ConnId> {
        self.resumptions.pop_front()
    }

    /// The certificates the peer has shown, leaf first; on a resumed connection those of the handshake that the
    /// session began with. None of a peer that has shown none, or not yet.
    pub fn peer_chain(&mut self, id: ConnId) -> Option<Vec<CertificateDer<'static>>> {
        slot(&mut self.slots, id)?.peer_chain()
    }

    /// Every connection there is, closing ones included.
    pub fn ids(&self) -> impl Iterator<Item = ConnId> {
        self.slots.iter().flatten().map(|slot| slot.id)
    }

    /// When to call [`Self::handle_timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The next packet to send, written over `buffer`.
    pub fn poll_transmit(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Option<Outgoing> {
        buffer.clear();
        if let Some(response) = self.responses.pop_front() {
            buffer.extend_from_slice(&response.bytes);
            let Response {
                remote, local_ip, ..
            } = response;
            return Some(Outgoing {
                conn: None,
                remote,
                local_ip,
                carries: Carries::default(),
            });
        }
        while let Some(&id) = self.ready.front() {
            if let Some(outgoing) = self.transmit_of(id, now, buffer) {
                return Some(outgoing);
            }
            self.ready.pop_front();
            if let Some(slot) = entry(&mut self.slots, id) {
                slot.queued = false;
                self.settle(now, id);
            }
        }
        None
    }

    /// Tells a client's connection that its packets leave from another address from now on: it goes
    /// on under a connection ID that the old path has not seen, and measures the new path (C6).
    pub fn address_changed(&mut self, id: ConnId) {
        let changed = self.with(id, |slot| slot.conn.local_address_changed());
        if changed.is_some() {
            self.mark_ready(id);
        }
    }

    /// Closes a connection; the next packets polled tell the peer so. Its messages that were not polled yet go
    /// with it: nobody could be answered.
    pub fn close(&mut self, now: Instant, id: ConnId, code: u32, reason: &'static str) {
        let reason = Bytes::from_static(reason.as_bytes());
        let closed = self.with(id, |slot| {
            slot.conn.close(now, VarInt::from_u32(code), reason);
        });
        if closed.is_some() {
            self.events.retain(|event| {
                let message = matches!(event, Event::Datagram { .. } | Event::Stream { .. });
                !message || event.conn() != id
            });
            self.mark_ready(id);
            self.settle(now, id);
        }
    }

    /// Closes every connection.
    pub fn close_all(&mut self, now: Instant, code: u32, reason: &'static str) {
        let all: Vec<ConnId> = self.ids().collect();
        for id in all {
            self.close(now, id, code, reason);
        }
    }

    /// QUIC's smoothed estimate of the round trip.
    pub fn round_trip(&self, id: ConnId) -> Option<Duration> {
        let slot = self.slots.get(id.index as usize)?.as_deref()?;
        (slot.id == id).then(|| slot.conn.rtt())
    }

    /// A number that changes with every packet of a server which shows that packets of ours reach it: a client whose
    /// handshake is complete knows that of no other. 0 until then.
    pub fn heard(&mut self, id: ConnId) -> u64 {
        slot(&mut self.slots, id).map_or(0, |slot| slot.heard())
    }

    /// Connections that hold state now, closing ones included.
    pub fn connections(&self) -> usize {
        self.endpoint.open_connections()
    }

    /// `memory`: what it took to make it.
    fn insert(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        conn: Connection,
        guard: Option<Guard>,
        memory: isize,
    ) -> ConnId {
        self.generation = self.generation.wrapping_add(1);
        // The index of a slab that could hold 2^32 connections would not fit in memory.
        let index = u32::try_from(handle.0).unwrap_or(u32::MAX);
        let id = ConnId {
            index,
            generation: self.generation,
        };
        if self.slots.len() <= handle.0 {
            self.slots.resize_with(handle.0 + 1, || None);
        }
        let before = memory::account();
        let mut slot = Box::new(Slot::new(id, now, conn, guard, self.count_frames));
        slot.memory = memory + memory::change(before, memory::account());
        self.slots[handle.0] = Some(slot);
        id
    }

    /// Turns what the connection has to say into events, all with the stamp of one packet; None: of a timer.
    fn drive(&mut self, now: Instant, id: ConnId, stamp: Option<Stamp>) {
        let Some(mut slot) = slot(&mut self.slots, id) else {
            return;
        };
        slot.drain(stamp, &mut self.events, &mut self.resumptions);
        let queued = std::mem::replace(&mut slot.queued, true);
        drop(slot);
        if !queued {
            self.ready.push_back(id);
        }
        self.settle(now, id);
    }

    /// Exchanges endpoint events, arms the timer, and frees the slot of a connection that ended.
    fn settle(&mut self, now: Instant, id: ConnId) {
        let Some(mut slot) = slot(&mut self.slots, id) else {
            return;
        };
        let handle = ConnectionHandle(id.index as usize);
        let mut replied = false;
        while let Some(event) = slot.conn.poll_endpoint_events() {
            let reply = memory::on_shared_table(|| self.endpoint.handle_event(handle, event));
            if let Some(reply) = reply {
                slot.conn.handle_event(reply);
                replied = true;
            }
        }
        if slot.conn.is_drained() {
            drop(slot);
            return self.free(id, CloseReason::Local);
        }
        if slot.conn.is_closed() && slot.over_since.is_none() {
            slot.over_since = Some(now);
        }
        let (over, queued) = (slot.over_since.is_some(), slot.queued);
        // One that is still to be polled for packets comes by here again, and what it sends moves its timers.
        if !queued {
            let due = [slot.conn.poll_timeout(), slot.forgotten_at(self.silence)];
            if let Some(at) = due.into_iter().flatten().min() {
                memory::uncounted(|| self.timers.arm(id, &mut slot.armed, at));
            }
        }
        drop(slot);
        if replied {
            self.mark_ready(id);
        }
        self.weigh(now, id, over, queued);
    }

    /// Ends the connection if it holds more memory than it may, and forgets it when that has been told.
    fn weigh(&mut self, now: Instant, id: ConnId, over: bool, queued: bool) {
        let Some(limit) = &self.memory else {
            return;
        };
        let Some(slot) = entry(&mut self.slots, id).filter(|slot| slot.guard.is_some()) else {
            return;
        };
        if slot.expelled && !queued {
            return self.forget(id, CloseReason::Memory);
        }
        if over || limit.allows(slot.memory(), &mut slot.drawn) {
            return;
        }
        slot.expelled = true;
        slot.told = true;
        self.events.push_back(Event::Closed {
            conn: id,
            reason: CloseReason::Memory,
        });
        self.close(now, id, 0, "the connection holds too much memory");
    }

    /// Frees the connection although QUIC would remember it for longer.
    fn forget(&mut self, id: ConnId, reason: CloseReason) {
        let handle = ConnectionHandle(id.index as usize);
        self.endpoint.handle_event(handle, EndpointEvent::drained());
        self.free(id, reason);
    }

    fn free(&mut self, id: ConnId, reason: CloseReason) {
        let Some(slot) = entry(&mut self.slots, id) else {
            return;
        };
        // The caller accepted it and may keep books on it.
        if slot.guard.is_some() {
            if !slot.told {
                self.events.push_back(Event::Closed { conn: id, reason });
            }
            self.events.push_back(Event::Forgotten { conn: id });
        }
        if let Some(limit) = &self.memory {
            limit.give_back(&mut slot.drawn);
        }
        self.slots[id.index as usize] = None;
    }

    /// Calls into a connection, if it is there.
    fn with<T>(&mut self, id: ConnId, work: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        slot(&mut self.slots, id).map(|mut slot| work(&mut slot))
    }

    fn mark_ready(&mut self, id: ConnId) {
        if let Some(slot) = entry(&mut self.slots, id).filter(|slot| !slot.queued) {
            slot.queued = true;
            self.ready.push_back(id);
        }
    }

    fn transmit_of(&mut self, id: ConnId, now: Instant, buffer: &mut Vec<u8>) -> Option<Outgoing> {
        let mut slot = slot(&mut self.slots, id)?;
        let slot = &mut *slot;
        loop {
            buffer.clear();
            if let Some(guard) = &mut slot.guard {
                if let Some(outgoing) = guard.release(buffer) {
                    // Of an earlier turn: it carries nothing that the caller has just queued.
                    let carries = Carries::default();
                    return Some(Outgoing {
                        carries,
                        ..outgoing
                    });
                }
                if !guard.wants_more() {
                    return None;
                }
            }
            let (outgoing, weight) = slot.poll_weighed(now, buffer)?;
            match (weight, &mut slot.guard) {
                (Weight::Hold, Some(guard)) => guard.hold(outgoing, buffer),
                (Weight::Drop, _) => {}
                _ => return Some(outgoing),
            }
        }
    }

    fn respond(&mut self, transmit: &quinn_proto::Transmit) {
        if self.responses.len() < QUEUED_RESPONSES {
            self.responses.push_back(Response {
                remote: transmit.destination,
                local_ip: transmit.src_ip,
                bytes: self.scratch[..transmit.size].to_vec(),
            });
        }
    }
}

/// A connection, to call into it: what it allocates until the result is dropped is on its account.
fn slot(slots: &mut [Option<Box<Slot>>], id: ConnId) -> Option<AtWork<'_>> {
    entry(slots, id).map(AtWork::new)
}

/// A connection, to look at or keep books on.
fn entry(slots: &mut [Option<Box<Slot>>], id: ConnId) -> Option<&mut Slot> {
    slots
        .get_mut(id.index as usize)?
        .as_deref_mut()
        .filter(|slot| slot.id == id)
}

/// RFC 9000; the drafts before it, which quinn-proto still offers, are not.
const QUIC_V1: u32 = 1;

/// Stateless answers waiting to be sent; more are not worth the memory.
const QUEUED_RESPONSES: usize = 64;

#[cfg(test)]
mod tests;
