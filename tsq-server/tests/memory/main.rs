//! Nobody makes the server hold more than its limits say, with every kind of traffic that buffers, drains,
//! half-opens, resumes or resets; and clients that only ask are not noticed by those limits.
//!
//! Under virtual time, with seeded clients. The allocator counts what the server's engine and gate hold after
//! every packet: exact, not sampled.
#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tsq_dev::AnyCertificate;
use tsq_net::{CloseReason, ConnId, Engine, Event, Role, Stamp, now as host_now, tls};
use tsq_server::limits::{Limits, PerNetwork, Retry, SHARE};

mod hostile;
mod initial;
mod server;

use initial::Stranger;
use server::Server;

#[global_allocator]
static ALLOCATOR: tsq_net::Counted = tsq_net::Counted;

const LIMITS: Limits = Limits {
    connections: 120,
    per_network: PerNetwork {
        v4: 60,
        ..Limits::NONE.per_network
    },
    half_open: 80,
    handshake_rate: 100_000,
    handshake_time: Duration::from_secs(2),
    retry: Retry::Auto,
    retry_above: 70,
    connection_rate: 0,
    request_rate: 0,
    connection_memory: 128 * 1024,
    spare_memory: 1024 * 1024,
    silence: IDLE,
    streams: 8,
};
const IDLE: Duration = Duration::from_secs(3);
const ROLE: Role = Role::Server {
    streams: 8,
    idle: IDLE,
    buffer: 16 * 1024,
};
const CLIENTS: u64 = 2400;

