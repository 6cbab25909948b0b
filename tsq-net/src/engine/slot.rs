//! One connection of an engine, and what its library says translated into events.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use quinn_proto::crypto::rustls::HandshakeData;
use quinn_proto::{Connection, ConnectionEvent, Dir, ReadError, StreamEvent, StreamId};
use rustls::pki_types::CertificateDer;

use super::guard::{Guard, Weight};
use super::{Carries, ConnId, Outgoing};
use crate::event::{CloseReason, EarlyData, Event};
use crate::memory;
use crate::stamp::Stamp;
use crate::timers::Armed;

/// One connection.
pub(super) struct Slot {
    pub(super) id: ConnId,
    pub(super) conn: Connection,
    pub(super) armed: Armed,
    pub(super) queued: bool,
    /// Packets that overtook the end of the handshake, with their stamps and lengths.
    pub(super) held: Vec<(ConnectionEvent, Stamp, usize)>,
    /// The sum of the lengths.
    pub(super) held_bytes: usize,
    /// The server asked this client to begin again: what was sent early it never read.
    pub(super) retried: bool,
    /// On a server: what may be sent where.
    pub(super) guard: Option<Guard>,
    /// Whether the caller was told that it is over.
    pub(super) told: bool,
    /// Whether to fill [`Outgoing::carries`].
    pub(super) count_frames: bool,
    /// When the last packet for it came.
    pub(super) heard: Instant,
    /// Since when it is closed, from either side.
    pub(super) over_since: Option<Instant>,
    /// It was closed for what it holds.
    pub(super) expelled: bool,
    /// Bytes it has allocated and not freed. Below zero if it frees what others have allocated.
    pub(super) memory: isize,
    /// Bytes of the spare that it has drawn.
    pub(super) drawn: usize,
    /// It has kept a packet's memory before: further packets get their own, as long as they are. That is on its
    /// account, so what the caller gets is a copy that is not.
    pub(super) keeps_packets: bool,
    /// Room for datagrams to be sent while none is waiting.
    all_room: usize,
}

impl Slot {
    pub(super) fn new(
        id: ConnId,
        now: Instant,
        mut conn: Connection,
        guard: Option<Guard>,
        count_frames: bool,
    ) -> Self {
        let all_room = conn.datagrams().send_buffer_space();
        Self {
            id,
            conn,
            armed: Armed::default(),
            queued: false,
            held: Vec::new(),
            held_bytes: 0,
            retried: false,
            guard,
            told: false,
            count_frames,
            heard: now,
            over_since: None,
            expelled: false,
            memory: 0,
            drawn: 0,
            keeps_packets: false,
            all_room,
        }
    }

    /// Turns what the connection has to say into events, all with the stamp of one packet; None after a timer, which
    /// brings no messages.
    pub(super) fn drain(
        &mut self,
        stamp: Option<Stamp>,
        events: &mut VecDeque<Event>,
        resumptions: &mut VecDeque<ConnId>,
    ) {
        while let Some(event) = self.conn.poll() {
            // A server's peer is known as early as this only from a session that it takes up again.
            if matches!(event, quinn_proto::Event::HandshakeDataReady)
                && self.conn.side().is_server()
                && self.peer_chain().is_some()
            {
                resumptions.push_back(self.id);
            }
            translate(self, event, stamp, events);
        }
    }

    fn for_the_caller(&self, data: Bytes) -> Bytes {
        own(data, self.keeps_packets)
    }

    pub(super) fn memory(&self) -> usize {
        usize::try_from(self.memory).unwrap_or(0)
    }

