//! The QUIC state of any number of connections, without a socket or a clock of its own.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::crypto::rustls::HandshakeData;
use quinn_proto::{
    ClientConfig, ConnectError, Connection, ConnectionEvent, ConnectionHandle, DatagramEvent, Dir,
    Endpoint, EndpointConfig, Incoming, ReadError, SendDatagramError, ServerConfig, StreamEvent,
    StreamId, VarInt,
};

use crate::arena::Arena;
use crate::event::{CloseReason, EarlyData, Event};
use crate::shard::{ServerSecret, Shard, ShardIds};
use crate::stamp::Stamp;
use crate::timers::Timers;

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
    ready: VecDeque<ConnId>,
    responses: VecDeque<Response>,
    arena: Arena,
    scratch: Vec<u8>,
    count_frames: bool,
}

/// Names one connection of one [`Engine`]; never used again after the connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    index: u32,
    generation: u32,
}

impl ConnId {
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

/// Why a message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The connection is over.
    Closed,
    /// The peer takes no datagrams.
    Unsupported,
    /// The message does not fit a packet, or the window.
    TooLarge,
}

/// Why no stream was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The connection is over.
    Closed,
    /// The peer allows no (further) stream now.
    NotAllowed,
}

struct Slot {
    id: ConnId,
    conn: Connection,
    armed: Option<Instant>,
    queued: bool,
    /// Packets that overtook the end of the handshake, with their stamps.
    held: Vec<(ConnectionEvent, Stamp)>,
    /// The server asked this client to begin again: what was sent early it never read.
    retried: bool,
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

    fn new(mut config: EndpointConfig, server: Option<Arc<ServerConfig>>) -> Self {
        // tsq: C1
        config.supported_versions(vec![QUIC_V1]);
        Self {
            endpoint: Endpoint::new(Arc::new(config), server, false, None),
            slots: Vec::new(),
            generation: 0,
            timers: Timers::default(),
            events: VecDeque::new(),
            ready: VecDeque::new(),
            responses: VecDeque::new(),
            arena: Arena::default(),
            scratch: Vec::new(),
            count_frames: false,
        }
    }

    /// Fills [`Outgoing::carries`]: needed to know which packet took a message away.
    pub fn count_frames(&mut self) {
        self.count_frames = true;
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
        let (handle, conn) = self.endpoint.connect(now, config, remote, server_name)?;
        let id = self.insert(handle, conn);
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
        slot(&mut self.slots, id)
            .is_some_and(|slot| slot.conn.is_handshaking() && slot.conn.has_0rtt())
    }