/// What a client does, chosen by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Asks a few times, and is silent then.
    Honest,
    /// Takes its session up again, asking early.
    Resumes,
    /// Closes as soon as it is connected.
    Closes,
    /// Sends its first packet and is never seen again.
    HalfOpens,
    /// The same, and pieces of a handshake that never fit together.
    HalfOpensInPieces,
    /// Sends these frames, and acknowledges or not.
    Sends(Frames, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frames {
    StreamsWithGaps,
    StreamPieceAgainAndAgain,
    CryptoWithGaps,
    Pings,
    Requests,
    Challenges,
    NewIds,
    RetiredIds,
    Resets,
}

const KINDS: [Kind; 23] = {
    use Frames::{
        Challenges, CryptoWithGaps, NewIds, Pings, Requests, Resets, RetiredIds,
        StreamPieceAgainAndAgain, StreamsWithGaps,
    };
    use Kind::{Closes, HalfOpens, HalfOpensInPieces, Honest, Resumes, Sends};
    [
        Honest,
        Honest,
        Resumes,
        Closes,
        Closes,
        HalfOpens,
        HalfOpens,
        HalfOpens,
        HalfOpensInPieces,
        HalfOpensInPieces,
        Sends(StreamsWithGaps, false),
        Sends(StreamsWithGaps, true),
        Sends(StreamPieceAgainAndAgain, false),
        Sends(StreamPieceAgainAndAgain, true),
        Sends(CryptoWithGaps, false),
        Sends(CryptoWithGaps, true),
        Sends(Pings, true),
        Sends(Requests, true),
        Sends(Challenges, true),
        Sends(NewIds, true),
        Sends(RetiredIds, true),
        Sends(Resets, false),
        Sends(Resets, true),
    ]
};

#[test]
fn server_holds_no_more_than_its_limits_say_whoever_comes() {
    let mut world = World::new(7);
    for number in 0..CLIENTS {
        let kind = KINDS[world.random(KINDS.len() as u64) as usize];
        world.client(number, kind);
        world.wait(Duration::from_millis(4));
    }
    let counts = world.server.counters.snapshot();
    assert!(
        counts.over_memory > 0,
        "nobody took too much: a test of nothing"
    );
    assert!(counts.over_connections > 0, "never full: a test of nothing");
    println!(
        "{} handshakes, {} closed for memory; {} bytes held at most",
        world.server.handshakes, counts.over_memory, world.server.peak
    );
    world.wait(IDLE * 3);
    let shared = &world.server.shared;
    assert_eq!(world.server.engine.connections(), 0);
    assert_eq!((shared.connections(), shared.half_open()), (0, 0));
    assert_eq!(shared.spare().used(), 0);
}

#[test]
fn client_that_asks_holds_less_than_its_share() {
    let mut world = World::new(8);
    for number in 0..20 {
        world.client(number, Kind::Honest);
        world.client(number + 100, Kind::Resumes);
    }
    let largest = world.server.largest;
    println!("{largest} bytes held by the largest");
    assert!(largest > 4096, "nothing was counted");
    assert!(largest <= SHARE, "{largest} bytes held");
    assert_eq!(world.server.shared.spare().used(), 0);
}

/// Also one that has kept a piece of a packet once, which is then counted otherwise.
#[test]
fn client_that_asks_for_long_holds_no_more_in_the_end() {
    for keeps in [false, true] {
        let mut world = World::new(10);
        let from = (Ipv4Addr::new(10, 0, 0, 1), 999).into();
        let mut client = world.connect(from, hostile::config(false)).unwrap();
        if keeps {
            let piece = hostile::instead_of_a_datagram(&[0x0e, 0, 1, 1, 65]);
            client.engine.send_datagram(client.conn, &piece).unwrap();
            client.exchange(&mut world);
        }
        world.ask(&mut client, 300);
        let before = world.server.held;
        world.ask(&mut client, 3000);
        let grown = world.server.held - before;
        assert!(grown < 2048, "{grown} bytes more held, keeps: {keeps}");
        let counted = world.server.counted().cast_signed();
        let held = world.server.held;
        assert!(
            counted < held + 8192,
            "{counted} counted of {held}, keeps: {keeps}"
        );
        assert!(counted > 4096, "{counted} counted, keeps: {keeps}");
    }
}

/// QUIC alone remembers them for three times what the client claims to need: 49 s.
#[test]
fn closed_connection_counts_for_a_second_and_a_silent_one_is_forgotten_in_time() {
    let mut world = World::new(9);
    for number in 0..30 {
        world.client(number, Kind::Closes);
    }
    assert_eq!(world.server.shared.connections(), 30);
    world.wait(Duration::from_millis(1001));
    assert_eq!(world.server.shared.connections(), 0);
    let from = (Ipv4Addr::new(10, 0, 0, 1), 999).into();
    assert!(world.connect(from, hostile::config(false)).is_some());
    world.wait(IDLE);
    assert_eq!(world.server.shared.connections(), 1);
    world.wait(Duration::from_millis(1001));
    assert_eq!(world.server.shared.connections(), 0);
    assert_eq!(world.server.engine.connections(), 0);
}

struct World {
    now: Instant,
    random: u64,
    server: Server,
    junk: Vec<u8>,
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        Self {
            now,
            random: seed,
            server: Server::new(LIMITS, ROLE, now),
            junk: [&[0x00][..], &[7; 1400]].concat(),
        }
    }

    /// SplitMix64.
    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    /// Time goes by, and every timer of the server runs when it is due.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.server.due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.server.timeout(self.now);
        }
        self.now = end;
    }

    fn client(&mut self, number: u64, kind: Kind) {
        let host = u8::try_from(self.random(8)).unwrap();
        let port = 1000 + u16::try_from(number).unwrap();
        let from = (Ipv4Addr::new(10, 0, 0, host), port).into();
        match kind {
            Kind::HalfOpens | Kind::HalfOpensInPieces => {
                let pieces = if kind == Kind::HalfOpens { 1 } else { 600 };
                self.half_open(number, from, pieces);
            }
            Kind::Resumes => {
                let tickets = tls::Tickets::default();
                for _ in 0..2 {
                    let sessions = tls::Sessions::Early(tickets.clone());
                    let config = tls::client_with(trust(), sessions).unwrap();
                    self.honest(from, config);
                }
            }
            Kind::Honest => self.honest(from, tls::client(trust()).unwrap()),
            Kind::Closes => {
                let config = hostile::config(false);
                if let Some(mut client) = self.connect(from, config) {
                    client.engine.close(self.now, client.conn, 0, "done");
                    client.exchange(self);
                }
            }
            Kind::Sends(frames, mute) => {
                if let Some(mut client) = self.connect(from, hostile::config(mute)) {
                    self.send(&mut client, frames);
                }
            }
        }
    }

    /// CRYPTO frames of one byte, none of which is the first.
    fn half_open(&mut self, number: u64, from: SocketAddr, pieces: u16) {
        let mut stranger = Stranger::new(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for piece in 0..pieces {
            let [high, low] = (2 * piece + 1).to_be_bytes();
            let frames = [0x06, 0x40 | high, low, 1, 65];
            let packet = stranger.packet(&frames, if piece == 0 { 1200 } else { 0 });
            self.server.packet(self.now, from, &packet);
            let junk = std::mem::take(&mut self.junk);
            self.server.packet(self.now, from, &junk);
            self.junk = junk;
        }
    }

    fn honest(&mut self, from: SocketAddr, config: tsq_net::ClientConfig) {
        let Some(mut client) = self.connect(from, config) else {
            return;
        };
        for number in 0..8 {
            let mut request = [1, 16].to_vec();
            request.extend_from_slice(&[number; 16]);
            let asked = if number % 2 == 0 {
                client.engine.send_datagram(client.conn, &request).is_ok()
            } else {
                client
                    .engine
                    .open_stream(client.conn, &request, true)
                    .is_ok()
            };
            assert!(asked);
            client.exchange(self);
            assert_eq!(client.closed, None, "an honest client");
        }
        assert_eq!(client.answers, 8);
    }

    fn ask(&mut self, client: &mut Client, times: u32) {
        let answered = client.answers;
        for number in 0..times {
            let mut request = [1, 16].to_vec();
            request.extend_from_slice(&u128::from(number).to_be_bytes());
            if number % 2 == 0 {
                client.engine.send_datagram(client.conn, &request).unwrap();
            } else {
                let opened = client.engine.open_stream(client.conn, &request, true);
                opened.unwrap();
            }
            client.exchange(self);
            self.wait(Duration::from_micros(100));
        }
        assert_eq!(client.answers - answered, times);
    }

    fn connect(&mut self, from: SocketAddr, config: tsq_net::ClientConfig) -> Option<Client> {
        let mut engine = Engine::client();
        let conn = engine
            .connect(self.now, config, SERVER.into(), "localhost")
            .unwrap();
        let mut client = Client {
            engine,
            conn,
            from,
            connected: false,
            closed: None,
            answers: 0,
        };
        client.exchange(self);
        (client.connected && client.closed.is_none()).then_some(client)
    }

    fn send(&mut self, client: &mut Client, frames: Frames) {
        for packet in 0..400 {
            let frames = frames.of(packet);
            let instead = hostile::instead_of_a_datagram(&frames);
            if client.engine.send_datagram(client.conn, &instead).is_err() {
                break;
            }
            client.exchange(self);
            let junk = std::mem::take(&mut self.junk);
            self.server.packet(self.now, client.from, &junk);
            self.junk = junk;
            if client.closed.is_some() {
                break;
            }
            self.wait(Duration::from_micros(20));
        }
    }
}