    pub(super) fn peer_chain(&self) -> Option<Vec<CertificateDer<'static>>> {
        let shown = self.conn.crypto_session().peer_identity()?;
        shown.downcast().ok().map(|chain| *chain)
    }

    pub(super) fn has_unsent_datagrams(&mut self) -> bool {
        self.conn.datagrams().send_buffer_space() < self.all_room
    }

    /// Frames that a server sends only once the handshake has reached it, and after the first of these all others that
    /// answer something: what it repeats of the handshake itself tells nothing.
    pub(super) fn heard(&self) -> u64 {
        let frames = self.conn.stats().frame_rx;
        let proof = u64::from(frames.handshake_done) + frames.datagram + frames.stream;
        if proof == 0 {
            return 0;
        }
        proof + frames.acks + frames.path_challenge + frames.path_response
    }

    /// A packet of `len` bytes for it.
    pub(super) fn handle(&mut self, event: ConnectionEvent, len: usize) {
        let proofs = |conn: &Connection| conn.stats().frame_rx.path_response;
        let wary = self.guard.as_ref().is_some_and(Guard::is_wary);
        let before = wary.then(|| proofs(&self.conn));
        self.conn.handle_event(event);
        if let Some(guard) = &mut self.guard {
            guard.handled(self.conn.remote_address(), len);
            if guard.is_wary() && before.is_some_and(|n| n != proofs(&self.conn)) {
                // Only the next packet shows whether the proof was good, and the client may move first.
                self.conn.ping();
            }
        }
    }

    /// Its timers may have moved it back to an address it left.
    pub(super) fn follow(&mut self) {
        if let Some(guard) = &mut self.guard {
            guard.follow(self.conn.remote_address());
        }
    }

    /// What quinn-proto wants to send next, over `buffer`, and what is to become of it.
    pub(super) fn poll_weighed(
        &mut self,
        now: Instant,
        buffer: &mut Vec<u8>,
    ) -> Option<(Outgoing, Weight)> {
        let Some(guard) = &self.guard else {
            return Some((self.poll_transmit(now, buffer)?, Weight::Send));
        };
        // To count frames costs time: done only while it matters.
        let challenges = |conn: &Connection| conn.stats().frame_tx.path_challenge;
        let before = guard.is_wary().then(|| challenges(&self.conn));
        let outgoing = self.poll_transmit(now, buffer)?;
        // The packets of a connection that closes ask for nothing in any case.
        let asks = self.conn.is_closed() || before.is_none_or(|n| n != challenges(&self.conn));
        let guard = self.guard.as_mut()?;
        let weight = guard.weigh(outgoing.remote, buffer.len(), asks);
        Some((outgoing, weight))
    }

    /// What quinn-proto wants to send next, over `buffer`, not yet weighed.
    fn poll_transmit(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Option<Outgoing> {
        let count_frames = self.count_frames;
        let sent = |conn: &Connection| {
            if !count_frames {
                return Carries::default();
            }
            let frames = conn.stats().frame_tx;
            Carries {
                datagrams: frames.datagram,
                stream_frames: frames.stream,
            }
        };
        let before = sent(&self.conn);
        let transmit = self.conn.poll_transmit(now, 1, buffer)?;
        let after = sent(&self.conn);
        Some(Outgoing {
            conn: Some(self.id),
            remote: transmit.destination,
            local_ip: transmit.src_ip,
            carries: Carries {
                datagrams: after.datagrams - before.datagrams,
                stream_frames: after.stream_frames - before.stream_frames,
            },
        })
    }
}

fn translate(
    slot: &mut Slot,
    event: quinn_proto::Event,
    stamp: Option<Stamp>,
    events: &mut VecDeque<Event>,
) {
    use quinn_proto::Event as Quic;
    let conn = slot.id;
    match event {
        Quic::Connected => {
            if let Some(guard) = &mut slot.guard {
                guard.handshake_complete();
            }
            events.push_back(Event::Connected {
                conn,
                protocol: protocol(&slot.conn),
                early: early_data(slot),
            });
        }
        Quic::ConnectionLost { reason } => {
            slot.told = true;
            events.push_back(Event::Closed {
                conn,
                reason: CloseReason::from(&reason),
            });
        }
        Quic::DatagramReceived => {
            let Some(stamp) = stamp else { return };
            while let Some(data) = slot.conn.datagrams().recv() {
                let data = slot.for_the_caller(data);
                events.push_back(Event::Datagram { conn, data, stamp });
            }
        }
        Quic::Stream(StreamEvent::Opened { dir: Dir::Bi }) => {
            let Some(stamp) = stamp else { return };
            while let Some(stream) = slot.conn.streams().accept(Dir::Bi) {
                // Also if nothing came on it yet: it takes a place of the peer's credit already.
                let told = events.len();
                read(slot, stream, stamp, events);
                if events.len() == told {
                    events.push_back(Event::Stream {
                        conn,
                        stream,
                        data: Bytes::new(),
                        finished: false,
                        stamp,
                    });
                }
            }
        }
        Quic::Stream(StreamEvent::Readable { id }) => {
            if let Some(stamp) = stamp {
                read(slot, id, stamp, events);
            }
        }
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
    let keeps_packets = slot.keeps_packets;
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
            Ok(Some(chunk)) => push(last.replace(own(chunk.bytes, keeps_packets)), false),
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

/// The caller frees what it got at a time of its own: that must not be on the connection's account.
fn own(data: Bytes, copied: bool) -> Bytes {
    if copied {
        memory::uncounted(|| Bytes::copy_from_slice(&data))
    } else {
        data
    }
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
