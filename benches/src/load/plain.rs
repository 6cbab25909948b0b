//! Requests in plain UDP packets: NTP, and the echo that is the floor.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use tsq_net::{Batch, Socket, wait};
use tsq_perf::{Outbox, Pace};

use super::{Load, MOST_UNDER_WAY, PATIENCE, SWEEP, Tally};
use crate::Error;

/// What a plain request looks like, and how its answer is recognised.
pub(crate) trait Protocol {
    /// Writes a request that carries `token` over `packet`.
    fn request(&self, token: u64, packet: &mut Vec<u8>);

    /// The token of a right answer; None for anything else.
    fn check(&self, answer: &[u8]) -> Option<u64>;
}

/// Some number of clients on one socket.
pub(crate) struct PlainLoad<P> {
    protocol: P,
    socket: Socket,
    /// How many requests each has made.
    clients: Vec<u64>,
    /// Whose turn it is.
    next: usize,
    /// By their tokens.
    under_way: HashMap<u64, Instant>,
    /// In the order they will be given up in; some are answered.
    asked: VecDeque<(Instant, u64)>,
    outbox: Outbox,
    batch: Batch,
    swept: Instant,
    tally: Tally,
}

impl<P: Protocol> PlainLoad<P> {
    /// `count` clients, who have not asked yet.
    pub(crate) fn start(protocol: P, server: SocketAddr, count: usize) -> Result<Self, Error> {
        Ok(Self {
            protocol,
            socket: Socket::connect(server)?,
            clients: vec![0; count],
            next: 0,
            under_way: HashMap::new(),
            asked: VecDeque::new(),
            outbox: Outbox::default(),
            batch: Batch::new(),
            swept: Instant::now(),
            tally: Tally::default(),
        })
    }

    fn ask(&mut self, now: Instant) {
        let index = self.next;
        self.next = (index + 1) % self.clients.len();
        self.clients[index] += 1;
        let token = token(index, self.clients[index]);
        self.under_way.insert(token, now);
        self.asked.push_back((now, token));
        self.protocol.request(token, self.outbox.packet());
    }

    /// Asks what is due, and says when the next request is.
    fn issue(&mut self, pace: &mut Pace, now: Instant, end: Instant) -> Instant {
        match pace {
            Pace::Closed(most) => {
                while self.under_way.len() < self.clients.len().min(*most) {
                    self.ask(now);
                }
                end
            }
            Pace::Open(schedule) => {
                // A generator that was held up still owes what was due by the end; not all of it at once, as the
                // server's socket would overflow.
                for _ in 0..MOST_UNDER_WAY {
                    if schedule.take(now.min(end)).is_none() {
                        break;
                    }
                    self.ask(now);
                }
                schedule.next()
            }
        }
    }

    fn receive(&mut self) -> Result<(), Error> {
        loop {
            let count = self.socket.receive(&mut self.batch)?;
            for i in 0..count {
                let Some(packet) = self.batch.packet(i) else {
                    continue;
                };
                let token = self.protocol.check(packet.bytes).ok_or("a wrong answer")?;
                if self.under_way.remove(&token).is_some() {
                    self.tally.answered += 1;
                } else {
                    self.late(token)?;
                }
            }
            if count < Batch::CAPACITY {
                return Ok(());
            }
        }
    }

    fn late(&mut self, token: u64) -> Result<(), Error> {
        let (index, number) = client_of(token);
        match self.clients.get(index) {
            Some(last) if (1..=*last).contains(&number) => {
                self.tally.late += 1;
                Ok(())
            }
            _ => Err("an answer to nothing that was asked".into()),
        }
    }

    fn sweep(&mut self, now: Instant) {
        while let Some((at, token)) = self.asked.front().copied() {
            let is_waited_for = self.under_way.contains_key(&token);
            if is_waited_for && now.duration_since(at) <= PATIENCE {
                break;
            }
            self.asked.pop_front();
            if is_waited_for {
                self.under_way.remove(&token);
                self.tally.lost += 1;
            }
        }
    }
}

impl<P: Protocol> Load for PlainLoad<P> {
    fn run(&mut self, pace: &mut Pace, end: Instant) -> Result<(), Error> {
        loop {
            let now = Instant::now();
            if now >= self.swept + SWEEP {
                self.swept = now;
                self.sweep(now);
            }
            let next = self.issue(pace, now, end);
            // A packet the socket does not take is one that gets no answer: it will be counted as lost.
            self.outbox.send(&self.socket)?;
            if now >= end {
                return Ok(());
            }
            let left = next.min(end).saturating_duration_since(Instant::now());
            wait(&[&self.socket], None, Some(left.min(SWEEP)))?;
            self.receive()?;
        }
    }

