//! TSQ requests over many QUIC connections.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tsq_net::{ConnId, Engine, Event, StreamId, now};
use tsq_proto::{Answer, HostTime, Nonce, Query, Request, Response};

use super::{Load, MOST_UNDER_WAY, PATIENCE, SWEEP, Tally};
use crate::Error;
use crate::args::Transport;
use crate::driver::{Arrived, Driver};

/// Connections to one server, over one socket.
pub(crate) struct QuicLoad {
    driver: Driver,
    clients: Clients,
    swept: Instant,
}

impl QuicLoad {
    /// Makes `count` connections and begins a request on each.
    ///
    /// # Errors
    /// Not all of them were made within ten seconds.
    pub(crate) fn start(
        server: SocketAddr,
        pin: &str,
        count: usize,
        transport: Transport,
    ) -> Result<Self, Error> {
        let mut driver = Driver::new(server, pin)?;
        let mut clients = Clients::new(transport);
        let deadline = Instant::now() + CONNECT_LIMIT;
        while clients.connected < count {
            while clients.all.len() < count && clients.all.len() < clients.connected + WAVE {
                clients.add(driver.connect()?);
            }
            driver.turn(SWEEP, |engine, arrived| clients.act(engine, arrived))?;
            if Instant::now() > deadline {
                let made = clients.connected;
                return Err(format!("{made} of {count} connections after 10 s").into());
            }
        }
        clients.begin(&mut driver.engine)?;
        Ok(Self {
            driver,
            clients,
            swept: Instant::now(),
        })
    }
}

impl Load for QuicLoad {
    fn run(&mut self, end: Instant) -> Result<(), Error> {
        loop {
            let Self {
                driver, clients, ..
            } = self;
            driver.turn(SWEEP, |engine, arrived| clients.act(engine, arrived))?;
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            if now >= self.swept + SWEEP {
                self.swept = now;
                self.clients.sweep(&mut self.driver.engine, now)?;
            }
        }
    }

    fn tally(&self) -> Tally {
        self.clients.tally
    }
}

/// All connections, and the requests under way on them.
struct Clients {
    all: Vec<Client>,
    index: HashMap<ConnId, usize>,
    transport: Transport,
    connected: usize,
    /// Those with no request under way, in the order of their turns.
    idle: VecDeque<usize>,
    tally: Tally,
}

struct Client {
    conn: ConnId,
    /// Requests made so far; the number of the current one.
    number: u64,
    query: Query,
    /// When the request under way was sent; None when there is none.
    asked: Option<Instant>,
    stream: Option<StreamId>,
    /// What came of the current stream's answer.
    partial: Vec<u8>,
}

