//! Requests over many kept connections.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tsq_net::{ClientConfig, ConnId, Event, OpenError, SendError, StampSource, StreamId, now};
use tsq_proto::{HostTime, Request};
use tsq_sync::Reason;

use crate::Error;
use crate::OPTIONS;
use crate::connections::Connections;
use crate::driver::{Arrived, Driver, Port};
use crate::held::Held;
use crate::pace::Schedule;
use crate::pending::{Found, Pending, Waiting};
use crate::tally::Tally;
use crate::trust::Believed;

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Transport {
    /// In a QUIC datagram.
    Datagram,
    /// On a stream of its own.
    Stream,
}

impl Transport {
    /// The word for it, on command lines and in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Datagram => "datagram",
            Self::Stream => "stream",
        }
    }

    /// The words for several of them.
    pub fn names(self) -> &'static str {
        match self {
            Self::Datagram => "datagrams",
            Self::Stream => "streams",
        }
    }
}

/// What is asked, and how its answer is judged.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// How requests travel.
    pub transport: Transport,
    /// Whether a signature is asked for; it is not verified.
    pub signed: bool,
    /// Whether the server is asked to tell, in its next answer, when an answer really left.
    pub follow_up: bool,
    /// How long an answer is waited for.
    pub patience: Duration,
    /// The greatest offset a right answer can have.
    pub offset_limit: Duration,
}

impl Default for Ask {
    /// Datagrams, half a second, a day.
    fn default() -> Self {
        Self {
            transport: Transport::Datagram,
            signed: false,
            follow_up: false,
            patience: Duration::from_millis(500),
            offset_limit: Duration::from_secs(86_400),
        }
    }
}

/// When requests are made.
#[derive(Clone, Debug)]
pub enum Pace {
    /// Each answer brings forth the next request; at most so many are under way.
    ///
    /// A socket buffer of Linux's default size holds some 270 small packets: with more requests than
    /// that, the losses of a full buffer would be measured and not the server.
    Closed(usize),
    /// By the clock, whatever the answers do.
    Open(Schedule),
}

/// Connections to one server, over one socket.
pub struct Crowd {
    driver: Driver,
    clients: Clients,
}

impl Crowd {
    /// Makes `count` connections. The server may refuse some or all of them: [`Self::connections`] tells.
    ///
    /// # Errors
    /// [`Error::Trust`]; [`Error::NoConnection`] when nobody answers at all.
    pub fn connect(
        server: SocketAddr,
        believed: &Believed,
        count: usize,
        ask: Ask,
        stop: &AtomicBool,
    ) -> Result<Self, Error> {
        let config = believed.config(tsq_net::tls::Sessions::Forget)?;
        let mut crowd = Self {
            driver: Driver::new(server)?,
            clients: Clients::new(ask),
        };
        crowd.make(count, &config, believed, stop)?;
        crowd.settle(stop)?;
        crowd.clients.idle = (0..crowd.clients.all.len()).collect();
        Ok(crowd)
    }

    fn make(
        &mut self,
        count: usize,
        config: &ClientConfig,
        believed: &Believed,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        let Self { driver, clients } = self;
        let (mut seen, mut since) = (0, Instant::now());
        while !stop.load(Ordering::Relaxed) {
            // Where the first ones are all refused the others would be as well.
            let hopeless = clients.alive == 0 && clients.ended >= WAVE;
            while clients.all.len() < count && clients.begun() < WAVE && !hopeless {
                clients.add(driver.port.connect(config, believed.name())?);
            }
            if clients.begun() == 0 {
                break;
            }
            driver.turn(SWEEP, |port, arrived| clients.act(port, arrived))?;
            if clients.ended > 0
                && let Some(refusal) = believed.refusal()
            {
                return Err(Error::Trust(refusal.told(OPTIONS)));
            }
            let nobody = clients.all.iter().all(|it| !it.connected && !it.ended);
            if nobody && driver.port.unreachable() > 0 {
                return Err(Error::NoConnection("nothing listens there".into()));
            }
            if seen < clients.alive + clients.ended {
                (seen, since) = (clients.alive + clients.ended, Instant::now());
            }
            if since.elapsed() > CONNECT_LIMIT {
                let why = format!("no answer for {} s", CONNECT_LIMIT.as_secs());
                if nobody {
                    return Err(Error::NoConnection(why));
                }
                clients.give_up(&mut driver.port, &why);
                break;
            }
        }
        clients.connections.wanted = count as u64;
        Ok(())
    }