    fn finish(&mut self) -> Result<(), Error> {
        while !self.under_way.is_empty() {
            wait(&[&self.socket], None, Some(SWEEP))?;
            self.receive()?;
            self.sweep(Instant::now());
        }
        Ok(())
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

/// Never zero, which NTP takes for "no timestamp": numbers begin at 1.
fn token(client: usize, number: u64) -> u64 {
    (number << CLIENT_BITS) | client as u64
}

fn client_of(token: u64) -> (usize, u64) {
    let client = token & ((1 << CLIENT_BITS) - 1);
    (
        usize::try_from(client).unwrap_or(usize::MAX),
        token >> CLIENT_BITS,
    )
}

const CLIENT_BITS: u32 = 16;

/// Packets of the sizes TSQ's have on the wire, answered by [`crate::serving::echo`].
pub(crate) struct Echo {
    /// Bytes of the UDP payload of a request.
    pub(crate) request: usize,
    /// And of an answer.
    pub(crate) answer: usize,
}

impl Protocol for Echo {
    fn request(&self, token: u64, packet: &mut Vec<u8>) {
        packet.clear();
        packet.resize(self.request, 0);
        packet[..8].copy_from_slice(&token.to_be_bytes());
    }

    fn check(&self, answer: &[u8]) -> Option<u64> {
        let token = answer.first_chunk().copied().map(u64::from_be_bytes);
        token.filter(|_| answer.len() == self.answer)
    }
}

/// NTP version 4, client mode (RFC 5905, section 7.3).
pub(crate) struct Ntp;

impl Protocol for Ntp {
    fn request(&self, token: u64, packet: &mut Vec<u8>) {
        packet.clear();
        packet.resize(48, 0);
        packet[0] = 0x23;
        packet[40..48].copy_from_slice(&token.to_be_bytes());
    }

    /// An answer in server mode whose origin timestamp is a token, and whose T3 is not before its T2.
    fn check(&self, answer: &[u8]) -> Option<u64> {
        let field = |at: usize| answer.get(at..at + 8)?.first_chunk().copied();
        let [origin, t2, t3] = [24, 32, 40].map(|at| field(at).map(u64::from_be_bytes));
        let is_answer = answer.len() == 48 && answer[0] & 0x07 == 4 && answer[1] != 0;
        origin.filter(|_| is_answer && t2 != Some(0) && t3 >= t2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ntp_answer(origin: u64, t2: u64, t3: u64) -> Vec<u8> {
        let mut packet = vec![0; 48];
        packet[0] = 0x24;
        packet[1] = 8;
        packet[24..32].copy_from_slice(&origin.to_be_bytes());
        packet[32..40].copy_from_slice(&t2.to_be_bytes());
        packet[40..48].copy_from_slice(&t3.to_be_bytes());
        packet
    }

    #[test]
    fn token_names_its_client_and_number() {
        assert_eq!(client_of(token(999, 123_456_789)), (999, 123_456_789));
    }

    #[test]
    fn ntp_answer_with_origin_and_ordered_times_is_right() {
        assert_eq!(Ntp.check(&ntp_answer(77, 5, 6)), Some(77));
        assert_eq!(Ntp.check(&ntp_answer(77, 5, 5)), Some(77));
    }

    #[test]
    fn ntp_answer_that_no_client_should_take_is_wrong() {
        assert_eq!(Ntp.check(&ntp_answer(77, 6, 5)), None);
        assert_eq!(Ntp.check(&ntp_answer(77, 0, 5)), None);
        let mut request = ntp_answer(77, 5, 6);
        request[0] = 0x23;
        assert_eq!(Ntp.check(&request), None);
        let mut kiss_of_death = ntp_answer(77, 5, 6);
        kiss_of_death[1] = 0;
        assert_eq!(Ntp.check(&kiss_of_death), None);
        assert_eq!(Ntp.check(&ntp_answer(77, 5, 6)[..47]), None);
    }

    #[test]
    fn echo_of_another_length_is_wrong() {
        let echo = Echo {
            request: 40,
            answer: 60,
        };
        let mut packet = Vec::new();
        echo.request(9, &mut packet);
        assert_eq!(packet.len(), 40);
        assert_eq!(echo.check(&packet), None);
        packet.resize(60, 0);
        assert_eq!(echo.check(&packet), Some(9));
    }
}
