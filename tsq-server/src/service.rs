//! One shard of an address: its socket, its QUIC engine, and the loop between them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tsq_net::{
    Batch, CloseReason, ConnId, Engine, ErrorReport, Event, MemoryLimit, SendOptions, ServerConfig,
    Socket, Stamp, StampSource, Trouble, Wake, Waker, wait,
};
use tsq_proto::error::ErrorCode;
use tsq_proto::{HostTime, Nonce};

use crate::answer::{self, Answered, Earlier, MAX_ANSWER, Refused};
use crate::certificate::{Clients, Standing};
use crate::counts::{Counters, Counts};
use crate::departures::{Carrier, Departures};
use crate::limits::{Gate, Limits, SHARE, Shared};
use crate::rules::Rules;
use crate::streams::{Complete, Due, Key, Known, Progress, Streams};
use crate::teller::Teller;

/// Serves one address, or a shard of it, until told to stop.
pub struct Service {
    socket: Socket,
    engine: Engine,
    streams: Streams,
    teller: Teller,
    departures: Departures,
    rules: Arc<Rules>,
    standing: Standing,
    buffer: Vec<u8>,
    wake: Wake,
    orders: Arc<AtomicU8>,
    beats: Arc<AtomicU64>,
    /// When a client last asked for something.
    asked: Instant,
    counters: Arc<Counters>,
    gate: Gate,
}

/// Tells a [`Service`] on another thread to stop.
#[derive(Clone, Debug)]
pub struct Stopper {
    orders: Arc<AtomicU8>,
    beats: Arc<AtomicU64>,
    waker: Waker,
}

impl Stopper {
    /// Ends the service after it has drained: what was asked is answered, then clients are told.
    pub fn stop(&self) {
        self.order(STOP);
    }

    /// Ends the service, whose address another process serves by now, when its clients have what they
    /// came for: when all have gone, or none has asked for a second, or after ten.
    pub fn leave(&self) {
        self.order(LEAVE);
    }

    fn order(&self, order: u8) {
        // Who has begun to end cannot be told otherwise.
        let _ = self
            .orders
            .compare_exchange(SERVE, order, Ordering::Release, Ordering::Relaxed);
        self.waker.wake();
    }

    /// Wakes the service, which then counts one more beat: [`Self::beats`].
    pub fn nudge(&self) {
        self.waker.wake();
    }

    /// Changes whenever the service has gone on.
    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }
}

impl Service {
    /// Binds `address`, for one service alone; `teller` says what answers contain.
    ///
    /// # Errors
    /// Those of the socket calls: taken, not permitted, no such address.
    pub fn bind(
        address: SocketAddr,
        config: ServerConfig,
        teller: Teller,
    ) -> std::io::Result<Self> {
        Self::new(Socket::bind(address)?, Engine::server(config), teller)
    }

    /// Serves what comes to `socket`, which `engine` answers, without limits.
    ///
    /// # Errors
    /// No file descriptors are left.
    pub fn new(socket: Socket, engine: Engine, teller: Teller) -> std::io::Result<Self> {
        let counters = Arc::<Counters>::default();
        let limits = Limits::NONE;
        let shared = Arc::new(Shared::new(&limits));
        let gate = Gate::new(&limits, 1, shared, Arc::clone(&counters), Instant::now());
        Ok(Self {
            socket,
            engine,
            streams: Streams::new(limits.streams),
            teller,
            departures: Departures::default(),
            rules: Arc::default(),
            standing: Standing::default(),
            buffer: Vec::with_capacity(2048),
            wake: Wake::new()?,
            orders: Arc::new(AtomicU8::new(SERVE)),
            beats: Arc::default(),
            asked: Instant::now(),
            counters,
            gate,
        })
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

    /// Keeps it within its share of `limits`, as one of `shards` that have `shared`.
    #[must_use]
    pub fn limited(mut self, limits: &Limits, shards: usize, shared: Arc<Shared>) -> Self {
        let counters = Arc::clone(&self.counters);
        self.engine.limit_memory(MemoryLimit {
            share: SHARE,
            most: limits.connection_memory,
            spare: shared.spare(),
        });
        self.engine.limit_silence(limits.silence);
        self.gate = Gate::new(limits, shards, shared, counters, Instant::now());
        self.streams = Streams::new(limits.streams);
        self
    }

    /// What it is doing, for others to read.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// The address served, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr()
    }

    /// The handle that ends [`Self::run`].
    pub fn stopper(&self) -> Stopper {
        Stopper {
            orders: Arc::clone(&self.orders),
            beats: Arc::clone(&self.beats),
            waker: self.wake.waker(),
        }
    }

    /// Serves until stopped.
    ///
    /// # Errors
    /// Only if the socket itself fails for good; errors of single packets are counted.
    pub fn run(mut self) -> std::io::Result<Counts> {
        let mut batch = Batch::new();
        loop {
            match self.orders.load(Ordering::Acquire) {
                SERVE => self.turn(&mut batch, None)?,
                LEAVE => break self.leave(&mut batch)?,
                _ => break self.drain(&mut batch)?,
            }
        }
        Ok(self.counters.snapshot())
    }