    /// Hears out a server that completes a handshake and then says that it has no room.
    fn settle(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        let Self { driver, clients } = self;
        let alive = clients.all.iter().filter(|it| !it.ended);
        let trips = alive.filter_map(|it| driver.port.engine.round_trip(it.conn));
        let Some(longest) = trips.max() else {
            return Ok(());
        };
        let end = Instant::now() + (longest * 2).clamp(SHORTEST_SETTLE, LONGEST_SETTLE);
        while !stop.load(Ordering::Relaxed) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            driver.turn(left.min(SWEEP), |port, arrived| clients.act(port, arrived))?;
        }
        Ok(())
    }

    /// Asks at this pace until `end` or `stop`.
    ///
    /// # Errors
    /// Those of the socket, or every connection has ended.
    pub fn run(&mut self, pace: &mut Pace, end: Instant, stop: &AtomicBool) -> Result<(), Error> {
        let Self { driver, clients } = self;
        clients.refill = matches!(pace, Pace::Closed(_));
        clients.finishing = false;
        loop {
            let now = Instant::now();
            clients.sweep(now);
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            if clients.alive == 0 {
                return Err(Error::NoConnection(clients.connections.end_words()));
            }
            // A generator that was held up still owes what was due by the end.
            let next = clients.issue(&mut driver.port, pace, now.min(end), end)?;
            if now >= end {
                return Ok(());
            }
            let timeout = next.min(end).saturating_duration_since(Instant::now());
            driver.turn(timeout.min(SWEEP), |port, arrived| {
                clients.act(port, arrived)
            })?;
        }
    }

    /// Waits for the answers under way, at most as long as their patience.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn finish(&mut self) -> Result<(), Error> {
        let Self { driver, clients } = self;
        clients.finishing = true;
        while clients.pending.under_way() > 0 {
            driver.turn(SWEEP, |port, arrived| clients.act(port, arrived))?;
            clients.sweep(Instant::now());
        }
        Ok(())
    }

    /// What has happened so far.
    pub fn tally(&self) -> &Tally {
        &self.clients.tally
    }

    /// The same, and begins to count anew.
    pub fn take_tally(&mut self) -> Tally {
        self.clients.tally.unfollowed += self.clients.held.clear();
        std::mem::take(&mut self.clients.tally)
    }

    /// Connections that have not ended.
    pub fn alive(&self) -> usize {
        self.clients.alive
    }

    /// How the connections came about and ended, since they were made.
    pub fn connections(&self) -> Connections {
        Connections {
            alive: self.clients.alive as u64,
            ..self.clients.connections.clone()
        }
    }
}

/// All connections, and the requests under way on them.
struct Clients {
    ask: Ask,
    all: Vec<Client>,
    index: HashMap<ConnId, usize>,
    alive: usize,
    ended: usize,
    connections: Connections,
    /// Those without a request under way, in the order of their turns (open loop: all).
    idle: VecDeque<usize>,
    /// Whether a connection asks only when its last request is answered.
    refill: bool,
    /// Nothing more is asked.
    finishing: bool,
    pending: Pending,
    /// Answers that came in pieces.
    partial: HashMap<(ConnId, StreamId), Vec<u8>>,
    /// The next request from here on is sent by itself and stamped.
    stamp_next: Instant,
    /// Stamped samples whose follow-ups are still to come.
    held: Held,
    tally: Tally,
}

struct Client {
    conn: ConnId,
    connected: bool,
    ended: bool,
    /// A first right answer came.
    served: bool,
}

impl Clients {
    fn new(ask: Ask) -> Self {
        Self {
            ask,
            all: Vec::new(),
            index: HashMap::new(),
            alive: 0,
            ended: 0,
            connections: Connections::default(),
            idle: VecDeque::new(),
            refill: false,
            finishing: false,
            pending: Pending::new(RandomState::new().hash_one(0)),
            partial: HashMap::new(),
            stamp_next: Instant::now(),
            held: Held::default(),
            tally: Tally::default(),
        }
    }

    fn add(&mut self, conn: ConnId) {
        self.index.insert(conn, self.all.len());
        self.all.push(Client {
            conn,
            connected: false,
            ended: false,
            served: false,
        });
    }

    /// Connections being made.
    fn begun(&self) -> usize {
        self.all.len() - self.alive - self.ended
    }

    /// Those being made will be no more; nor will those that were to follow.
    fn give_up(&mut self, port: &mut Port, why: &str) {
        for index in 0..self.all.len() {
            if !self.all[index].connected && !self.all[index].ended {
                port.engine
                    .close(Instant::now(), self.all[index].conn, 0, "too late");
                self.end(index, why);
            }
        }
    }

    fn end(&mut self, index: usize, why: &str) {
        let client = &mut self.all[index];
        self.index.remove(&client.conn);
        self.alive -= usize::from(client.connected);
        self.ended += 1;
        client.ended = true;
        let ends = match client.served {
            true => &mut self.connections.closed,
            false => &mut self.connections.refused,
        };
        *ends.entry(why.into()).or_default() += 1;
        *self.tally.closed.entry(why.into()).or_default() += 1;
    }

