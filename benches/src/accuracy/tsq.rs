//! Our exchanges on one kept connection, each measured by three kinds of stamps at once.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tsq_net::tls::Sessions;
use tsq_net::{ConnId, Departure, Event, Stamp, StampSource};
use tsq_proto::{FollowUp, HostTime, Nonce, Query, Request, Response, Sample};

use tsq_perf::driver::{Arrived, Driver};

use super::{SPACING, microseconds};
use crate::{Error, trust};

/// Asks this server for so long, one request after the other.
///
/// # Errors
/// No connection, or an answer that is wrong.
pub(super) fn ask(server: SocketAddr, pin: &str, slice: Duration) -> Result<Outcome, Error> {
    let mut client = Client::connect(server, pin)?;
    for _ in 0..WARM_UP {
        client.exchange(Instant::now() + SPACING)?;
    }
    let end = Instant::now() + slice;
    let mut outcome = Outcome::default();
    while Instant::now() < end {
        outcome.add(client.exchange(Instant::now() + SPACING)?);
    }
    // For the follow-up of the last one.
    let closing = client.exchange(Instant::now() + SPACING)?;
    outcome.follow(closing.as_ref());
    Ok(outcome)
}

/// Exchanges that are not counted: caches, branch predictors and QUIC's estimates settle.
const WARM_UP: u32 = 10;

struct Client {
    driver: Driver,
    conn: ConnId,
    number: u64,
}

/// One exchange by two kinds of stamps, and what is needed for the third.
struct Exchange {
    nonce: Nonce,
    /// Told by its answer.
    follow_ups: Vec<FollowUp>,
    /// By the kernel's, if it gave both.
    kernel: Option<Sample>,
    /// By this process's.
    user: Sample,
}

/// An answer as it came.
struct Received {
    data: Vec<u8>,
    stamp: Stamp,
    read_at: HostTime,
}

impl Client {
    fn connect(server: SocketAddr, pin: &str) -> Result<Self, Error> {
        let mut driver = Driver::new(server)?;
        let believed = trust::pinned(pin, server)?;
        let config = believed.config(Sessions::Forget)?;
        let conn = driver.port.connect(&config, believed.name())?;
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut connected = false;
        while !connected {
            if Instant::now() > deadline {
                return Err("no connection within 5 s".into());
            }
            driver.turn(PATIENCE, |_, arrived| match arrived.event {
                Event::Connected { .. } => {
                    connected = true;
                    Ok(())
                }
                Event::Closed { reason, .. } => Err(format!("no connection: {reason:?}").into()),
                _ => Ok(()),
            })?;
        }
        Ok(Self {
            driver,
            conn,
            number: 0,
        })
    }

    /// One exchange, then a rest until `next`; None when no answer came.
    fn exchange(&mut self, next: Instant) -> Result<Option<Exchange>, Error> {
        self.number += 1;
        // Unique is enough here: nothing is set by these answers.
        let nonce = Nonce::new(u128::from(self.number).to_be_bytes());
        let departure = self.ask(nonce)?;
        let (received, left) = self.wait_for_answer(nonce, &departure)?;
        let exchange = received
            .map(|received| self.judge(nonce, &departure, left, &received))
            .transpose()?;
        while let Some(rest) = next.checked_duration_since(Instant::now()) {
            self.driver.turn(rest, |_, _| Ok(()))?;
        }
        Ok(exchange)
    }

    fn ask(&mut self, nonce: Nonce) -> Result<Departure, Error> {
        let mut buffer = [0; 64];
        let length = Request::new(nonce).with_follow_up().encode(&mut buffer)?;
        let port = &mut self.driver.port;
        port.engine
            .send_datagram(self.conn, &buffer[..length])
            .map_err(|error| format!("cannot send: {error:?}"))?;
        let departure = port.send_now(self.conn)?;
        departure.ok_or_else(|| "the request was not sent at once".into())
    }

