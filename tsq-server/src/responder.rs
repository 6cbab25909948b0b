//! What a server does with packets and time, without a socket or a clock of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::UnixTime;
use tsq_net::{
    CloseReason, ConnId, Departure, Engine, Event, MemoryLimit, Outgoing, Packet, Stamp,
    StampSource,
};
use tsq_proto::error::ErrorCode;
use tsq_proto::{HostTime, Nonce};

use crate::answer::{self, Answered, Earlier, MAX_ANSWER, Refused};
use crate::certificate::{Clients, Standing};
use crate::counts::Counters;
use crate::departures::{Carrier, Departures};
use crate::limits::{Gate, Limits, SHARE, Seed, Shared};
use crate::rules::Rules;
use crate::streams::{Complete, Due, Key, Known, Progress, Streams};
use crate::teller::Teller;
use crate::wall_clock::WallClock;

/// Answers requests: one engine with all that decides what becomes of its messages.
///
/// It is driven as an [`Engine`] is, and in the same order, for an answer should leave before the next packet is
/// looked at:
///
/// 1. [`handle_packet`](Self::handle_packet) or [`handle_timeout`](Self::handle_timeout);
/// 2. [`transmit`](Self::transmit), which makes the answers and hands each to a [`Link`] at once;
/// 3. wait for a packet, at most until [`poll_timeout`](Self::poll_timeout).
///
/// Monotonic time is an argument of each call. `W` is read for T3 alone, and for how long an answer took. What is left
/// to chance comes with the engine and with [`Shared`]: from the same seeds, packets and times comes the same behaviour.
pub struct Responder<W> {
    engine: Engine,
    streams: Streams,
    teller: Teller,
    departures: Departures,
    rules: Arc<Rules>,
    standing: Standing,
    buffer: Vec<u8>,
    counters: Arc<Counters>,
    gate: Gate,
    clock: W,
    /// When a client last asked for something.
    asked: Instant,
    /// Whether what is due by time is still to be done.
    timed_out: bool,
}

/// Carries packets away, and tells when they left.
pub trait Link {
    /// Why a packet cannot leave.
    type Error;

    /// Sends `bytes` as `packet` says; with `report_departure`, so that [`Self::collect`] can tell later when they left.
    ///
    /// # Errors
    /// The packet did not leave. QUIC takes it for lost.
    fn send(
        &mut self,
        packet: &Outgoing,
        bytes: &[u8],
        report_departure: bool,
    ) -> Result<Departure, Self::Error>;

    /// Takes the reports of departures that have come in to `departures`: none, where nobody reports any.
    fn collect(&mut self, _departures: &mut Departures) {}
}

impl<W: WallClock> Responder<W> {
    /// Serves what `engine` gets to everybody, without limits; `teller` says what answers contain, `clock` the time.
    pub fn new(now: Instant, engine: Engine, teller: Teller, clock: W) -> Self {
        let counters = Arc::<Counters>::default();
        let limits = Limits::NONE;
        // No limit is ever reached that would leave something to chance.
        let shared = Arc::new(Shared::new(&limits, Seed::new(0)));
        let gate = Gate::new(&limits, 1, shared, Arc::clone(&counters), now);
        Self {
            engine,
            streams: Streams::new(limits.streams),
            teller,
            departures: Departures::default(),
            rules: Arc::default(),
            standing: Standing::default(),
            buffer: Vec::with_capacity(2048),
            counters,
            gate,
            clock,
            asked: now,
            timed_out: false,
        }
    }

    /// Serves only clients that `rules` allow: packets of others are dropped unread, so that a denied
    /// address costs next to nothing and cannot be moved to either.
    #[must_use]
    pub fn with_rules(mut self, rules: Arc<Rules>) -> Self {
        self.rules = rules;
        self
    }

    /// Serves only clients with a certificate that `clients` vouch for, for as long as they do. (The
    /// handshake asks them first; who is let in is judged again here.)
    #[must_use]
    pub fn judging(mut self, clients: Option<Arc<Clients>>) -> Self {
        self.standing = Standing::new(clients);
        self
    }

