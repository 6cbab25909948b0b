//! The server under test: its responder, and what is watched around it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustls::pki_types::PrivateKeyDer;
use tsq_net::{Departure, Engine, Outgoing, Role, ServerConfig, Stamp, tls};
use tsq_proto::HostTime;
use tsq_server::limits::{Limits, Seed, Shared};
use tsq_server::responder::{Link, Responder};
use tsq_server::teller::Teller;

use super::limits::{PACKETS_AT_ONCE, RESPONSES, STREAMS, Traffic};

pub(crate) struct Server {
    responder: Responder<fn() -> HostTime>,
    traffic: Traffic,
}

/// A packet and where it goes or came from.
pub(crate) type Packet = (SocketAddr, Vec<u8>);

/// What the server sends at one moment.
struct Sent<'a> {
    traffic: &'a mut Traffic,
    packets: Vec<Packet>,
    /// Of these, answers that belong to no connection.
    stateless: usize,
}

impl Link for Sent<'_> {
    type Error = Infallible;

    fn send(&mut self, packet: &Outgoing, bytes: &[u8], _: bool) -> Result<Departure, Infallible> {
        self.traffic.sent(packet.remote, bytes.len());
        self.stateless += usize::from(packet.conn.is_none());
        self.packets.push((packet.remote, bytes.to_vec()));
        assert!(
            self.packets.len() < PACKETS_AT_ONCE,
            "the server sends without end"
        );
        Ok(Departure {
            id: None,
            before: clock(),
        })
    }
}

impl Server {
    pub(crate) fn new(now: Instant) -> Self {
        static CONFIG: OnceLock<ServerConfig> = OnceLock::new();
        let engine = Engine::server(CONFIG.get_or_init(config).clone());
        let limits = Limits {
            streams: STREAMS,
            ..Limits::NONE
        };
        let shared = Shared::new(&limits, Seed::new(0)).into();
        let responder = Responder::new(
            now,
            engine,
            Teller::vouching(clock()),
            clock as fn() -> HostTime,
        )
        .limited(now, &limits, 1, shared);
        Self {
            responder,
            traffic: Traffic::default(),
        }
    }

    /// What the server sends on one packet. `genuine`: it came from a real client.
    pub(crate) fn packet(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &[u8],
        stamp: Stamp,
        genuine: bool,
    ) -> Vec<Packet> {
        self.take_in(now, from, packet, stamp, genuine);
        self.sent(now).0
    }

    /// The same with a packet that comes many times before anything is sent.
    pub(crate) fn burst(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &[u8],
        stamp: Stamp,
        count: u8,
    ) -> Vec<Packet> {
        for _ in 0..count {
            self.take_in(now, from, packet, stamp, false);
        }
        let (packets, stateless) = self.sent(now);
        assert!(
            stateless <= RESPONSES,
            "{stateless} stateless answers were kept"
        );
        packets
    }

    /// What the server sends because time has passed.
    pub(crate) fn timeout(&mut self, now: Instant) -> Vec<Packet> {
        self.responder.handle_timeout(now);
        self.sent(now).0
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.responder.poll_timeout()
    }

    /// Nothing may be left of anybody.
    pub(crate) fn is_forgetful(&self) {
        assert_eq!(self.responder.connections(), 0, "connections are left");
        assert_eq!(self.responder.open_streams(), 0, "streams are left");
    }

    fn take_in(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &[u8],
        stamp: Stamp,
        genuine: bool,
    ) {
        self.traffic.received(from, packet.len(), genuine);
        let packet = tsq_net::Packet {
            bytes: packet,
            remote: from,
            local_ip: None,
            stamp,
        };
        self.responder.handle_packet(now, &packet);
    }

    /// Lets it send what it has to; and how much of that belongs to no connection.
    fn sent(&mut self, now: Instant) -> (Vec<Packet>, usize) {
        let mut sent = Sent {
            traffic: &mut self.traffic,
            packets: Vec::new(),
            stateless: 0,
        };
        self.responder.transmit(now, &mut sent);
        let (packets, stateless) = (sent.packets, sent.stateless);
        self.within_limits();
        (packets, stateless)
    }

    fn within_limits(&self) {
        let connections = self.responder.connections();
        assert!(
            connections <= self.traffic.connections_allowed(),
            "{connections} connections"
        );
        let waiting = self.responder.open_streams();
        assert!(
            waiting <= connections * usize::from(STREAMS),
            "{waiting} streams wait on {connections} connections"
        );
    }
}

/// The time that is served stands still: nobody here reads it.
fn clock() -> HostTime {
    HostTime::from_unix_nanos(1_760_000_000_000_000_000)
}

/// How long the server remembers a silent client.
pub(crate) const IDLE: Duration = Duration::from_secs(30);

fn config() -> ServerConfig {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let certified = tls::certified_key(vec![made.cert.der().clone()], key).expect("its key");
    let role = Role::Server {
        streams: STREAMS,
        idle: IDLE,
        buffer: 16 * 1024,
    };
    tls::server(certified, role).expect("a configuration that works")
}
