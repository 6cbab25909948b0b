//! All connections of a crowd, and what is under way on each.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use tsq_net::{ConnId, Event, StampSource, StreamId, now};
use tsq_proto::{HostTime, Request};

use crate::Error;
use crate::ask::{Ask, Pace, Sent, Transport, send};
use crate::connections::Connections;
use crate::driver::{Arrived, Port};
use crate::held::Held;
use crate::pending::{Found, Pending, Waiting};
use crate::tally::Tally;

/// All connections, and the requests under way on them.
pub(super) struct Clients {
    ask: Ask,
    pub(super) all: Vec<Client>,
    index: HashMap<ConnId, usize>,
    pub(super) alive: usize,
    pub(super) ended: usize,
    pub(super) connections: Connections,
    /// Those without a request under way, in the order of their turns (open loop: all).
    pub(super) idle: VecDeque<usize>,
    /// Whether a connection asks only when its last request is answered.
    pub(super) refill: bool,
    /// Nothing more is asked.
    pub(super) finishing: bool,
    pub(super) pending: Pending,
    /// Answers that came in pieces.
    partial: HashMap<(ConnId, StreamId), Vec<u8>>,
    /// The next request from here on is sent by itself and stamped.
    stamp_next: Instant,
    /// Stamped samples whose follow-ups are still to come.
    pub(super) held: Held,
    pub(super) tally: Tally,
}

pub(super) struct Client {
    pub(super) conn: ConnId,
    pub(super) connected: bool,
    pub(super) ended: bool,
    /// A first right answer came.
    served: bool,
}

impl Clients {
    pub(super) fn new(ask: Ask) -> Self {
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

    pub(super) fn add(&mut self, conn: ConnId) {
        self.index.insert(conn, self.all.len());
        self.all.push(Client {
            conn,
            connected: false,
            ended: false,
            served: false,
        });
    }

    /// Connections being made.
    pub(super) fn begun(&self) -> usize {
        self.all.len() - self.alive - self.ended
    }

    /// Those being made will be no more; nor will those that were to follow.
    pub(super) fn give_up(&mut self, port: &mut Port, why: &str) {
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
    pub(super) fn issue(
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

    pub(super) fn act(&mut self, port: &mut Port, arrived: Arrived) -> Result<(), Error> {
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
    pub(super) fn sweep(&mut self, now: Instant) {
        while let Some(waiting) = self.pending.expire(now, self.ask.patience) {
            self.tally.lost += 1;
            if self.refill {
                self.idle.push_back(waiting.client);
            }
        }
    }
}

/// Requests under way; one more is as good as lost, and not worth the memory.
const MOST_PENDING: usize = 1 << 18;
/// No answer of ours is longer; a server that sends more is not waited for.
const LONGEST_ANSWER: usize = 4096;
/// A stamped request costs two system calls of its own: a thousand a second are enough for offsets.
const STAMP_EVERY: Duration = Duration::from_millis(1);