struct Client {
    engine: Engine,
    conn: ConnId,
    from: SocketAddr,
    connected: bool,
    closed: Option<CloseReason>,
    answers: u32,
}

impl Client {
    /// Packets go to and fro until nobody has any.
    fn exchange(&mut self, world: &mut World) {
        let mut buffer = Vec::new();
        loop {
            let mut quiet = true;
            while self.engine.poll_transmit(world.now, &mut buffer).is_some() {
                quiet = false;
                for (to, packet) in world.server.packet(world.now, self.from, &buffer) {
                    if to == self.from {
                        let stamp = Stamp::kernel(host_now());
                        self.engine
                            .handle_packet(world.now, SERVER.into(), None, &packet, stamp);
                    }
                }
                world.server.look();
                while let Some(event) = self.engine.poll_event() {
                    match event {
                        Event::Connected { .. } => self.connected = true,
                        Event::Datagram { .. } | Event::Stream { .. } => self.answers += 1,
                        Event::Closed { reason, .. } => self.closed = Some(reason),
                        Event::StreamAborted { .. } | Event::Forgotten { .. } => {}
                    }
                }
            }
            if quiet {
                return;
            }
        }
    }
}

impl Frames {
    /// Those of the client's packet of this number.
    fn of(self, packet: u16) -> Vec<u8> {
        let mut frames = Vec::new();
        let varint = |number: u16| {
            let [high, low] = number.to_be_bytes();
            [0x40 | high, low]
        };
        match self {
            Self::StreamsWithGaps => {
                for stream in 0..8_u8 {
                    for piece in 0..16 {
                        let offset = varint((packet * 32 + 2 * piece + 1) % 1024);
                        frames.extend_from_slice(&[0x0e, 4 * stream, offset[0], offset[1], 1, 65]);
                    }
                }
            }
            Self::StreamPieceAgainAndAgain => {
                let stream = 4 * (packet % 8) as u8;
                frames.extend_from_slice(&[0x0e, stream, 1, 1, 65]);
            }
            Self::CryptoWithGaps => {
                for piece in 0..100 {
                    let offset = varint((packet * 200 + 2 * piece + 1) % 8000);
                    frames.extend_from_slice(&[0x06, offset[0], offset[1], 1, 65]);
                }
            }
            // With IMMEDIATE_ACK: an acknowledgement for each.
            Self::Pings => frames.extend_from_slice(&[0x01, 0x1f]),
            Self::Requests => {
                for request in 0..20 {
                    frames.extend_from_slice(&[0x31, 18, 1, 16]);
                    frames.extend_from_slice(&[request; 16]);
                }
            }
            Self::Challenges => {
                for challenge in 0..100 {
                    frames.push(0x1a);
                    frames.extend_from_slice(&[challenge; 8]);
                }
            }
            Self::NewIds => {
                for id in 0..4 {
                    let sequence = varint(1 + packet * 4 + id);
                    frames.push(0x18);
                    frames.extend_from_slice(&sequence);
                    // All before it are to be retired.
                    frames.extend_from_slice(&sequence);
                    frames.push(8);
                    frames.extend_from_slice(&u64::from(packet * 4 + id).to_be_bytes());
                    frames.extend_from_slice(&[9; 16]);
                }
            }
            Self::RetiredIds => {
                frames.push(0x19);
                frames.extend_from_slice(&varint(packet + 1));
            }
            Self::Resets => {
                let stream = varint(4 * packet);
                frames.extend_from_slice(&[0x0e, stream[0], stream[1], 1, 1, 65]);
                frames.extend_from_slice(&[0x04, stream[0], stream[1], 0, 2]);
                frames.extend_from_slice(&[0x05, stream[0], stream[1], 0]);
            }
        }
        frames
    }
}

fn trust() -> Arc<AnyCertificate> {
    Arc::new(AnyCertificate::default())
}

const SERVER: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 1, 0, 1), 443);