    /// Takes in one UDP packet. Poll events and packets before the next one.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local_ip: Option<IpAddr>,
        bytes: &[u8],
        stamp: Stamp,
    ) {
        let first = bytes.first().copied().unwrap_or_default();
        let data = self.arena.copy(bytes);
        self.scratch.clear();
        match self
            .endpoint
            .handle(now, remote, local_ip, None, data, &mut self.scratch)
        {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                self.connection_packet(handle, event, stamp, first);
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.accept(now, incoming, stamp),
            Some(DatagramEvent::Response(transmit)) => self.respond(&transmit),
            None => {}
        }
    }

    /// Runs the timers that are due. Poll events and packets after it.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, id)) = self.timers.expire(now) {
            let Some(slot) = slot(&mut self.slots, id) else {
                continue;
            };
            if slot.armed != Some(at) {
                continue;
            }
            slot.armed = None;
            if slot.conn.poll_timeout().is_some_and(|due| due <= now) {
                slot.conn.handle_timeout(now);
                self.drive(id, Stamp::user(crate::stamp::now()));
            } else {
                self.settle(id);
            }
        }
    }

    /// The next thing that happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
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
            if let Some(slot) = slot(&mut self.slots, id) {
                slot.queued = false;
                self.settle(id);
            }
        }
        None
    }

    /// Queues one datagram. Older unsent ones are dropped for it when the buffer is full.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send_datagram(&mut self, id: ConnId, message: &[u8]) -> Result<(), SendError> {
        let slot = slot(&mut self.slots, id).ok_or(SendError::Closed)?;
        if slot.conn.is_closed() {
            return Err(SendError::Closed);
        }
        let message = self.arena.copy(message).freeze();
        match slot.conn.datagrams().send(message, true) {
            Ok(()) => {}
            Err(SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled) => {
                return Err(SendError::Unsupported);
            }
            Err(SendDatagramError::TooLarge | SendDatagramError::Blocked(_)) => {
                return Err(SendError::TooLarge);
            }
        }
        self.mark_ready(id);
        Ok(())
    }

    /// Opens a bidirectional stream, writes `message` and, if `finish`, ends our side.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_stream(
        &mut self,
        id: ConnId,
        message: &[u8],
        finish: bool,
    ) -> Result<StreamId, OpenError> {
        let slot = slot(&mut self.slots, id).ok_or(OpenError::Closed)?;
        if slot.conn.is_closed() {
            return Err(OpenError::Closed);
        }
        let stream = slot
            .conn
            .streams()
            .open(Dir::Bi)
            .ok_or(OpenError::NotAllowed)?;
        self.send_stream(id, stream, message, finish)
            .map_err(|_| OpenError::Closed)?;
        Ok(stream)
    }

    /// Writes `message` to a stream whole, or not at all.
    ///
    /// # Errors
    /// `Closed` if the stream or connection is over, `TooLarge` if the peer's window is too small.
    pub fn send_stream(
        &mut self,
        id: ConnId,
        stream: StreamId,
        message: &[u8],
        finish: bool,
    ) -> Result<(), SendError> {
        let slot = slot(&mut self.slots, id).ok_or(SendError::Closed)?;
        let mut sender = slot.conn.send_stream(stream);
        let written = sender.write(message).map_err(|_| SendError::Closed)?;
        if written < message.len() {
            // Ends the stream: half a message is worth nothing.
            let _ = sender.reset(VarInt::from_u32(0));
            return Err(SendError::TooLarge);
        }
        if finish {
            sender.finish().map_err(|_| SendError::Closed)?;
        }
        self.mark_ready(id);
        Ok(())
    }

    /// Tells the peer that we read no more of `stream`: it can be forgotten on both sides.
    pub fn stop_stream(&mut self, id: ConnId, stream: StreamId) {
        if let Some(slot) = slot(&mut self.slots, id) {
            // An error means the stream is gone already.
            let _ = slot.conn.recv_stream(stream).stop(VarInt::from_u32(0));
            // Pieces of it that are waiting to be looked at are not wanted either.
            self.events.retain(|event| {
                !matches!(event, Event::Stream { conn, stream: other, .. } if *conn == id && *other == stream)
            });
            self.mark_ready(id);
        }
    }

    /// Gives up our side of `stream`.
    pub fn reset_stream(&mut self, id: ConnId, stream: StreamId) {
        if let Some(slot) = slot(&mut self.slots, id) {
            // An error means the stream is gone already.
            let _ = slot.conn.send_stream(stream).reset(VarInt::from_u32(0));
            self.mark_ready(id);
        }
    }

    /// Closes a connection; the next packets polled tell the peer so.
    pub fn close(&mut self, now: Instant, id: ConnId, code: u32, reason: &'static str) {
        if let Some(slot) = slot(&mut self.slots, id) {
            slot.conn.close(
                now,
                VarInt::from_u32(code),
                Bytes::from_static(reason.as_bytes()),
            );
            self.mark_ready(id);
            self.settle(id);
        }
    }

    /// Closes every connection.
    pub fn close_all(&mut self, now: Instant, code: u32, reason: &'static str) {
        let all: Vec<ConnId> = self.slots.iter().flatten().map(|slot| slot.id).collect();
        for id in all {
            self.close(now, id, code, reason);
        }
    }

    /// The longest datagram the peer takes; None when it takes none (C5).
    pub fn max_datagram(&mut self, id: ConnId) -> Option<usize> {
        slot(&mut self.slots, id)?.conn.datagrams().max_size()
    }

    /// QUIC's smoothed estimate of the round trip.
    pub fn round_trip(&mut self, id: ConnId) -> Option<Duration> {
        Some(slot(&mut self.slots, id)?.conn.rtt())
    }

    /// Connections that hold state now, closing ones included.
    pub fn connections(&self) -> usize {
        self.endpoint.open_connections()
    }

    fn accept(&mut self, now: Instant, incoming: Incoming, stamp: Stamp) {
        match self.endpoint.accept(incoming, now, &mut self.scratch, None) {
            Ok((handle, conn)) => {
                let id = self.insert(handle, conn);
                self.drive(id, stamp);
            }
            Err(error) => {
                if let Some(transmit) = error.response {
                    self.respond(&transmit);
                }
            }
        }
    }

    fn connection_packet(
        &mut self,
        handle: ConnectionHandle,
        event: ConnectionEvent,
        stamp: Stamp,
        first: u8,
    ) {
        let Some(slot) = self.slots.get_mut(handle.0).and_then(Option::as_mut) else {
            return;
        };
        let id = slot.id;
        // A forged one only makes the caller ask again.
        slot.retried |= first & LONG_TYPE == RETRY;
        if first & LONG_HEADER == 0 && slot.conn.is_handshaking() {
            // quinn-proto drops these; the sender would have to ask again.
            if slot.held.len() < HELD_PACKETS {
                slot.held.push((event, stamp));
            }
            return;
        }
        slot.conn.handle_event(event);
        self.drive(id, stamp);
        self.release_held(id);
    }

    fn release_held(&mut self, id: ConnId) {
        let Some(slot) = slot(&mut self.slots, id) else {
            return;
        };
        if slot.held.is_empty() || slot.conn.is_handshaking() {
            return;
        }
        for (event, stamp) in std::mem::take(&mut slot.held) {
            if let Some(slot) = self::slot(&mut self.slots, id) {
                slot.conn.handle_event(event);
                self.drive(id, stamp);
            }
        }
    }

    fn insert(&mut self, handle: ConnectionHandle, conn: Connection) -> ConnId {
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
        let slot = Slot {
            id,
            conn,
            armed: None,
            queued: false,
            held: Vec::new(),
            retried: false,
        };
        self.slots[handle.0] = Some(Box::new(slot));
        id
    }

    /// Turns what the connection has to say into events, all with the stamp of one packet.
    fn drive(&mut self, id: ConnId, stamp: Stamp) {
        let Some(slot) = slot(&mut self.slots, id) else {
            return;
        };
        while let Some(event) = slot.conn.poll() {
            translate(slot, event, stamp, &mut self.events);
        }
        self.mark_ready(id);
        self.settle(id);
    }

    /// Exchanges endpoint events, arms the timer, and frees the slot of a connection that ended.
    fn settle(&mut self, id: ConnId) {
        let Some(slot) = slot(&mut self.slots, id) else {
            return;
        };
        let handle = ConnectionHandle(id.index as usize);
        while let Some(event) = slot.conn.poll_endpoint_events() {
            if let Some(reply) = self.endpoint.handle_event(handle, event) {
                slot.conn.handle_event(reply);
                self.mark_ready(id);
                return self.settle(id);
            }
        }
        if slot.conn.is_drained() {
            self.slots[id.index as usize] = None;
            return;
        }
        if let Some(at) = slot.conn.poll_timeout() {
            self.timers.arm(id, &mut slot.armed, at);
        }
    }

    fn mark_ready(&mut self, id: ConnId) {
        if let Some(slot) = slot(&mut self.slots, id).filter(|slot| !slot.queued) {
            slot.queued = true;
            self.ready.push_back(id);
        }
    }

    fn transmit_of(&mut self, id: ConnId, now: Instant, buffer: &mut Vec<u8>) -> Option<Outgoing> {
        let count_frames = self.count_frames;
        let slot = slot(&mut self.slots, id)?;
        let sent = |conn: &Connection| {
            let frames = conn.stats().frame_tx;
            (frames.datagram, frames.stream)
        };
        let before = if count_frames {
            sent(&slot.conn)
        } else {
            (0, 0)
        };
        let transmit = slot.conn.poll_transmit(now, 1, buffer)?;
        let after = if count_frames {
            sent(&slot.conn)
        } else {
            (0, 0)
        };
        Some(Outgoing {
            conn: Some(id),
            remote: transmit.destination,
            local_ip: transmit.src_ip,
            carries: Carries {
                datagrams: after.0 - before.0,
                stream_frames: after.1 - before.1,
            },
        })
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

fn slot(slots: &mut [Option<Box<Slot>>], id: ConnId) -> Option<&mut Slot> {
    slots
        .get_mut(id.index as usize)?
        .as_deref_mut()
        .filter(|slot| slot.id == id)
}

fn translate(
    slot: &mut Slot,
    event: quinn_proto::Event,
    stamp: Stamp,
    events: &mut VecDeque<Event>,
) {
    use quinn_proto::Event as Quic;
    let conn = slot.id;
    match event {
        Quic::Connected => events.push_back(Event::Connected {
            conn,
            protocol: protocol(&slot.conn),
            early: early_data(slot),
        }),
        Quic::ConnectionLost { reason } => {
            events.push_back(Event::Closed {
                conn,
                reason: CloseReason::from(&reason),
            });
        }
        Quic::DatagramReceived => {
            while let Some(data) = slot.conn.datagrams().recv() {
                events.push_back(Event::Datagram { conn, data, stamp });
            }
        }
        Quic::Stream(StreamEvent::Opened { dir: Dir::Bi }) => {
            while let Some(stream) = slot.conn.streams().accept(Dir::Bi) {
                read(slot, stream, stamp, events);
            }
        }
        Quic::Stream(StreamEvent::Readable { id }) => read(slot, id, stamp, events),
        Quic::Stream(StreamEvent::Stopped { id, error_code }) => {
            // RFC 9000, section 3.5: what the peer asked to stop is to be reset.
            let _ = slot.conn.send_stream(id).reset(error_code);
            events.push_back(Event::StreamAborted {
                conn,
                stream: id,
                code: error_code.into_inner(),
            });
        }
        Quic::Stream(
            StreamEvent::Opened { .. }
            | StreamEvent::Writable { .. }
            | StreamEvent::Finished { .. }
            | StreamEvent::Available { .. },
        )
        | Quic::HandshakeDataReady
        | Quic::DatagramsUnblocked => {}
    }
}

/// Reads what a stream has; the last bytes and the end go out as one event.
fn read(slot: &mut Slot, stream: StreamId, stamp: Stamp, events: &mut VecDeque<Event>) {
    let conn = slot.id;
    let mut receiver = slot.conn.recv_stream(stream);
    // An error means the stream was stopped or read to its end already.
    let Ok(mut chunks) = receiver.read(true) else {
        return;
    };
    let mut last: Option<Bytes> = None;
    let mut push = |data: Option<Bytes>, finished: bool| {
        if finished || data.is_some() {
            let data = data.unwrap_or_default();
            events.push_back(Event::Stream {
                conn,
                stream,
                data,
                finished,
                stamp,
            });
        }
    };
    loop {
        match chunks.next(usize::MAX) {
            Ok(Some(chunk)) => push(last.replace(chunk.bytes), false),
            Ok(None) => break push(last, true),
            Err(ReadError::Blocked) => break push(last, false),
            Err(ReadError::Reset(code)) => {
                push(last, false);
                events.push_back(Event::StreamAborted {
                    conn,
                    stream,
                    code: code.into_inner(),
                });
                break;
            }
        }
    }
    // Whatever windows this opened is sent with the next packet; every caller polls for those.
    let _ = chunks.finalize();
}

fn early_data(slot: &Slot) -> EarlyData {
    // A server has early keys only if it takes early data.
    let accepted = slot.conn.side().is_server() || slot.conn.accepted_0rtt();
    match (slot.conn.has_0rtt(), accepted && !slot.retried) {
        (false, _) => EarlyData::None,
        (true, true) => EarlyData::Accepted,
        (true, false) => EarlyData::Lost,
    }
}

fn protocol(conn: &Connection) -> Bytes {
    conn.crypto_session()
        .handshake_data()
        .and_then(|data| data.downcast::<HandshakeData>().ok())
        .and_then(|data| data.protocol)
        .map(Bytes::from)
        .unwrap_or_default()
}

/// RFC 9000; the drafts before it, which quinn-proto still offers, are not.
const QUIC_V1: u32 = 1;

/// The bit of a packet's first byte that marks a long header (RFC 9000, section 17).
const LONG_HEADER: u8 = 0x80;

/// That bit and those of the type, and their value in a Retry packet (section 17.2.5).
const LONG_TYPE: u8 = 0xb0;
const RETRY: u8 = 0xb0;

/// Packets kept per connection until its handshake is complete; a client asks a handful at once.
const HELD_PACKETS: usize = 16;

/// Stateless answers waiting to be sent; more are not worth the memory.
const QUEUED_RESPONSES: usize = 64;

#[cfg(test)]
mod tests;
