//! Requests in plain UDP packets: NTP, and the echo that is the floor.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use tsq_net::{Batch, Socket, wait};
use tsq_perf::Outbox;

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
    clients: Vec<Client>,
    /// Those with no request under way, in the order of their turns.
    idle: VecDeque<usize>,
    outbox: Outbox,
    batch: Batch,
    swept: Instant,
    tally: Tally,
}

struct Client {
    number: u64,
    /// When the request under way was sent; None when there is none.
    asked: Option<Instant>,
}

impl<P: Protocol> PlainLoad<P> {
    /// Begins one request for each of `count` clients.
    pub(crate) fn start(protocol: P, server: SocketAddr, count: usize) -> Result<Self, Error> {
        let mut load = Self {
            protocol,
            socket: Socket::connect(server)?,
            clients: (0..count)
                .map(|_| Client {
                    number: 0,
                    asked: None,
                })
                .collect(),
            idle: (MOST_UNDER_WAY..count).collect(),
            outbox: Outbox::default(),
            batch: Batch::new(),
            swept: Instant::now(),
            tally: Tally::default(),
        };
        (0..count.min(MOST_UNDER_WAY)).for_each(|client| load.ask(client));
        load.send()?;
        Ok(load)
    }

    fn ask(&mut self, index: usize) {
        let client = &mut self.clients[index];
        client.number += 1;
        client.asked = Some(Instant::now());
        self.protocol
            .request(token(index, client.number), self.outbox.packet());
    }

    /// A packet the socket does not take is one that gets no answer: it will be counted as lost.
    fn send(&mut self) -> Result<(), Error> {
        self.outbox.send(&self.socket)?;
        Ok(())
    }

    fn receive(&mut self) -> Result<(), Error> {
        loop {
            let count = self.socket.receive(&mut self.batch)?;
            for i in 0..count {
                let Some(packet) = self.batch.packet(i) else {
                    continue;
                };
                let token = self.protocol.check(packet.bytes);
                self.answer(token.ok_or("a wrong answer")?)?;
            }
            self.send()?;
            if count < Batch::CAPACITY {
                return Ok(());
            }
        }
    }

    fn answer(&mut self, token: u64) -> Result<(), Error> {
        let (index, number) = client_of(token);
        let client = self.clients.get_mut(index).ok_or("an answer to nobody")?;
        if number == client.number && client.asked.take().is_some() {
            self.tally.answered += 1;
            self.idle.push_back(index);
            if let Some(next) = self.idle.pop_front() {
                self.ask(next);
            }
            Ok(())
        } else if (1..client.number).contains(&number) {
            self.tally.late += 1;
            Ok(())
        } else {
            Err("an answer to nothing that was asked".into())
        }
    }

    fn sweep(&mut self, now: Instant) -> Result<(), Error> {
        for index in 0..self.clients.len() {
            let asked = self.clients[index].asked;
            if asked.is_some_and(|at| now.duration_since(at) > PATIENCE) {
                self.tally.lost += 1;
                self.ask(index);
            }
        }
        self.send()
    }
}

impl<P: Protocol> Load for PlainLoad<P> {
    fn run(&mut self, end: Instant) -> Result<(), Error> {
        loop {
            wait(&[&self.socket], None, Some(SWEEP))?;
            self.receive()?;
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            if now >= self.swept + SWEEP {
                self.swept = now;
                self.sweep(now)?;
            }
        }
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
