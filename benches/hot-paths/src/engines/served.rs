//! The server's own core, asked by a client's engine whose packets we carry.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tsq_net::{ConnId, Departure, Engine, Event, Outgoing, Packet, Stamp};
use tsq_proto::HostTime;
use tsq_server::responder::{Link, Responder};
use tsq_server::teller::Teller;

use super::trust;

/// A client and the server it is connected to.
pub(super) struct Served {
    now: Instant,
    client: Engine,
    conn: ConnId,
    server: Responder<fn() -> HostTime>,
    back: Back,
    packet: Vec<u8>,
}

impl Served {
    /// Connected, seeded as [`super::pair::Pair`] is.
    pub(super) fn connected() -> Self {
        let (config, server) = trust::configurations();
        let (now, mut client) = (Instant::now(), Engine::client_seeded([1; 32]));
        let conn = client
            .connect(now, config, SERVER.into(), "localhost")
            .expect("an address to connect to");
        let engine = Engine::server_seeded(server, [2; 32]);
        let clock: fn() -> HostTime = || T3;
        let mut served = Self {
            now,
            client,
            conn,
            server: Responder::new(now, engine, Teller::vouching(T2), clock),
            back: Back::default(),
            packet: Vec::new(),
        };
        served.run();
        served
    }

    /// One request and its answer, whose length it returns; a millisecond passes after it.
    pub(super) fn ask(&mut self, request: &[u8]) -> usize {
        let sent = self.client.send_datagram(self.conn, request);
        sent.expect("room for it");
        let answered = self.run();
        self.now += Duration::from_millis(1);
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= self.now);
        if is_due(self.client.poll_timeout()) {
            self.client.handle_timeout(self.now);
        }
        if is_due(self.server.poll_timeout()) {
            self.server.handle_timeout(self.now);
            self.server.transmit(self.now, &mut self.back);
        }
        answered
    }

    /// Carries packets both ways until nobody has anything to send; bytes of the answers that came.
    fn run(&mut self) -> usize {
        let mut answered = 0;
        while self.carry_requests() | self.carry_answers(&mut answered) {}
        answered
    }

    /// Whether there was anything to carry.
    fn carry_requests(&mut self) -> bool {
        let mut any = false;
        while self
            .client
            .poll_transmit(self.now, &mut self.packet)
            .is_some()
        {
            any = true;
            let packet = Packet {
                bytes: &self.packet,
                remote: CLIENT.into(),
                local_ip: None,
                stamp: Stamp::kernel(T2),
            };
            self.server.handle_packet(self.now, &packet);
            self.server.transmit(self.now, &mut self.back);
        }
        any
    }

    /// Whether there was anything to carry; counts the answers' bytes.
    fn carry_answers(&mut self, answered: &mut usize) -> bool {
        let mut rest = &self.back.bytes[..];
        for &length in &self.back.lengths {
            let (packet, more) = rest.split_at(length);
            rest = more;
            let (from, stamp) = (SocketAddr::from(SERVER), Stamp::kernel(T3));
            self.client
                .handle_packet(self.now, from, None, packet, stamp);
            while let Some(event) = self.client.poll_event() {
                if let Event::Datagram { data, .. } = event {
                    *answered += data.len();
                }
            }
        }
        let any = !self.back.lengths.is_empty();
        self.back.bytes.clear();
        self.back.lengths.clear();
        any
    }
}

/// Packets on their way to the client, one behind the other.
#[derive(Default)]
struct Back {
    bytes: Vec<u8>,
    lengths: Vec<usize>,
}

impl Link for Back {
    type Error = Infallible;

    fn send(&mut self, _: &Outgoing, bytes: &[u8], _: bool) -> Result<Departure, Infallible> {
        self.bytes.extend_from_slice(bytes);
        self.lengths.push(bytes.len());
        let (id, before) = (None, T3);
        Ok(Departure { id, before })
    }
}

const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 2], 5555);
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 1], 443);

/// When every request comes, and when every answer leaves.
const T2: HostTime = HostTime::from_unix_nanos(1_795_000_000_000_000_000);
const T3: HostTime = HostTime::from_unix_nanos(1_795_000_000_000_052_000);
