//! The server, strangers, real clients, and the network and the time between them.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tsq_dev::AnyCertificate;
use tsq_net::{ClientConfig, ConnId, Engine, Stamp, StreamId, tls};
use tsq_proto::HostTime;

use super::initial;
use super::server::{IDLE, Packet, Server};
use super::step::Step;

pub(crate) struct World {
    start: Instant,
    now: Instant,
    server: Server,
    clients: Vec<Client>,
    /// On their way, oldest first.
    to_server: VecDeque<Packet>,
    to_clients: VecDeque<Packet>,
}

struct Client {
    engine: Engine,
    conn: ConnId,
    address: SocketAddr,
    streams: Vec<StreamId>,
}

impl Default for World {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            start: now,
            now,
            server: Server::new(now),
            clients: Vec::new(),
            to_server: VecDeque::new(),
            to_clients: VecDeque::new(),
        }
    }
}

impl World {
    pub(crate) fn take(&mut self, step: Step<'_>) {
        match step {
            Step::Stranger { from, fill, packet } => {
                self.arrive(stranger(from), &filled(packet, fill), false)
            }
            Step::Initial {
                from,
                connection,
                number,
                frames,
            } => {
                self.arrive(
                    stranger(from),
                    &initial::packet(connection, number, frames),
                    false,
                );
            }
            Step::Burst {
                count,
                fill,
                packet,
            } => {
                let stamp = self.tick();
                let sent =
                    self.server
                        .burst(self.now, stranger(0), &filled(packet, fill), stamp, count);
                self.to_clients.extend(sent);
            }
            Step::Connect => self.connect(),
            Step::Deliver { packet } => {
                if let Some((from, packet)) = self.pick(packet) {
                    self.arrive(from, &packet, true);
                }
            }
            Step::Repeat { packet } => {
                if let Some((from, packet)) = self.pick(packet) {
                    self.arrive(from, &packet, true);
                    self.to_server.push_back((from, packet));
                }
            }
            Step::Lose { packet } => drop(self.pick(packet)),
            Step::Alter { packet, at, change } => {
                if let Some((from, mut packet)) = self.pick(packet) {
                    let at = usize::from(at) % packet.len();
                    packet[at] ^= change;
                    self.arrive(from, &packet, true);
                }
            }
            Step::Move { packet, from } => {
                if let Some((_, packet)) = self.pick(packet) {
                    // Nobody reads there: the server must not believe that the client moved.
                    self.arrive(elsewhere(from), &packet, false);
                }
            }
            Step::Reply => self.reply(),
            Step::Settle => self.settle(),
            Step::Wait { millis } => self.wait(Duration::from_millis(millis.into())),
            _ => self.talk(step),
        }
        self.to_server.truncate(ON_THE_WAY);
        self.to_clients.truncate(ON_THE_WAY);
    }