impl Clients {
    fn new(transport: Transport) -> Self {
        Self {
            all: Vec::new(),
            index: HashMap::new(),
            transport,
            connected: 0,
            idle: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    fn add(&mut self, conn: ConnId) {
        self.index.insert(conn, self.all.len());
        self.all.push(Client {
            conn,
            number: 0,
            query: Query::new(nonce(self.all.len(), 0), now()),
            asked: None,
            stream: None,
            partial: Vec::new(),
        });
    }

    fn begin(&mut self, engine: &mut Engine) -> Result<(), Error> {
        self.idle = (MOST_UNDER_WAY..self.all.len()).collect();
        (0..self.all.len().min(MOST_UNDER_WAY)).try_for_each(|client| self.ask(engine, client))
    }

    fn act(&mut self, engine: &mut Engine, Arrived { event, .. }: Arrived) -> Result<(), Error> {
        match event {
            Event::Connected { .. } => self.connected += 1,
            Event::Datagram { conn, data, stamp } => {
                let client = self.client(conn)?;
                self.answer(engine, client, &data, stamp.time)?;
            }
            Event::Stream {
                conn,
                stream,
                data,
                finished,
                stamp,
            } => {
                let index = self.client(conn)?;
                let client = &mut self.all[index];
                if client.stream != Some(stream) {
                    self.tally.late += u64::from(finished);
                    return Ok(());
                }
                client.partial.extend_from_slice(&data);
                if finished {
                    let answer = std::mem::take(&mut client.partial);
                    self.answer(engine, index, &answer, stamp.time)?;
                }
            }
            Event::StreamAborted { .. } => return Err("the server gave up a stream".into()),
            Event::Closed { reason, .. } => {
                return Err(format!("a connection ended: {reason:?}").into());
            }
        }
        Ok(())
    }

    fn client(&self, conn: ConnId) -> Result<usize, Error> {
        let found = self.index.get(&conn).copied();
        found.ok_or_else(|| "an answer on a connection we did not make".into())
    }

    /// Checks an answer and asks again.
    fn answer(
        &mut self,
        engine: &mut Engine,
        index: usize,
        answer: &[u8],
        t4: HostTime,
    ) -> Result<(), Error> {
        let client = &mut self.all[index];
        match client.query.finish(answer, t4, SAME_CLOCK) {
            Ok(_) if client.asked.take().is_some() => {
                self.tally.answered += 1;
                self.idle.push_back(index);
                let next = self.idle.pop_front();
                next.map_or(Ok(()), |next| self.ask(engine, next))
            }
            Ok(_) => Err("an answer came twice".into()),
            Err(_) if is_older(answer, index, client.number) => {
                self.tally.late += 1;
                Ok(())
            }
            Err(refusal) => Err(format!("a wrong answer: {refusal}").into()),
        }
    }

    fn ask(&mut self, engine: &mut Engine, index: usize) -> Result<(), Error> {
        let client = &mut self.all[index];
        client.number += 1;
        client.query = Query::new(nonce(index, client.number), now());
        client.asked = Some(Instant::now());
        client.partial.clear();
        let mut buffer = [0; 64];
        let length = Request::new(client.query.nonce()).encode(&mut buffer)?;
        let request = &buffer[..length];
        match self.transport {
            Transport::Datagram => engine
                .send_datagram(client.conn, request)
                .map_err(|error| format!("cannot send a datagram: {error:?}"))?,
            Transport::Stream => {
                let stream = engine
                    .open_stream(client.conn, request, true)
                    .map_err(|error| format!("cannot open a stream: {error:?}"))?;
                client.stream = Some(stream);
            }
        }
        Ok(())
    }

    /// Gives up what was asked too long ago, and asks again.
    fn sweep(&mut self, engine: &mut Engine, now: Instant) -> Result<(), Error> {
        for index in 0..self.all.len() {
            let asked = self.all[index].asked;
            if asked.is_some_and(|at| now.duration_since(at) > PATIENCE) {
                self.tally.lost += 1;
                self.ask(engine, index)?;
            }
        }
        Ok(())
    }
}

/// Unique in the run, which is all a load generator needs; a client that sets clocks draws its nonces
/// at random.
fn nonce(client: usize, number: u64) -> Nonce {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(client as u64).to_be_bytes());
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    Nonce::new(bytes)
}

/// Whether this answers a request that `client` made before number `current`.
fn is_older(answer: &[u8], client: usize, current: u64) -> bool {
    let Ok(Answer::Response(response)) = Answer::decode(answer) else {
        return false;
    };
    (1..current).contains(&number_of(&response)) && {
        let echoed = response.nonce();
        echoed == nonce(client, number_of(&response))
    }
}

fn number_of(response: &Response<'_>) -> u64 {
    let nonce = response.nonce();
    let number: [u8; 8] = std::array::from_fn(|i| nonce.as_bytes()[8 + i]);
    u64::from_be_bytes(number)
}

/// Both ends read one clock: an answer that is off by more than the longest wait is wrong.
const SAME_CLOCK: Duration = PATIENCE;
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Handshakes under way at a time: more would overflow socket buffers.
const WAVE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_to(nonce: Nonce) -> Vec<u8> {
        let mut buffer = [0; 64];
        let time = now().to_ntp();
        let length = Response::new(nonce, time, time)
            .encode(&mut buffer)
            .unwrap();
        buffer[..length].to_vec()
    }

    #[test]
    fn only_an_answer_to_an_earlier_request_of_the_same_client_is_late() {
        assert!(is_older(&answer_to(nonce(3, 6)), 3, 7));
        assert!(!is_older(&answer_to(nonce(3, 7)), 3, 7));
        assert!(!is_older(&answer_to(nonce(3, 0)), 3, 7));
        assert!(!is_older(&answer_to(nonce(4, 6)), 3, 7));
        assert!(!is_older(b"garbage", 3, 7));
    }
}