    /// Asks what is due now; gives the instant at which there is more.
    fn issue(
        &mut self,
        port: &mut Port,
        pace: &mut Pace,
        now: Instant,
        end: Instant,
    ) -> Result<Instant, Error> {
        match pace {
            Pace::Closed(most) => {
                for _ in 0..self.idle.len() {
                    if self.pending.under_way() >= *most {
                        break;
                    }
                    self.ask_next(port, now)?;
                }
                Ok(end)
            }
            Pace::Open(schedule) => {
                while let Some(due) = schedule.take(now) {
                    self.ask_next(port, due)?;
                }
                Ok(schedule.next())
            }
        }
    }

    /// Asks on the connection whose turn it is. In an open loop it goes to the end of the row at once.
    fn ask_next(&mut self, port: &mut Port, intended: Instant) -> Result<(), Error> {
        while let Some(index) = self.idle.pop_front() {
            if self.all[index].ended {
                continue;
            }
            let sent = self.ask(port, index, intended)?;
            if !self.refill || !sent {
                self.idle.push_back(index);
            }
            return Ok(());
        }
        Ok(())
    }

    /// False when it could not be sent now.
    fn ask(&mut self, port: &mut Port, index: usize, intended: Instant) -> Result<bool, Error> {
        if self.pending.under_way() >= MOST_PENDING {
            self.tally.blocked += 1;
            return Ok(false);
        }
        let (conn, nonce) = (self.all[index].conn, self.pending.next_nonce());
        let mut request = Request::new(nonce);
        if self.ask.signed {
            request = request.with_signature();
        }
        if self.ask.follow_up {
            request = request.with_follow_up();
        }
        let mut buffer = [0; 64];
        let length = request.encode(&mut buffer)?;
        let at = Instant::now();
        self.pending.push(index, now(), intended, at);
        match send(port, self.ask.transport, conn, &buffer[..length])? {
            Sent::Yes => {}
            Sent::NotNow => {
                self.pending.undo();
                self.tally.blocked += 1;
                return Ok(false);
            }
        }
        self.tally.sent += 1;
        if at >= self.stamp_next {
            self.stamp_next = at + STAMP_EVERY;
            if let Some(departure) = port.send_now(conn)? {
                self.pending.departed(departure);
            }
        }
        Ok(true)
    }

    fn act(&mut self, port: &mut Port, arrived: Arrived) -> Result<(), Error> {
        let Some(&index) = self.index.get(&arrived.event.conn()) else {
            return Ok(());
        };
        match arrived.event {
            Event::Connected { .. } => {
                self.all[index].connected = true;
                self.alive += 1;
            }
            Event::Datagram { data, stamp, .. } => {
                let t4 = (stamp.time, stamp.source == StampSource::Kernel);
                self.answer(port, index, &data, t4, arrived.at)?;
            }
            Event::Stream {
                conn,
                stream,
                data,
                finished,
                stamp,
            } => {
                let key = (conn, stream);
                let t4 = (stamp.time, stamp.source == StampSource::Kernel);
                if finished && !self.partial.contains_key(&key) {
                    return self.answer(port, index, &data, t4, arrived.at);
                }
                let whole = self.partial.entry(key).or_default();
                whole.extend_from_slice(&data);
                if finished || whole.len() > LONGEST_ANSWER {
                    let whole = self.partial.remove(&key).unwrap_or_default();
                    self.answer(port, index, &whole, t4, arrived.at)?;
                }
            }
            Event::StreamAborted { conn, stream, .. } => {
                self.partial.remove(&(conn, stream));
                self.refuse(port, index, "stream_aborted")?;
            }
            // Told of accepted connections only.
            Event::Forgotten { .. } => {}
            Event::Closed { conn, reason } => {
                self.partial.retain(|(owner, _), _| *owner != conn);
                self.end(index, &crate::words(&reason));
            }
        }
        Ok(())
    }

    fn answer(
        &mut self,
        port: &mut Port,
        index: usize,
        answer: &[u8],
        t4: (HostTime, bool),
        at: Instant,
    ) -> Result<(), Error> {
        let waiting = match self.pending.take(answer) {
            Found::Waiting(waiting) => waiting,
            Found::Late => {
                self.tally.late += 1;
                return Ok(());
            }
            // An Error element has no nonce, and comes on streams only.
            Found::Nothing => {
                let reason = match self.ask.transport {
                    Transport::Stream => "server_error",
                    Transport::Datagram => "nonce_mismatch",
                };
                return self.refuse(port, index, reason);
            }
        };
        if let Err(reason) = self.judge(port, &waiting, answer, t4)? {
            *self.tally.refused.entry(reason).or_default() += 1;
        } else {
            self.tally.answered += 1;
            self.all[waiting.client].served = true;
            let latency = at.saturating_duration_since(waiting.intended);
            self.tally.latency.add(latency);
        }
        self.go_on(port, waiting.client)
    }