    /// Keeps it within its share of `limits` from `now` on, as one of `shards` that have `shared`.
    #[must_use]
    pub fn limited(
        mut self,
        now: Instant,
        limits: &Limits,
        shards: usize,
        shared: Arc<Shared>,
    ) -> Self {
        let counters = Arc::clone(&self.counters);
        self.engine.limit_memory(MemoryLimit {
            share: SHARE,
            most: limits.connection_memory,
            spare: shared.spare(),
        });
        self.engine.limit_silence(limits.silence);
        self.gate = Gate::new(limits, shards, shared, counters, now);
        self.streams = Streams::new(limits.streams);
        self
    }

    /// Answers contain this from now on.
    pub fn tell(&mut self, teller: Teller) {
        self.teller = teller;
    }

    /// What it is doing, for others to read.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// A packet has come, as for [`Engine::handle_packet`]. [`Self::transmit`] acts on it.
    pub fn handle_packet(&mut self, now: Instant, packet: &Packet<'_>) {
        if self.rules.allows(packet.remote.ip()) {
            let &Packet {
                bytes,
                remote,
                local_ip,
                stamp,
            } = packet;
            self.engine
                .handle_packet_asking(now, remote, local_ip, bytes, stamp, &mut self.gate);
        } else {
            self.counters.denied.count();
        }
    }

