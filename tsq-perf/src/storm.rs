//! Connections made, used once and closed, over and over.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tsq_net::tls::{Sessions, Tickets};
use tsq_net::{ClientConfig, ConnId, EarlyData, Event, now};
use tsq_proto::{HostTime, Nonce, Query, Request};
use tsq_sync::Reason;

use crate::Error;
use crate::OPTIONS;
use crate::ask::{Ask, Pace, Sent, send};
use crate::driver::{Arrived, Driver, Port};
use crate::histogram::Times;
use crate::mix::{Kind, Mix};
use crate::trust::Believed;

/// Makes connections to one server, asks one question on each and closes it.
pub struct Storm {
    driver: Driver,
    believed: Believed,
    configs: HashMap<Kind, ClientConfig>,
    mix: Mix,
    ask: Ask,
    attempts: HashMap<ConnId, Attempt>,
    /// In the order they will be given up in.
    begun: VecDeque<(Instant, ConnId)>,
    /// Answered ones, open a little longer: the tickets come after the answer to an early request.
    lingering: VecDeque<(Instant, ConnId)>,
    number: u64,
    counts: Handshakes,
    /// Whether a single connection ever came about.
    any: bool,
}

struct Attempt {
    intended: Instant,
    query: Query,
    /// Of a request in early data that was taken as lost: its answer may come all the same, after a Retry.
    given_up: Option<Nonce>,
}

/// How connections came about.
#[derive(Clone, Debug, Default)]
pub struct Handshakes {
    /// Handshakes completed.
    pub completed: u64,
    /// Of which the server took early data.
    pub early_accepted: u64,
    /// Of which it refused early data.
    pub early_lost: u64,
    /// Connections whose one request was answered right.
    pub answered: u64,
    /// Given up.
    pub lost: u64,
    /// Connections that failed, and answers that were wrong, by reason.
    pub failed: BTreeMap<String, u64>,
    /// From the beginning to the end of the handshake.
    pub handshake: Times,
    /// From the beginning to the first answer.
    pub answer: Times,
}

impl Storm {
    /// Storms `server` with this mix of handshakes.
    ///
    /// # Errors
    /// Those of the socket calls.
    pub fn new(server: SocketAddr, believed: &Believed, mix: Mix, ask: Ask) -> Result<Self, Error> {
        let tickets = || Tickets::keeping(MOST_TICKETS);
        let kinds = [
            (Kind::Full, Sessions::Forget),
            (Kind::Resumed, Sessions::Resume(tickets())),
            (Kind::Early, Sessions::Early(tickets())),
        ];
        let mut configs = HashMap::new();
        for (kind, sessions) in kinds {
            configs.insert(kind, believed.config(sessions)?);
        }
        Ok(Self {
            driver: Driver::new(server)?,
            believed: believed.clone(),
            configs,
            mix,
            ask,
            attempts: HashMap::new(),
            begun: VecDeque::new(),
            lingering: VecDeque::new(),
            number: RandomState::new().hash_one(0),
            counts: Handshakes::default(),
            any: false,
        })
    }

    /// Makes connections at this pace until `end` or `stop`.
    ///
    /// # Errors
    /// Those of the socket; [`Error::Trust`] and [`Error::NoConnection`] when not a single one came about.
    pub fn run(&mut self, pace: &mut Pace, end: Instant, stop: &AtomicBool) -> Result<(), Error> {
        loop {
            let now = Instant::now();
            self.sweep(now);
            let nobody = !self.any && self.driver.port.unreachable() > 0;
            if nobody || stop.load(Ordering::Relaxed) {
                return self.check();
            }
            let next = match pace {
                Pace::Closed(most) => {
                    while self.attempts.len() < *most {
                        self.begin(now)?;
                    }
                    end
                }
                Pace::Open(schedule) => {
                    // A generator that was held up still owes what was due by the end.
                    while let Some(due) = schedule.take(now.min(end)) {
                        self.begin(due)?;
                    }
                    schedule.next().min(end)
                }
            };
            if now >= end {
                return self.check();
            }
            let timeout = next.saturating_duration_since(Instant::now());
            self.turn(timeout.min(SWEEP))?;
        }
    }