    /// Everybody falls silent, and the server is left alone with its timers.
    pub(crate) fn end(mut self) {
        self.clients.clear();
        let end = self.now + 4 * IDLE;
        let mut turns = 0;
        while let Some(due) = self.server.due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.server.timeout(self.now);
            turns += 1;
            assert!(turns < TURNS, "the server does not come to rest");
        }
        self.server.is_forgetful();
    }

    fn talk(&mut self, step: Step<'_>) {
        let now = self.now;
        let (Step::Datagram { client, .. }
        | Step::Open { client, .. }
        | Step::More { client, .. }
        | Step::Reset { client, .. }
        | Step::Stop { client, .. }
        | Step::Close { client }) = step
        else {
            return;
        };
        let Some(client) = cyclic(self.clients.len(), client).map(|index| &mut self.clients[index])
        else {
            return;
        };
        client.talk(now, step);
        self.collect();
    }

    fn connect(&mut self) {
        if self.clients.len() < CLIENTS {
            let port = 5000 + self.clients.len() as u16;
            self.clients.push(Client::new(
                self.now,
                (Ipv4Addr::new(10, 0, 0, 2), port).into(),
            ));
            self.collect();
        }
    }

    fn pick(&mut self, index: u8) -> Option<Packet> {
        cyclic(self.to_server.len(), index).and_then(|index| self.to_server.remove(index))
    }

    fn arrive(&mut self, from: SocketAddr, packet: &[u8], genuine: bool) {
        let stamp = self.tick();
        self.to_clients
            .extend(self.server.packet(self.now, from, packet, stamp, genuine));
    }

    fn reply(&mut self) {
        for (to, packet) in std::mem::take(&mut self.to_clients) {
            let stamp = self.tick();
            if let Some(client) = self.clients.iter_mut().find(|client| client.address == to) {
                client
                    .engine
                    .handle_packet(self.now, server_address(), None, &packet, stamp);
                while client.engine.poll_event().is_some() {}
            }
        }
        self.collect();
    }

    fn settle(&mut self) {
        for _ in 0..ROUNDS {
            if self.to_server.is_empty() && self.to_clients.is_empty() {
                break;
            }
            for (from, packet) in std::mem::take(&mut self.to_server) {
                self.arrive(from, &packet, true);
            }
            self.reply();
        }
    }

    /// Every timer that is due on the way there runs at its own time.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let mut turns = 0;
        while let Some(due) = self.due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.timeouts();
            turns += 1;
            assert!(turns < TURNS, "timers run without end");
        }
        self.now = end;
        self.timeouts();
    }

    fn due(&self) -> Option<Instant> {
        let clients = self
            .clients
            .iter()
            .filter_map(|client| client.engine.poll_timeout());
        clients.chain(self.server.due()).min()
    }

    fn timeouts(&mut self) {
        self.to_clients.extend(self.server.timeout(self.now));
        for client in &mut self.clients {
            client.engine.handle_timeout(self.now);
            while client.engine.poll_event().is_some() {}
        }
        self.collect();
        self.to_server.truncate(ON_THE_WAY);
        self.to_clients.truncate(ON_THE_WAY);
    }

    /// What the clients want to send.
    fn collect(&mut self) {
        let mut buffer = Vec::new();
        for client in &mut self.clients {
            while client.engine.poll_transmit(self.now, &mut buffer).is_some() {
                self.to_server.push_back((client.address, buffer.clone()));
            }
        }
    }

    fn tick(&mut self) -> Stamp {
        self.now += Duration::from_micros(1);
        let elapsed = i64::try_from((self.now - self.start).as_nanos()).unwrap_or(i64::MAX);
        Stamp::kernel(HostTime::from_unix_nanos(elapsed))
    }
}

impl Client {
    fn new(now: Instant, address: SocketAddr) -> Self {
        static CONFIG: OnceLock<ClientConfig> = OnceLock::new();
        let config = CONFIG.get_or_init(|| {
            tls::client(Arc::new(AnyCertificate::default())).expect("a configuration that works")
        });
        let mut engine = Engine::client();
        let conn = engine
            .connect(now, config.clone(), server_address(), "localhost")
            .expect("an address and a name that can be connected to");
        Self {
            engine,
            conn,
            address,
            streams: Vec::new(),
        }
    }

    /// What the connection does not allow just now does not happen.
    fn talk(&mut self, now: Instant, step: Step<'_>) {
        let stream = |index| cyclic(self.streams.len(), index).map(|index| self.streams[index]);
        match step {
            Step::Datagram { message, .. } => {
                let _ = self.engine.send_datagram(self.conn, message);
            }
            Step::Open {
                finish, message, ..
            } => {
                self.streams
                    .extend(self.engine.open_stream(self.conn, message, finish).ok());
            }
            Step::More {
                stream: index,
                finish,
                message,
                ..
            } => {
                if let Some(stream) = stream(index) {
                    let _ = self.engine.send_stream(self.conn, stream, message, finish);
                }
            }
            Step::Reset { stream: index, .. } => {
                if let Some(stream) = stream(index) {
                    self.engine.reset_stream(self.conn, stream);
                }
            }
            Step::Stop { stream: index, .. } => {
                if let Some(stream) = stream(index) {
                    self.engine.stop_stream(self.conn, stream);
                }
            }
            Step::Close { .. } => self.engine.close(now, self.conn, 0, "done"),
            _ => {}
        }
    }
}

fn cyclic(len: usize, index: u8) -> Option<usize> {
    usize::from(index).checked_rem(len)
}

fn filled(packet: &[u8], fill: bool) -> Vec<u8> {
    let mut packet = packet[..packet.len().min(1500)].to_vec();
    if fill && packet.len() < 1200 {
        packet.resize(1200, 0);
    }
    packet
}

fn server_address() -> SocketAddr {
    (Ipv4Addr::new(10, 0, 0, 1), 443).into()
}

fn stranger(number: u8) -> SocketAddr {
    (Ipv4Addr::new(10, 0, 1, number), 4000).into()
}

/// Where real clients turn up again.
fn elsewhere(number: u8) -> SocketAddr {
    (Ipv4Addr::new(10, 0, 2, number), 4000).into()
}

const CLIENTS: usize = 4;
const ON_THE_WAY: usize = 256;
const ROUNDS: usize = 20;
const TURNS: usize = 20_000;