    /// Runs the timers that are due. [`Self::transmit`] acts on them.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.engine.handle_timeout(now);
        self.timed_out = true;
    }

    /// When to call [`Self::handle_timeout`] at the latest; never, if there is nothing to wait for.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.standing.is_behind() {
            // Was due when it was last asked for something; now, that is.
            return Some(self.asked);
        }
        let due = [
            self.engine.poll_timeout(),
            self.streams.next_deadline(),
            self.gate.next_deadline(),
        ];
        due.into_iter().flatten().min()
    }

    /// Answers what was asked and does what is due: one answer at a time, each sent before the next is looked at.
    pub fn transmit<L: Link>(&mut self, now: Instant, link: &mut L) {
        self.act(now, link);
        if std::mem::take(&mut self.timed_out) {
            self.judge_again(now, link);
            self.expire(now, link);
        }
    }

    /// Takes in when packets left. To be called before waiting if [`Self::awaits_departures`]; further reports are
    /// asked for where an answer could tell them.
    pub fn collect<L: Link>(&mut self, link: &mut L) {
        link.collect(&mut self.departures);
    }

    /// Whether a departure is to be reported yet.
    pub fn awaits_departures(&self) -> bool {
        self.departures.any_waiting()
    }

    /// When a client last asked for something, or when it began to serve.
    pub fn last_asked(&self) -> Instant {
        self.asked
    }

    /// Connections that hold state now, closing ones included.
    pub fn connections(&self) -> usize {
        self.engine.connections()
    }

    /// Streams whose requests are not complete, or whose clients have not ended them.
    pub fn open_streams(&self) -> usize {
        self.streams.waiting()
    }

    /// Accepts no further connections; those there are go on.
    pub fn refuse_new(&mut self) {
        self.engine.refuse_new();
    }

    /// Tells every client that the server ends.
    pub fn farewell<L: Link>(&mut self, now: Instant, link: &mut L) {
        self.engine.close_all(now, 0, "server is shutting down");
        self.flush(now, link);
    }

    /// What is due by time alone.
    fn expire<L: Link>(&mut self, now: Instant, link: &mut L) {
        while let Some((key, due)) = self.streams.expire(now) {
            match due {
                Due::Answer(request) => self.answer_stream(now, key, &request, link),
                Due::GiveUp => {
                    self.counters.unfinished_streams.count();
                    self.give_up(key);
                }
                Due::Stop => self.engine.stop_stream(key.0, key.1),
            }
            self.flush(now, link);
        }
        while let Some(conn) = self.gate.expire(now) {
            self.engine
                .close(now, conn, 0, "the handshake takes too long");
            self.flush(now, link);
        }
    }

    /// After a change of the authorities: a few connections each time, for a judgement takes as long as some
    /// ten answers.
    fn judge_again<L: Link>(&mut self, now: Instant, link: &mut L) {
        let engine = &self.engine;
        self.standing.refresh(|| engine.ids());
        for _ in 0..JUDGED_A_TURN {
            let Some(conn) = self.standing.take_next() else {
                return;
            };
            self.judge(now, conn, link);
        }
    }

    /// Closes a connection whose client's certificate counts no more.
    fn judge<L: Link>(&mut self, now: Instant, conn: ConnId, link: &mut L) {
        let Some(chain) = self.engine.peer_chain(conn) else {
            return;
        };
        let clock = &self.clock;
        if !self.standing.counts(&chain, || unix(clock.read())) {
            self.counters.withdrawn.count();
            let reason = "the client certificate counts no more: its authority was removed, or it has expired";
            self.engine.close(now, conn, 0, reason);
            self.flush(now, link);
        }
    }

    fn act<L: Link>(&mut self, now: Instant, link: &mut L) {
        while let Some(conn) = self.engine.poll_resumption() {
            self.judge(now, conn, link);
        }
        while let Some(event) = self.engine.poll_event() {
            if matches!(event, Event::Datagram { .. } | Event::Stream { .. }) {
                self.asked = now;
            }
            match event {
                Event::Datagram { conn, data, stamp } => {
                    if self.gate.request(now, conn) {
                        self.answer_datagram(conn, &data, stamp, link);
                    } else {
                        self.counters.dropped_datagrams.count();
                    }
                }
                Event::Stream {
                    conn,
                    stream,
                    data,
                    finished,
                    stamp,
                } => {
                    let key = (conn, stream);
                    match self.streams.receive(now, key, &data, finished, stamp.time) {
                        Progress::Complete(request) => {
                            self.count_stamp(stamp);
                            self.answer_stream(now, key, &request, link);
                        }
                        Progress::Nothing => {}
                        Progress::TooLong => {
                            self.refuse_stream(key, &too_long());
                            self.engine.stop_stream(conn, stream);
                        }
                        Progress::Excess => self.engine.stop_stream(conn, stream),
                    }
                }
                Event::StreamAborted { conn, stream, .. } => self.aborted((conn, stream)),
                Event::Connected { conn, .. } => {
                    self.counters.handshakes.count();
                    if !self.gate.connected(conn) {
                        self.engine
                            .close(now, conn, 0, "too many connections from your network");
                    }
                }
                Event::Closed { conn, reason } => {
                    tracing::debug!(?reason, "connection closed");
                    self.count_end(&reason);
                    self.gate.closed(conn);
                    self.streams.forget_connection(conn);
                    self.departures.forget(conn);
                }
                Event::Forgotten { conn } => self.gate.forgotten(conn),
            }
            self.flush(now, link);
        }
        self.flush(now, link);
    }

    fn answer_datagram<L: Link>(
        &mut self,
        conn: ConnId,
        request: &[u8],
        stamp: Stamp,
        link: &mut L,
    ) {
        let mut out = [0; MAX_ANSWER];
        // A precise answer is as long as its request, but only where one packet holds that.
        // tsq: M6
        let room = self.engine.max_datagram(conn).unwrap_or(0).min(MAX_ANSWER);
        match self.answer(conn, request, stamp.time, link, &mut out[..room]) {
            Ok(answered) => {
                let alone = !self.engine.has_unsent_datagrams(conn);
                if self.engine.send_datagram(conn, answered.bytes).is_ok() {
                    self.counters.datagrams.count();
                    self.counters.lag.observe(self.since(stamp.time));
                    self.count_stamp(stamp);
                    if alone {
                        self.note(conn, answered.follow_up, Carrier::Datagram);
                    }
                }
            }
            // tsq: M2
            Err(_) => self.counters.refused_datagrams.count(),
        }
    }

    /// Answers once. The client's side is left alone, whether it has ended or not: [`Streams`] knows.
    fn answer_stream<L: Link>(&mut self, now: Instant, key: Key, request: &Complete, link: &mut L) {
        if !self.gate.request(now, key.0) {
            self.counters.dropped_streams.count();
            return self.give_up(key);
        }
        let mut out = [0; MAX_ANSWER];
        match self.answer(key.0, &request.bytes, request.arrived, link, &mut out) {
            Ok(answered) => {
                let sent = self.engine.send_stream(key.0, key.1, answered.bytes, true);
                if sent.is_ok() {
                    self.counters.streams.count();
                    self.counters.lag.observe(self.since(request.arrived));
                    self.note(key.0, answered.follow_up, Carrier::Stream);
                }
            }
            Err(refused) => self.refuse_stream(key, &refused),
        }
    }

    fn answer<'b, L: Link>(
        &mut self,
        conn: ConnId,
        request: &[u8],
        t2: HostTime,
        link: &mut L,
        out: &'b mut [u8],
    ) -> Result<Answered<'b>, Refused> {
        let departures = &mut self.departures;
        let counters = &self.counters;
        let earlier = || -> Earlier {
            if departures.is_waiting(conn) {
                link.collect(departures);
            }
            let told = departures.tell(conn);
            counters.follow_ups.add(told.1 as u64);
            told
        };
        answer::answer(request, t2, &self.teller, earlier, &self.clock, out)
    }

    /// The answer is queued: its departure is to be told later, if the client asked for that.
    fn note(&mut self, conn: ConnId, asked: Option<Nonce>, carrier: Carrier) {
        if let Some(nonce) = asked {
            if self.departures.note(conn) {
                self.engine.count_frames_of(conn);
            }
            self.departures.queued(conn, nonce, carrier);
        }
    }

    fn refuse_stream(&mut self, key: Key, refused: &Refused) {
        let mut out = [0; MAX_ANSWER];
        self.counters.refused_streams.count();
        // A client that does not read the error has given up already.
        let _ = self
            .engine
            .send_stream(key.0, key.1, answer::error(refused, &mut out), true);
    }

    /// The client gave up one side of a stream, whose place it gets back when both are over.
    fn aborted(&mut self, key: Key) {
        // The answer is on its way, and was perhaps lost: it is left to come.
        if self.streams.forget(key) != Known::Answered {
            self.engine.reset_stream(key.0, key.1);
        }
        self.engine.stop_stream(key.0, key.1);
    }

    fn give_up(&mut self, key: Key) {
        self.streams.forget(key);
        self.engine.reset_stream(key.0, key.1);
        self.engine.stop_stream(key.0, key.1);
    }

    fn count_stamp(&mut self, stamp: Stamp) {
        match stamp.source {
            StampSource::Kernel => self.counters.kernel_stamps.count(),
            StampSource::User => self.counters.user_stamps.count(),
        }
    }

    fn count_end(&self, reason: &CloseReason) {
        let counters = &self.counters;
        let counter = match reason {
            CloseReason::ByPeer { .. } | CloseReason::Reset => &counters.closed_by_client,
            CloseReason::TimedOut => &counters.closed_idle,
            CloseReason::Tls { .. } | CloseReason::Transport { .. } | CloseReason::Version => {
                &counters.closed_by_error
            }
            CloseReason::Memory => {
                counters.over_memory.count();
                &counters.closed_by_server
            }
            CloseReason::Local => &counters.closed_by_server,
        };
        counter.count();
    }

    fn flush<L: Link>(&mut self, now: Instant, link: &mut L) {
        while let Some(packet) = self.engine.poll_transmit(now, &mut self.buffer) {
            let noted = self.departures.carried_by(&packet, self.buffer.len());
            match link.send(&packet, &self.buffer, noted.is_some()) {
                Ok(departure) => {
                    if let (Some(conn), Some(nonce)) = (packet.conn, noted) {
                        self.departures.sent(conn, nonce, departure);
                    }
                }
                // QUIC takes an unsent packet for a lost one.
                Err(_) => self.counters.unsent.count(),
            }
        }
        self.departures.flushed();
    }

    /// Nanoseconds from T2 to now, which is just after T3. None of a clock that was set back in between.
    fn since(&self, t2: HostTime) -> u64 {
        let lag = self
            .clock
            .read()
            .as_unix_nanos()
            .saturating_sub(t2.as_unix_nanos());
        u64::try_from(lag).unwrap_or(0)
    }
}

fn too_long() -> Refused {
    Refused {
        code: ErrorCode::Malformed,
        reason: "the request is longer than 1024 bytes".into(),
    }
}

/// As dates of certificates are compared; a clock before 1970 shows that year.
fn unix(time: HostTime) -> UnixTime {
    let nanos = u64::try_from(time.as_unix_nanos()).unwrap_or(0);
    UnixTime::since_unix_epoch(Duration::from_nanos(nanos))
}

/// Connections judged again before the next packet is looked at.
const JUDGED_A_TURN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documented::in_words;

    #[test]
    fn page_for_operators_has_this_number() {
        in_words(&format!("({JUDGED_A_TURN} at each turn of a thread)"));
    }
}