    /// Waits for those under way, at most as long as their patience.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn finish(&mut self) -> Result<(), Error> {
        while !self.attempts.is_empty() {
            self.turn(SWEEP)?;
            self.sweep(Instant::now());
        }
        Ok(())
    }

    /// What has happened, and begins to count anew.
    pub fn take_counts(&mut self) -> Handshakes {
        std::mem::take(&mut self.counts)
    }

    fn check(&self) -> Result<(), Error> {
        if self.any {
            return Ok(());
        }
        if let Some(refusal) = self.believed.refusal() {
            return Err(Error::Trust(refusal.told(OPTIONS)));
        }
        match self.counts.failed.keys().next() {
            Some(reason) => Err(Error::NoConnection(reason.clone())),
            None if self.driver.port.unreachable() > 0 => {
                Err(Error::NoConnection("nothing listens there".into()))
            }
            // A run too short for its first handshake.
            None => Ok(()),
        }
    }

    fn begin(&mut self, intended: Instant) -> Result<(), Error> {
        let kind = self.mix.draw();
        let conn = self
            .driver
            .port
            .connect(&self.configs[&kind], self.believed.name())?;
        self.number = self.number.wrapping_add(1);
        let nonce = Nonce::new(u128::from(self.number).to_be_bytes());
        let attempt = Attempt {
            intended,
            query: Query::new(nonce, now()),
            given_up: None,
        };
        if self.driver.port.engine.may_send_early(conn) {
            ask(&mut self.driver.port, &self.ask, conn, nonce)?;
        }
        self.attempts.insert(conn, attempt);
        self.begun.push_back((Instant::now(), conn));
        Ok(())
    }

    fn turn(&mut self, timeout: Duration) -> Result<(), Error> {
        let Self {
            driver,
            attempts,
            counts,
            ask,
            lingering,
            ..
        } = self;
        let any = &mut self.any;
        driver.turn(timeout, |port, arrived| {
            *any |= matches!(arrived.event, Event::Connected { .. });
            let (conn, at) = (arrived.event.conn(), arrived.at);
            if let Some(took) = act(port, attempts, counts, ask, arrived)? {
                // A round trip at least, as far as this one tells.
                lingering.push_back((at + took.clamp(SHORTEST_LINGER, LONGEST_LINGER), conn));
            }
            Ok(())
        })
    }

    fn sweep(&mut self, now: Instant) {
        while let Some((_, conn)) = self.lingering.pop_front_if(|(until, _)| *until <= now) {
            self.driver.port.engine.close(now, conn, 0, "done");
        }
        while let Some(&(begun, conn)) = self.begun.front() {
            let old = now.saturating_duration_since(begun) > self.ask.patience;
            if !old && self.attempts.contains_key(&conn) {
                return;
            }
            self.begun.pop_front();
            if self.attempts.remove(&conn).is_some() {
                self.counts.lost += 1;
                self.driver.port.engine.close(now, conn, 0, "too late");
            }
        }
    }
}