    /// The answer, and when the kernel says that the request left.
    fn wait_for_answer(
        &mut self,
        nonce: Nonce,
        departure: &Departure,
    ) -> Result<(Option<Received>, Option<HostTime>), Error> {
        let deadline = Instant::now() + PATIENCE;
        let (mut received, mut left) = (None, None);
        while received.is_none() || left.is_none() {
            let Some(rest) = deadline.checked_duration_since(Instant::now()) else {
                break;
            };
            left = left.or(self.driver.port.left(departure)?);
            if self.driver.port.unreachable() > 0 {
                return Err("the server cannot be reached".into());
            }
            if received.is_some() && left.is_some() {
                break;
            }
            self.driver.turn(rest, |_, arrived| {
                if let Some(answer) = answer_to(nonce, arrived)? {
                    received = Some(answer);
                }
                Ok(())
            })?;
            // A kernel that gives no departure stamps would have done so by now.
            if received.is_some() && departure.id.is_none() {
                break;
            }
        }
        Ok((received, left))
    }

    fn judge(
        &self,
        nonce: Nonce,
        departure: &Departure,
        left: Option<HostTime>,
        received: &Received,
    ) -> Result<Exchange, Error> {
        let finish = |t1, t4| Query::new(nonce, t1).finish(&received.data, t4, SAME_CLOCK);
        let t1 = self.driver.port.socket.departure_stamp(departure, left);
        let is_kernel = [t1, received.stamp]
            .iter()
            .all(|stamp| stamp.source == StampSource::Kernel);
        let wrong = |refusal| format!("a wrong answer: {refusal}");
        let kernel = is_kernel.then(|| finish(t1.time, received.stamp.time));
        let answer = Response::decode(&received.data)?;
        Ok(Exchange {
            nonce,
            follow_ups: FollowUp::all(&answer.metadata()).collect(),
            kernel: kernel.transpose().map_err(wrong)?,
            user: finish(departure.before, received.read_at).map_err(wrong)?,
        })
    }
}

/// None for an answer to an earlier request: it came too late to be waited for.
fn answer_to(nonce: Nonce, arrived: Arrived) -> Result<Option<Received>, tsq_perf::Error> {
    match arrived.event {
        Event::Datagram { data, stamp, .. } => {
            let echoed = data.get(2..18) == Some(nonce.as_bytes().as_slice());
            Ok(echoed.then(|| Received {
                data: data.to_vec(),
                stamp,
                read_at: arrived.read_at,
            }))
        }
        Event::Closed { reason, .. } => Err(format!("the connection ended: {reason:?}").into()),
        _ => Ok(None),
    }
}

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_millis(200);

/// Both ends read one clock: more than this is no measurement error but a wrong answer.
const SAME_CLOCK: Duration = Duration::from_secs(1);

/// The offsets by each kind of stamps, in microseconds.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// By the kernel's four: with the departure that the server tells afterwards.
    pub(super) followed: Vec<f64>,
    /// By the kernel's, but for the server's departure.
    pub(super) kernel: Vec<f64>,
    /// By the client process's.
    pub(super) user: Vec<f64>,
    /// Exchanges without an answer in time.
    pub(super) lost: u32,
    /// The last exchange, until its follow-up comes.
    last: Option<(Nonce, Sample)>,
}

impl Outcome {
    /// Corrects the last exchange by what the answer of this one tells.
    fn follow(&mut self, exchange: Option<&Exchange>) {
        let Some((nonce, sample)) = self.last.take() else {
            return;
        };
        let corrected = exchange
            .into_iter()
            .flat_map(|exchange| &exchange.follow_ups)
            .find(|follow_up| follow_up.nonce == nonce)
            .and_then(|told| sample.with_departure(told.departure, SAME_CLOCK).ok());
        self.followed.extend(corrected.as_ref().map(offset));
    }

    fn add(&mut self, exchange: Option<Exchange>) {
        self.follow(exchange.as_ref());
        let Some(exchange) = exchange else {
            self.lost += 1;
            return;
        };
        self.user.push(offset(&exchange.user));
        if let Some(sample) = exchange.kernel {
            self.kernel.push(offset(&sample));
            self.last = Some((exchange.nonce, sample));
        }
    }
}

fn offset(sample: &Sample) -> f64 {
    microseconds(sample.offset.as_nanos())
}