    /// Waits (at most until `until`), then handles what came and what is due.
    fn turn(&mut self, batch: &mut Batch, until: Option<Instant>) -> std::io::Result<()> {
        let due = [
            self.engine.poll_timeout(),
            self.streams.next_deadline(),
            self.gate.next_deadline(),
            until,
        ];
        let timeout = due
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.saturating_duration_since(Instant::now()));
        // A report that is there would end the wait at once.
        if self.departures.any_waiting() || self.socket.reports_all() {
            collect(&mut self.socket, &mut self.departures);
        }
        let timeout = match self.standing.is_behind() {
            true => Some(Duration::ZERO),
            false => timeout,
        };
        wait(&[&self.socket], Some(&self.wake), timeout)?;
        self.teller.refresh();
        self.judge_again();
        loop {
            let count = self.receive(batch)?;
            for i in 0..count {
                let Some(packet) = batch.packet(i) else {
                    continue;
                };
                #[cfg(debug_assertions)]
                crate::faults::packet_from(packet.remote.ip());
                if !self.rules.allows(packet.remote.ip()) {
                    self.counters.denied.count();
                    continue;
                }
                let now = Instant::now();
                self.engine.handle_packet_asking(
                    now,
                    packet.remote,
                    packet.local_ip,
                    packet.bytes,
                    packet.stamp,
                    &mut self.gate,
                );
                self.act(now);
            }
            if count < Batch::CAPACITY {
                break;
            }
        }
        let now = Instant::now();
        self.engine.handle_timeout(now);
        self.act(now);
        while let Some((key, due)) = self.streams.expire(now) {
            match due {
                Due::Answer(request) => self.answer_stream(now, key, &request),
                Due::GiveUp => {
                    self.counters.unfinished_streams.count();
                    self.give_up(key);
                }
                Due::Stop => self.engine.stop_stream(key.0, key.1),
            }
            self.flush(now);
        }
        while let Some(conn) = self.gate.expire(now) {
            self.engine
                .close(now, conn, 0, "the handshake takes too long");
            self.flush(now);
        }
        Ok(())
    }

    /// After a change of the authorities: a few connections in each turn, for a judgement takes as long as some
    /// ten answers.
    fn judge_again(&mut self) {
        let engine = &self.engine;
        self.standing.refresh(|| engine.ids());
        for _ in 0..JUDGED_A_TURN {
            let Some(conn) = self.standing.take_next() else {
                return;
            };
            self.judge(Instant::now(), conn);
        }
    }

    /// Closes a connection whose client's certificate counts no more.
    fn judge(&mut self, now: Instant, conn: ConnId) {
        let Some(chain) = self.engine.peer_chain(conn) else {
            return;
        };
        if !self.standing.counts(&chain) {
            self.counters.withdrawn.count();
            let reason = "the client certificate counts no more: its authority was removed, or it has expired";
            self.engine.close(now, conn, 0, reason);
            self.flush(now);
        }
    }

    fn receive(&mut self, batch: &mut Batch) -> std::io::Result<usize> {
        // Once a batch and not once a turn: under full load a turn may last long.
        self.beats.fetch_add(1, Ordering::Relaxed);
        match self.socket.receive(batch) {
            Ok(count) => Ok(count),
            Err(error) if Trouble::of(&error) == Trouble::Final => Err(error),
            // The network's trouble with one client, told on our only socket.
            Err(_) => Ok(0),
        }
    }

    /// Answers what was asked, one answer at a time, each sent before the next is looked at.
    fn act(&mut self, now: Instant) {
        while let Some(conn) = self.engine.poll_resumption() {
            self.judge(now, conn);
        }
        while let Some(event) = self.engine.poll_event() {
            if matches!(event, Event::Datagram { .. } | Event::Stream { .. }) {
                self.asked = now;
            }
            match event {
                Event::Datagram { conn, data, stamp } => {
                    if self.gate.request(now, conn) {
                        self.answer_datagram(conn, &data, stamp);
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
                            self.answer_stream(now, key, &request);
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
            self.flush(now);
        }
        self.flush(now);
    }

    fn answer_datagram(&mut self, conn: ConnId, request: &[u8], stamp: Stamp) {
        let mut out = [0; MAX_ANSWER];
        // A precise answer is as long as its request, but only where one packet holds that.
        // tsq: M6
        let room = self.engine.max_datagram(conn).unwrap_or(0).min(MAX_ANSWER);
        match self.answer(conn, request, stamp.time, &mut out[..room]) {
            Ok(answered) => {
                let alone = !self.engine.has_unsent_datagrams(conn);
                if self.engine.send_datagram(conn, answered.bytes).is_ok() {
                    self.counters.datagrams.count();
                    self.counters.lag.observe(since(stamp.time));
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
    fn answer_stream(&mut self, now: Instant, key: Key, request: &Complete) {
        if !self.gate.request(now, key.0) {
            self.counters.dropped_streams.count();
            return self.give_up(key);
        }
        let mut out = [0; MAX_ANSWER];
        match self.answer(key.0, &request.bytes, request.arrived, &mut out) {
            Ok(answered) => {
                let sent = self.engine.send_stream(key.0, key.1, answered.bytes, true);
                if sent.is_ok() {
                    self.counters.streams.count();
                    self.counters.lag.observe(since(request.arrived));
                    self.note(key.0, answered.follow_up, Carrier::Stream);
                }
            }
            Err(refused) => self.refuse_stream(key, &refused),
        }
    }

    fn answer<'b>(
        &mut self,
        conn: ConnId,
        request: &[u8],
        t2: HostTime,
        out: &'b mut [u8],
    ) -> Result<Answered<'b>, Refused> {
        let (socket, departures) = (&mut self.socket, &mut self.departures);
        let counters = &self.counters;
        let earlier = || -> Earlier {
            if departures.is_waiting(conn) {
                collect(socket, departures);
            }
            let told = departures.tell(conn);
            counters.follow_ups.add(told.1 as u64);
            told
        };
        answer::answer(request, t2, &self.teller, earlier, out)
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

    fn flush(&mut self, now: Instant) {
        while let Some(packet) = self.engine.poll_transmit(now, &mut self.buffer) {
            let noted = self.departures.carried_by(&packet, self.buffer.len());
            let options = SendOptions {
                local_ip: packet.local_ip,
                report_departure: noted.is_some(),
            };
            match self.socket.send(packet.remote, &self.buffer, options) {
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

    /// Answers what is on its way, then tells every client that the server ends.
    fn drain(&mut self, batch: &mut Batch) -> std::io::Result<()> {
        self.engine.refuse_new();
        let end = Instant::now() + DRAIN;
        while Instant::now() < end && self.engine.connections() > 0 {
            self.turn(batch, Some(end))?;
        }
        self.farewell();
        Ok(())
    }

    /// Serves on until nobody asks any more. Connections that came before the other process began
    /// may still be waiting in the socket, so new ones are accepted too.
    fn leave(&mut self, batch: &mut Batch) -> std::io::Result<()> {
        let (begun, end) = (Instant::now(), Instant::now() + LEAVE_LIMIT);
        loop {
            let quiet = self.asked.max(begun) + LEAVE_QUIET;
            let now = Instant::now();
            let gone = self.engine.connections() == 0 && now > begun + LEAVE_LEAST;
            if gone || now >= quiet.min(end) {
                break;
            }
            self.turn(batch, Some(quiet.min(end).min(now + LEAVE_LEAST)))?;
        }
        self.farewell();
        Ok(())
    }

    fn farewell(&mut self) {
        let now = Instant::now();
        self.engine.close_all(now, 0, "server is shutting down");
        self.flush(now);
    }
}

/// Takes in the reports of departures that are there.
fn collect(socket: &mut Socket, departures: &mut Departures) {
    // Of an error here, the next call to receive tells.
    while let Ok(Some(report)) = socket.departures() {
        if let ErrorReport::Departed { id, at } = report
            && let Some(reported) = departures.reported(id)
        {
            let stamp = socket.departure_stamp(&reported.departure, Some(at));
            if stamp.source == StampSource::Kernel {
                departures.left(&reported, stamp.time);
            }
        }
    }
}

/// Connections judged again before the next packet is looked at.
const JUDGED_A_TURN: usize = 8;

/// How long clients in the middle of a sync are still answered after the signal to stop.
const DRAIN: Duration = Duration::from_millis(250);

/// A process that was taken over from ends when all its clients are gone but not before this, for
/// what is on its way to it; or when none has asked for so long; or after this long at the latest.
const LEAVE_LEAST: Duration = Duration::from_millis(100);
const LEAVE_QUIET: Duration = Duration::from_secs(1);
const LEAVE_LIMIT: Duration = Duration::from_secs(10);

/// What a [`Stopper`] may order.
const SERVE: u8 = 0;
const STOP: u8 = 1;
const LEAVE: u8 = 2;

fn too_long() -> Refused {
    Refused {
        code: ErrorCode::Malformed,
        reason: "the request is longer than 1024 bytes".into(),
    }
}

/// Nanoseconds from T2 to now, which is just after T3. None of a clock that was set back in between.
fn since(t2: HostTime) -> u64 {
    let lag = tsq_net::now()
        .as_unix_nanos()
        .saturating_sub(t2.as_unix_nanos());
    u64::try_from(lag).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documented::in_words;

    #[test]
    fn page_for_operators_has_these_numbers() {
        in_words(&format!("({JUDGED_A_TURN} at each turn of a thread)"));
        in_words(&format!(
            "none has asked for {} s, at most {} s",
            LEAVE_QUIET.as_secs(),
            LEAVE_LIMIT.as_secs()
        ));
    }
}