/// How long a connection took, when it is done with.
fn act(
    port: &mut Port,
    attempts: &mut HashMap<ConnId, Attempt>,
    counts: &mut Handshakes,
    what: &Ask,
    arrived: Arrived,
) -> Result<Option<Duration>, Error> {
    let conn = arrived.event.conn();
    let Some(attempt) = attempts.get_mut(&conn) else {
        return Ok(None);
    };
    if let Event::Datagram { data, .. } | Event::Stream { data, .. } = &arrived.event
        && attempt
            .given_up
            .is_some_and(|old| data.get(NONCE) == Some(old.as_bytes().as_slice()))
    {
        return Ok(None);
    }
    let took = arrived.at.saturating_duration_since(attempt.intended);
    let outcome = match arrived.event {
        Event::Connected { early, .. } => {
            counts.completed += 1;
            counts.handshake.add(took);
            counts.early_accepted += u64::from(early == EarlyData::Accepted);
            counts.early_lost += u64::from(early == EarlyData::Lost);
            if early != EarlyData::Accepted {
                let nonce = attempt.query.nonce();
                attempt.given_up = Some(nonce);
                attempt.query = Query::new(another(nonce), now());
                ask(port, what, conn, attempt.query.nonce())?;
            }
            return Ok(None);
        }
        Event::Datagram { data, stamp, .. } => judge(attempt, &data, stamp.time, what),
        Event::Stream {
            data,
            finished: true,
            stamp,
            ..
        } => judge(attempt, &data, stamp.time, what),
        Event::Stream { .. } | Event::Forgotten { .. } => return Ok(None),
        Event::StreamAborted { .. } => Err("stream_aborted".into()),
        Event::Closed { reason, .. } => Err(crate::words(&reason)),
    };
    match outcome {
        Ok(()) => {
            counts.answered += 1;
            counts.answer.add(took);
        }
        Err(reason) => *counts.failed.entry(reason).or_default() += 1,
    }
    attempts.remove(&conn);
    Ok(Some(took))
}

/// A second T1 for one nonce would give a delay that is too short.
fn another(nonce: Nonce) -> Nonce {
    // Numbers of attempts use the lower half.
    Nonce::new((u128::from_be_bytes(*nonce.as_bytes()) ^ (1 << 64)).to_be_bytes())
}

/// Where an answer has its nonce.
const NONCE: Range<usize> = 2..18;

fn judge(attempt: &Attempt, answer: &[u8], t4: HostTime, what: &Ask) -> Result<(), String> {
    match attempt.query.finish(answer, t4, what.offset_limit) {
        Ok(_) => Ok(()),
        Err(refusal) => Err(refusal.name().into()),
    }
}

fn ask(port: &mut Port, what: &Ask, conn: ConnId, nonce: Nonce) -> Result<(), Error> {
    let mut buffer = [0; 64];
    let request = match what.signed {
        false => Request::new(nonce),
        true => Request::new(nonce).with_signature(),
    };
    let length = request.encode(&mut buffer)?;
    match send(port, what.transport, conn, &buffer[..length])? {
        // What is not sent is not answered, and is given up in time.
        Sent::Yes | Sent::NotNow => Ok(()),
    }
}

impl Handshakes {
    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        self.completed += other.completed;
        self.early_accepted += other.early_accepted;
        self.early_lost += other.early_lost;
        self.answered += other.answered;
        self.lost += other.lost;
        for (reason, count) in &other.failed {
            *self.failed.entry(reason.clone()).or_default() += count;
        }
        self.handshake.merge(&other.handshake);
        self.answer.merge(&other.answer);
    }

    /// The part of the connections that were not answered: 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn loss(&self) -> f64 {
        let missed = self.lost + self.failed.values().sum::<u64>();
        let all = missed + self.answered;
        if all == 0 {
            0.0
        } else {
            missed as f64 / all as f64
        }
    }

    /// All of it, times in microseconds; `full` of the handshakes checked a certificate.
    pub fn json(&self, full: u64) -> Value {
        json!({
            "completed": self.completed,
            "full": full,
            "resumed": self.completed.saturating_sub(full),
            "early_accepted": self.early_accepted,
            "early_lost": self.early_lost,
            "answered": self.answered,
            "lost": self.lost,
            "loss": self.loss(),
            "failed": self.failed,
            "handshake_us": self.handshake.json(),
            "first_answer_us": self.answer.json(),
        })
    }
}

/// A server keeps some thousands as well; each connection uses one and brings two.
const MOST_TICKETS: usize = 4096;
const SHORTEST_LINGER: Duration = Duration::from_millis(5);
const LONGEST_LINGER: Duration = Duration::from_secs(1);
/// How often given-up connections are looked for.
const SWEEP: Duration = Duration::from_millis(50);