    /// The reason, if no client should take it.
    fn judge(
        &mut self,
        port: &mut Port,
        waiting: &Waiting,
        answer: &[u8],
        (t4, t4_kernel): (HostTime, bool),
    ) -> Result<Result<(), &'static str>, Error> {
        let (mut query, mut kernel) = (waiting.query, false);
        if let Some(departure) = &waiting.departure {
            let t1 = port.departure(departure)?;
            query = tsq_proto::Query::new(query.nonce(), t1.time);
            kernel = t4_kernel && t1.source == StampSource::Kernel;
        }
        match query.finish(answer, t4, self.ask.offset_limit) {
            Ok(sample) => {
                let client = waiting.client;
                if let Some(earlier) = self.held.told(client, answer, self.ask.offset_limit) {
                    let (nanos, bound) = (earlier.offset.as_nanos(), earlier.delay / 2);
                    self.tally.offsets.add_followed(nanos, bound);
                }
                match (&waiting.departure, self.ask.follow_up) {
                    (None, _) => {}
                    (Some(_), false) => {
                        let (nanos, bound) = (sample.offset.as_nanos(), sample.delay / 2);
                        self.tally.offsets.add(nanos, bound, kernel);
                    }
                    (Some(_), true) if kernel => {
                        let lost = self.held.hold(client, query.nonce(), sample);
                        self.tally.unfollowed += u64::from(lost);
                    }
                    // Exact stamps on the server's side alone would bias the offset.
                    (Some(_), true) => self.tally.unfollowed += 1,
                }
                Ok(Ok(()))
            }
            Err(refusal) => Ok(Err(refusal.name())),
        }
    }

    /// An answer to a request of this connection, and nobody knows which.
    fn refuse(&mut self, port: &mut Port, index: usize, reason: &'static str) -> Result<(), Error> {
        match self.pending.take_of(index) {
            Found::Waiting(_) => {
                *self.tally.refused.entry(reason).or_default() += 1;
                self.go_on(port, index)
            }
            Found::Late | Found::Nothing => {
                self.tally.late += 1;
                Ok(())
            }
        }
    }

    fn go_on(&mut self, port: &mut Port, index: usize) -> Result<(), Error> {
        if !self.refill {
            return Ok(());
        }
        self.idle.push_back(index);
        if self.finishing {
            return Ok(());
        }
        self.ask_next(port, Instant::now())
    }

    /// Gives up what was asked too long ago.
    fn sweep(&mut self, now: Instant) {
        while let Some(waiting) = self.pending.expire(now, self.ask.patience) {
            self.tally.lost += 1;
            if self.refill {
                self.idle.push_back(waiting.client);
            }
        }
    }
}

pub(crate) enum Sent {
    Yes,
    NotNow,
}

pub(crate) fn send(
    port: &mut Port,
    transport: Transport,
    conn: ConnId,
    request: &[u8],
) -> Result<Sent, Error> {
    match transport {
        Transport::Datagram => match port.engine.send_datagram(conn, request) {
            Ok(()) => Ok(Sent::Yes),
            Err(SendError::Closed | SendError::TooLarge) => Ok(Sent::NotNow),
            Err(SendError::Unsupported) => Err(Error::NoConnection(
                "the server takes no datagrams (try --transport stream)".into(),
            )),
        },
        Transport::Stream => match port.engine.open_stream(conn, request, true) {
            Ok(_) => Ok(Sent::Yes),
            Err(OpenError::Closed | OpenError::NotAllowed) => Ok(Sent::NotNow),
        },
    }
}

/// Requests under way; one more is as good as lost, and not worth the memory.
const MOST_PENDING: usize = 1 << 18;
/// No answer of ours is longer; a server that sends more is not waited for.
const LONGEST_ANSWER: usize = 4096;
/// How often given-up requests are looked for.
const SWEEP: Duration = Duration::from_millis(50);
/// A stamped request costs two system calls of its own: a thousand a second are enough for offsets.
const STAMP_EVERY: Duration = Duration::from_millis(1);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Between these a server's word after the handshake is waited for: two round trips where they are known.
const SHORTEST_SETTLE: Duration = Duration::from_millis(20);
const LONGEST_SETTLE: Duration = Duration::from_secs(1);
/// Handshakes under way at a time: more would overflow socket buffers.
const WAVE: usize = 32;
