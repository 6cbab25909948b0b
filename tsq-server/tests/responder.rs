//! A server without a socket: packets handed over in memory, under a clock that stands still.
#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::PrivateKeyDer;
use tsq_dev::AnyCertificate;
use tsq_net::{ConnId, Departure, Engine, Event, Outgoing, Packet, Role, ServerConfig, Stamp, tls};
use tsq_proto::{HostTime, Nonce, Request, Response};
use tsq_server::responder::{Link, Responder};
use tsq_server::rules::Rules;
use tsq_server::teller::Teller;

const T2: HostTime = HostTime::from_unix_nanos(1_795_000_000_000_000_000);
const T3: HostTime = HostTime::from_unix_nanos(1_795_000_000_000_052_000);

/// What is on its way to the client.
#[derive(Default)]
struct Sent(Vec<Vec<u8>>);

impl Link for Sent {
    type Error = Infallible;

    fn send(&mut self, _: &Outgoing, bytes: &[u8], _: bool) -> Result<Departure, Infallible> {
        self.0.push(bytes.to_vec());
        let (id, before) = (None, T3);
        Ok(Departure { id, before })
    }
}

struct Pair<W> {
    now: Instant,
    client: Engine,
    conn: ConnId,
    server: Responder<W>,
    events: Vec<Event>,
}

impl<W: Fn() -> HostTime> Pair<W> {
    fn new(clock: W, rules: Rules) -> Self {
        let (now, mut client) = (Instant::now(), Engine::client());
        let config = tls::client(Arc::new(AnyCertificate::default())).unwrap();
        let conn = client.connect(now, config, address(1), "localhost");
        let engine = Engine::server(server_config());
        Self {
            now,
            conn: conn.unwrap(),
            client,
            server: Responder::new(now, engine, Teller::vouching(T2), clock)
                .with_rules(Arc::new(rules)),
            events: Vec::new(),
        }
    }

    /// Carries packets until nobody has any; how many the server sent.
    fn run(&mut self) -> usize {
        let (mut buffer, mut from_server) = (Vec::new(), 0);
        loop {
            let mut sent = Sent::default();
            let mut quiet = true;
            while self.client.poll_transmit(self.now, &mut buffer).is_some() {
                quiet = false;
                let packet = Packet {
                    bytes: &buffer,
                    remote: address(2),
                    local_ip: None,
                    stamp: Stamp::kernel(T2),
                };
                self.server.handle_packet(self.now, &packet);
                self.server.transmit(self.now, &mut sent);
            }
            from_server += sent.0.len();
            for packet in sent.0 {
                let stamp = Stamp::kernel(T3);
                self.client
                    .handle_packet(self.now, address(1), None, &packet, stamp);
                self.events
                    .extend(std::iter::from_fn(|| self.client.poll_event()));
            }
            if quiet {
                return from_server;
            }
        }
    }
}

#[test]
fn answer_tells_the_packets_stamp_and_the_given_clock() {
    let mut pair = Pair::new(|| T3, Rules::default());
    pair.run();
    let mut request = [0; 64];
    let nonce = Nonce::new([7; 16]);
    let length = Request::new(nonce).encode(&mut request).unwrap();
    pair.client
        .send_datagram(pair.conn, &request[..length])
        .unwrap();
    pair.run();
    let answer = pair.events.iter().find_map(|event| match event {
        Event::Datagram { data, .. } => Some(data),
        _ => None,
    });
    let response = Response::decode(answer.unwrap()).unwrap();
    assert_eq!(response.receive_timestamp(), T2.to_ntp());
    assert_eq!(response.send_timestamp(), T3.to_ntp());
    let counts = pair.server.counters().snapshot();
    assert_eq!((counts.handshakes, counts.datagrams), (1, 1));
}

#[test]
fn packet_from_a_denied_address_is_counted_and_dropped() {
    let rules = Rules::new(&[], &["192.0.2.2".parse().unwrap()]).unwrap();
    let mut pair = Pair::new(|| T3, rules);
    assert_eq!(pair.run(), 0);
    assert_eq!(pair.server.counters().snapshot().denied, 1);
    assert_eq!(pair.server.connections(), 0);
}

#[test]
fn silent_client_is_forgotten_when_the_server_said_it_would_be() {
    let mut pair = Pair::new(|| T3, Rules::default());
    pair.run();
    assert_eq!(pair.server.connections(), 1);
    while let Some(due) = pair.server.poll_timeout() {
        pair.now = pair.now.max(due);
        pair.server.handle_timeout(pair.now);
        pair.server.transmit(pair.now, &mut Sent::default());
        if pair.server.connections() == 0 {
            return;
        }
    }
    panic!("nothing is due, and a connection is left");
}

fn address(last: u8) -> SocketAddr {
    ([192, 0, 2, last], 443).into()
}

fn server_config() -> ServerConfig {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let certified = tls::certified_key(vec![made.cert.der().clone()], key).unwrap();
    let role = Role::Server {
        streams: 16,
        idle: Duration::from_secs(60),
        buffer: 16 * 1024,
    };
    tls::server(certified, role).unwrap()
}
