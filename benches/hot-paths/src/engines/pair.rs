//! A client and a server whose packets we carry.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tsq_net::{ClientConfig, ConnId, Engine, Event, Stamp};
use tsq_proto::HostTime;

use super::trust;

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Datagram,
    Stream,
}

/// What a server does with a request that came at a time: writes an answer of the length it returns.
pub(super) type Answer = fn(&[u8], HostTime, &mut [u8]) -> usize;

pub(super) struct Pair {
    client: End,
    server: End,
    network: Network,
    config: ClientConfig,
    conn: Option<ConnId>,
}

/// An engine and its address.
struct End {
    engine: Engine,
    address: SocketAddr,
}

/// Takes packets across in no time.
struct Network {
    /// Only differences count.
    now: Instant,
    /// Each packet that arrives has a stamp of its own.
    clock: i64,
    packet: Vec<u8>,
}

impl Pair {
    /// What QUIC leaves to chance comes from seeds: when keys change would be a percent of an exchange's count.
    pub(super) fn new() -> Self {
        let (config, server) = trust::configurations();
        Self {
            client: End {
                engine: Engine::client_seeded([1; 32]),
                address: ([10, 0, 0, 2], 5555).into(),
            },
            server: End {
                engine: Engine::server_seeded(server, [2; 32]),
                address: ([10, 0, 0, 1], 443).into(),
            },
            network: Network {
                now: Instant::now(),
                clock: 0,
                packet: Vec::new(),
            },
            config,
            conn: None,
        }
    }

    /// A whole handshake.
    pub(super) fn connect(&mut self) {
        let (now, config, server) = (self.network.now, self.config.clone(), self.server.address);
        let client = &mut self.client.engine;
        let conn = client.connect(now, config, server, "localhost");
        self.conn = Some(conn.expect("an address to connect to"));
        let (mut client, mut server) = (false, false);
        let is_connected = |event: &Event| matches!(event, Event::Connected { .. });
        self.run(
            |_, event| client |= is_connected(&event),
            |_, event| server |= is_connected(&event),
        );
        assert!(client && server);
    }

    /// Closes the connection, and waits until nothing is left of it on either side.
    pub(super) fn forget(&mut self) {
        let conn = self.conn.take().expect("connected before");
        self.client.engine.close(self.network.now, conn, 0, "done");
        while self.client.engine.connections() + self.server.engine.connections() > 0 {
            self.run(|_, _| {}, |_, _| {});
            self.wait(Duration::from_millis(100));
        }
        self.run(|_, _| {}, |_, _| {});
    }

    /// One request and its answer, whose length it returns; a millisecond passes after it.
    pub(super) fn exchange(
        &mut self,
        transport: Transport,
        request: &[u8],
        answer: Answer,
    ) -> usize {
        let (conn, client) = (
            self.conn.expect("connected before"),
            &mut self.client.engine,
        );
        match transport {
            Transport::Datagram => client.send_datagram(conn, request).expect("room for it"),
            Transport::Stream => {
                client
                    .open_stream(conn, request, true)
                    .expect("leave for a stream");
            }
        }
        let mut answered = 0;
        self.run(
            |_, event| answered += message(&event).len(),
            |server, event| reply(server, &event, answer),
        );
        self.wait(Duration::from_millis(1));
        answered
    }

    fn wait(&mut self, time: Duration) {
        self.network.now += time;
        for engine in [&mut self.client.engine, &mut self.server.engine] {
            if engine
                .poll_timeout()
                .is_some_and(|due| due <= self.network.now)
            {
                engine.handle_timeout(self.network.now);
            }
        }
    }

    /// Carries packets both ways until nobody has anything to send, and shows each side its events.
    fn run(
        &mut self,
        mut client: impl FnMut(&mut Engine, Event),
        mut server: impl FnMut(&mut Engine, Event),
    ) {
        let Self {
            client: here,
            server: there,
            network,
            ..
        } = self;
        while network.carry(here, there, &mut server) | network.carry(there, here, &mut client) {}
    }
}

impl Network {
    /// Whether there was anything to carry.
    fn carry(
        &mut self,
        from: &mut End,
        to: &mut End,
        see: &mut impl FnMut(&mut Engine, Event),
    ) -> bool {
        let mut any = false;
        while from
            .engine
            .poll_transmit(self.now, &mut self.packet)
            .is_some()
        {
            any = true;
            self.clock += 1_000;
            let stamp = Stamp::kernel(HostTime::from_unix_nanos(self.clock));
            to.engine
                .handle_packet(self.now, from.address, None, &self.packet, stamp);
            while let Some(event) = to.engine.poll_event() {
                see(&mut to.engine, event);
            }
        }
        any
    }
}

fn reply(server: &mut Engine, event: &Event, answer: Answer) {
    let mut out = [0; 128];
    let mut answer = |data, stamp: &Stamp| answer(data, stamp.time, &mut out);
    match event {
        Event::Datagram { conn, data, stamp } => {
            let len = answer(data, stamp);
            server
                .send_datagram(*conn, &out[..len])
                .expect("room for it");
        }
        Event::Stream {
            conn,
            stream,
            data,
            stamp,
            ..
        } if !data.is_empty() => {
            let len = answer(data, stamp);
            server
                .send_stream(*conn, *stream, &out[..len], true)
                .expect("room for it");
        }
        _ => {}
    }
}

fn message(event: &Event) -> &[u8] {
    match event {
        Event::Datagram { data, .. } | Event::Stream { data, .. } => data,
        _ => &[],
    }
}
