//! Clients that are not what a server would like to have.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use tsq_client::Trust;
use tsq_interop::Server;
use tsq_net::tls::Sessions;
use tsq_net::{Batch, ClientConfig, ConnId, Engine, Event, SendOptions, Socket, wait};
use tsq_perf::Believed;

/// Far beyond what any machine needs.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Any number of connections from one address of this host, which are moved by hand.
pub(crate) struct Caller {
    pub(crate) engine: Engine,
    socket: Socket,
    server: SocketAddr,
    config: ClientConfig,
    batch: Batch,
    buffer: Vec<u8>,
}

impl Caller {
    /// Calls `server` from `from`.
    pub(crate) fn new(server: &Server, from: impl Into<IpAddr>) -> Self {
        Self {
            engine: Engine::client(),
            socket: Socket::bind((from.into(), 0).into()).expect("an address of ours"),
            server: server.address(),
            config: believed(server).config(Sessions::Forget).expect("trust"),
            batch: Batch::new(),
            buffer: Vec::new(),
        }
    }

    /// Begins a connection. Nothing is sent yet.
    pub(crate) fn begin(&mut self) -> ConnId {
        let config = self.config.clone();
        self.engine
            .connect(Instant::now(), config, self.server, "server")
            .expect("an address to connect to")
    }

    /// Ends one, and tells the server.
    pub(crate) fn end(&mut self, conn: ConnId) {
        self.engine.close(Instant::now(), conn, 0, "done");
        self.send();
    }

    /// Sends what is to be sent.
    pub(crate) fn send(&mut self) {
        while let Some(packet) = self.next_packet() {
            // A full buffer is the network's loss.
            let _ = self
                .socket
                .send(self.server, &packet, SendOptions::default());
        }
    }

    /// The next packet to send.
    pub(crate) fn next_packet(&mut self) -> Option<Vec<u8>> {
        self.engine
            .poll_transmit(Instant::now(), &mut self.buffer)?;
        Some(self.buffer.clone())
    }

    /// Sends, and takes in packets that `wanted` likes, which gets their bytes; waits a little for them.
    pub(crate) fn turn(&mut self, wanted: impl Fn(&[u8]) -> bool) {
        self.send();
        let brief = Some(Duration::from_millis(5));
        wait(&[&self.socket], None, brief).expect("a socket to wait for");
        let count = self.socket.receive(&mut self.batch).unwrap_or(0);
        for packet in (0..count).filter_map(|i| self.batch.packet(i)) {
            if wanted(packet.bytes) {
                let (now, stamp) = (Instant::now(), packet.stamp);
                self.engine
                    .handle_packet(now, packet.remote, None, packet.bytes, stamp);
            }
        }
        self.engine.handle_timeout(Instant::now());
        self.send();
    }

    /// Makes a connection: None when the server does not want it.
    #[track_caller]
    pub(crate) fn connect(&mut self) -> Option<ConnId> {
        let wanted = self.begin();
        let begun = Instant::now();
        loop {
            self.turn(|_| true);
            while let Some(event) = self.engine.poll_event() {
                match event {
                    Event::Connected { conn, .. } if conn == wanted => return Some(conn),
                    Event::Closed { conn, .. } if conn == wanted => return None,
                    _ => {}
                }
            }
            assert!(begun.elapsed() < LIMIT, "neither connected nor refused");
        }
    }
}

/// Whether it is a Retry packet (RFC 9000, section 17.2.5).
pub(crate) fn is_retry(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first & 0xf0 == 0xf0)
}

pub(crate) fn believed(server: &Server) -> Believed {
    let trust = Trust::pins(vec![server.pin().parse().expect("a pin")]);
    Believed::new(&trust, "server").expect("trust without roots")
}

/// First packets of `count` connections: whole and right, and nobody stands behind them.
pub(crate) fn initials(server: &Server, count: usize) -> Vec<Vec<u8>> {
    let mut caller = Caller::new(server, Ipv4Addr::LOCALHOST);
    (0..count)
        .map(|_| {
            caller.begin();
            let packet = caller
                .next_packet()
                .expect("a connection begins by a packet");
            while caller.next_packet().is_some() {}
            packet
        })
        .collect()
}

/// Sends `packet` to `server` from the `source`th address of 127.128.0.0/9, which then reads nothing.
pub(crate) fn send_from(source: u32, server: SocketAddr, packet: &[u8]) {
    let first = u32::from(Ipv4Addr::new(127, 128, 0, 1));
    let from = IpAddr::from(Ipv4Addr::from(first + source));
    let socket = UdpSocket::bind((from, 0)).expect("any address of 127.0.0.0/8 is ours");
    // A full buffer is the network's loss.
    let _ = socket.send_to(packet, server);
}

/// A number of the environment, or what is usual.
pub(crate) fn option(name: &str, usual: u32) -> u32 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => usual,
    }
}

/// Tries until it is true.
#[track_caller]
pub(crate) fn until(mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < LIMIT, "it never was");
    }
}
