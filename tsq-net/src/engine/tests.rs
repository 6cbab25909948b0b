//! Two engines, one pretend clock, no socket.

use rustls::pki_types::PrivateKeyDer;
use tsq_dev::AnyCertificate;
use tsq_proto::time::HostTime;

use super::*;
use crate::tls;
use crate::transport::Role;

mod amplification;
mod early;

const SERVER: &str = "10.0.0.1:443";
const CLIENT: &str = "10.0.0.2:5555";

/// Moves packets between a client and a server by hand.
struct Pair {
    now: Instant,
    clock: i64,
    client: Engine,
    server: Engine,
    conn: ConnId,
    /// Packets on their way, with the time they left.
    to_server: VecDeque<Vec<u8>>,
    to_client: VecDeque<Vec<u8>>,
}

impl Pair {
    fn new() -> Self {
        Self::with(tls::client(Arc::new(AnyCertificate::default())).unwrap())
    }

    /// Seeded: a packet number that is skipped by chance is acknowledged at once.
    fn with(config: ClientConfig) -> Self {
        let mut client = Engine::client_seeded([1; 32]);
        client.count_frames();
        let now = Instant::now();
        let conn = client
            .connect(now, config, SERVER.parse().unwrap(), "localhost")
            .unwrap();
        Self {
            now,
            clock: 0,
            client,
            server: Engine::server_seeded(server_config(), [2; 32]),
            conn,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
        }
    }

    fn connected() -> Self {
        let mut pair = Self::new();
        pair.run();
        assert!(matches!(
            pair.client.poll_event(),
            Some(Event::Connected { .. })
        ));
        assert!(matches!(
            pair.server.poll_event(),
            Some(Event::Connected { .. })
        ));
        pair
    }

    /// Collects what both want to send.
    fn collect(&mut self) {
        let mut buffer = Vec::new();
        while self.client.poll_transmit(self.now, &mut buffer).is_some() {
            self.to_server.push_back(buffer.clone());
        }
        while self.server.poll_transmit(self.now, &mut buffer).is_some() {
            self.to_client.push_back(buffer.clone());
        }
    }

    /// Delivers one packet to the server; each delivery has a stamp of its own.
    fn deliver_to_server(&mut self, packet: &[u8]) -> HostTime {
        let stamp = self.tick();
        self.server.handle_packet(
            self.now,
            CLIENT.parse().unwrap(),
            None,
            packet,
            Stamp::kernel(stamp),
        );
        stamp
    }

    fn deliver_to_client(&mut self, packet: &[u8]) -> HostTime {
        let stamp = self.tick();
        self.client.handle_packet(
            self.now,
            SERVER.parse().unwrap(),
            None,
            packet,
            Stamp::kernel(stamp),
        );
        stamp
    }

    fn tick(&mut self) -> HostTime {
        self.clock += 1000;
        self.now += Duration::from_micros(1);
        HostTime::from_unix_nanos(self.clock)
    }

    /// Delivers everything in order until nothing is left to send.
    fn run(&mut self) {
        loop {
            self.collect();
            if let Some(packet) = self.to_server.pop_front() {
                self.deliver_to_server(&packet);
            } else if let Some(packet) = self.to_client.pop_front() {
                self.deliver_to_client(&packet);
            } else {
                return;
            }
        }
    }
}

#[test]
fn handshake_agrees_on_the_drafts_protocol_when_both_are_offered() {
    let mut pair = Pair::new();
    pair.run();
    // tsq: C2
    let Some(Event::Connected { protocol, .. }) = pair.client.poll_event() else {
        panic!("not connected");
    };
    assert_eq!(protocol, tls::ALPN_DRAFT);
}

/// What the server repeats of its handshake is no sign that ours arrived.
#[test]
fn server_is_heard_once_the_whole_handshake_has_reached_it() {
    let mut pair = Pair::new();
    pair.collect();
    for packet in std::mem::take(&mut pair.to_server) {
        pair.deliver_to_server(&packet);
    }
    for _ in 0..5 {
        pair.collect();
        // All that the client answers is lost.
        pair.to_server.clear();
        for packet in std::mem::take(&mut pair.to_client) {
            pair.deliver_to_client(&packet);
        }
        pair.now += Duration::from_secs(1);
        pair.server.handle_timeout(pair.now);
    }
    let connected = pair.client.poll_event();
    assert!(matches!(connected, Some(Event::Connected { .. })));
    assert_eq!(pair.client.heard(pair.conn), 0);

    pair.client.handle_timeout(pair.now);
    pair.run();
    let heard = pair.client.heard(pair.conn);
    assert_ne!(heard, 0);
    pair.client.send_datagram(pair.conn, b"?").unwrap();
    pair.run();
    assert_eq!(
        pair.client.heard(pair.conn),
        heard,
        "an acknowledgement waits"
    );
    pair.now += Duration::from_millis(100);
    pair.server.handle_timeout(pair.now);
    pair.run();
    assert_ne!(pair.client.heard(pair.conn), heard);
}

#[test]
fn each_datagram_carries_the_stamp_of_its_own_packet() {
    let mut pair = Pair::connected();
    for text in ["one", "two", "three"] {
        pair.client
            .send_datagram(pair.conn, text.as_bytes())
            .unwrap();
        let mut buffer = Vec::new();
        let out = pair.client.poll_transmit(pair.now, &mut buffer).unwrap();
        assert_eq!(
            out.carries,
            Carries {
                datagrams: 1,
                stream_frames: 0
            }
        );
        pair.to_server.push_back(buffer);
    }
    // The network turns them round.
    let packets: Vec<_> = pair.to_server.drain(..).rev().collect();
    for (packet, text) in packets.iter().zip(["three", "two", "one"]) {
        let arrived = pair.deliver_to_server(packet);
        let Some(Event::Datagram { data, stamp, .. }) = pair.server.poll_event() else {
            panic!("no datagram");
        };
        assert_eq!(data, text.as_bytes());
        assert_eq!(stamp, Stamp::kernel(arrived));
    }
}

#[test]
fn request_that_overtakes_the_handshake_keeps_its_own_stamp() {
    let mut pair = Pair::new();
    // Client hello, server's flight.
    pair.collect();
    while let Some(packet) = pair.to_server.pop_front() {
        pair.deliver_to_server(&packet);
    }
    pair.collect();
    while let Some(packet) = pair.to_client.pop_front() {
        pair.deliver_to_client(&packet);
    }
    pair.collect();
    let last_of_handshake: Vec<_> = pair.to_server.drain(..).collect();
    pair.client.send_datagram(pair.conn, b"early").unwrap();
    pair.collect();
    let requests: Vec<_> = pair.to_server.drain(..).collect();
    let mut arrivals = Vec::new();
    for packet in &requests {
        arrivals.push(pair.deliver_to_server(packet));
        assert!(
            pair.server.poll_event().is_none(),
            "nothing can be read before the handshake ends"
        );
    }
    for packet in &last_of_handshake {
        pair.deliver_to_server(packet);
    }
    assert!(matches!(
        pair.server.poll_event(),
        Some(Event::Connected { .. })
    ));
    let Some(Event::Datagram { data, stamp, .. }) = pair.server.poll_event() else {
        panic!("the early request was lost");
    };
    assert_eq!(&data[..], b"early");
    assert!(arrivals.contains(&stamp.time), "{stamp:?} {arrivals:?}");
}

#[test]
fn message_sent_on_connecting_rides_with_the_end_of_the_handshake() {
    let mut pair = Pair::new();
    pair.collect();
    while let Some(packet) = pair.to_server.pop_front() {
        pair.deliver_to_server(&packet);
    }
    pair.collect();
    while let Some(packet) = pair.to_client.pop_front() {
        pair.deliver_to_client(&packet);
        while let Some(event) = pair.client.poll_event() {
            if matches!(event, Event::Connected { .. }) {
                pair.client.send_datagram(pair.conn, b"now").unwrap();
            }
        }
    }
    let mut buffer = Vec::new();
    let out = pair.client.poll_transmit(pair.now, &mut buffer).unwrap();
    assert_eq!(
        out.carries.datagrams, 1,
        "the request waits for no further round trip"
    );
}

#[test]
fn stream_message_and_its_end_come_as_one_event() {
    let mut pair = Pair::connected();
    let stream = pair.client.open_stream(pair.conn, b"ask", true).unwrap();
    pair.run();
    let Some(Event::Stream {
        conn,
        stream: theirs,
        data,
        finished,
        ..
    }) = pair.server.poll_event()
    else {
        panic!("no stream");
    };
    assert_eq!((theirs, &data[..], finished), (stream, &b"ask"[..], true));
    pair.server
        .send_stream(conn, theirs, b"answer", true)
        .unwrap();
    pair.run();
    let Some(Event::Stream {
        data,
        finished: true,
        ..
    }) = pair.client.poll_event()
    else {
        panic!("no answer");
    };
    assert_eq!(&data[..], b"answer");
}

#[test]
fn stream_is_told_of_though_nothing_came_on_it() {
    let mut pair = Pair::connected();
    let first = pair.client.open_stream(pair.conn, b"", false).unwrap();
    // Its number alone says that there is one before it.
    let second = pair.client.open_stream(pair.conn, b"ask", false).unwrap();
    pair.run();
    let mut told = Vec::new();
    while let Some(event) = pair.server.poll_event() {
        if let Event::Stream {
            stream,
            data,
            finished,
            ..
        } = event
        {
            told.push((stream, data.to_vec(), finished));
        }
    }
    assert_eq!(
        told,
        [(first, vec![], false), (second, b"ask".to_vec(), false)]
    );
}

#[test]
fn stopped_streams_give_their_credit_back() {
    let mut pair = Pair::connected();
    for _ in 0..100 {
        // A client that never finishes its side.
        pair.client.open_stream(pair.conn, b"ask", false).unwrap();
        pair.run();
        let Some(Event::Stream { conn, stream, .. }) = pair.server.poll_event() else {
            panic!("no stream");
        };
        pair.server
            .send_stream(conn, stream, b"answer", true)
            .unwrap();
        pair.server.stop_stream(conn, stream);
        pair.run();
        while pair.client.poll_event().is_some() {}
        while pair.server.poll_event().is_some() {}
    }
}

#[test]
fn closed_connection_is_forgotten_and_its_id_names_nothing() {
    let mut pair = Pair::connected();
    pair.client.close(pair.now, pair.conn, 0, "done");
    pair.run();
    let Some(Event::Closed { conn, reason }) = pair.server.poll_event() else {
        panic!("not closed");
    };
    assert_eq!(
        reason,
        CloseReason::ByPeer {
            code: 0,
            reason: "done".into()
        }
    );
    // Three probe timeouts later both have forgotten it.
    for _ in 0..50 {
        pair.now += Duration::from_millis(100);
        pair.client.handle_timeout(pair.now);
        pair.server.handle_timeout(pair.now);
        pair.run();
    }
    assert_eq!(
        (pair.client.connections(), pair.server.connections()),
        (0, 0)
    );
    assert_eq!(
        pair.client.send_datagram(pair.conn, b"x"),
        Err(SendError::Closed)
    );
    assert_eq!(
        pair.server.open_stream(conn, b"x", true),
        Err(OpenError::Closed)
    );
    assert_eq!(pair.client.poll_timeout(), None);
}

#[test]
fn lost_handshake_packet_is_sent_again_within_a_tenth_of_a_second() {
    let mut pair = Pair::new();
    pair.collect();
    pair.to_server.clear();
    let start = pair.now;
    let due = pair.client.poll_timeout().unwrap();
    assert!(
        due - start <= Duration::from_millis(100),
        "{:?}",
        due - start
    );
    pair.now = due;
    pair.client.handle_timeout(due);
    pair.run();
    assert!(matches!(
        pair.client.poll_event(),
        Some(Event::Connected { .. })
    ));
}

// tsq: C1
#[test]
fn other_quic_versions_are_offered_version_1_alone() {
    let mut pair = Pair::new();
    pair.collect();
    let mut hello = pair.to_server.pop_front().unwrap();
    hello[1..5].copy_from_slice(&0xff00_001d_u32.to_be_bytes());
    pair.deliver_to_server(&hello);
    pair.collect();
    let answer = pair
        .to_client
        .pop_front()
        .expect("a version negotiation packet");
    assert_eq!(answer[1..5], [0; 4]);
    let ids = 6 + usize::from(answer[5]);
    let versions = &answer[ids + 1 + usize::from(answer[ids])..];
    // One is a reserved number that keeps clients honest (RFC 9000, section 15).
    assert_eq!(versions.len(), 8);
    assert_eq!(versions[4..], 1_u32.to_be_bytes());
}

#[test]
fn server_heeds_no_packet_that_only_servers_send() {
    let as_retry = |packet: &mut Vec<u8>| packet[0] |= 0x30;
    let as_versions = |packet: &mut Vec<u8>| packet[4] = 0;
    for forge in [as_retry as fn(&mut Vec<u8>), as_versions] {
        let mut pair = Pair::new();
        pair.collect();
        let hello = pair.to_server.pop_front().unwrap();
        pair.deliver_to_server(&hello);
        pair.collect();
        while let Some(packet) = pair.to_client.pop_front() {
            pair.deliver_to_client(&packet);
        }
        pair.collect();
        // What the client sends next, turned into a Retry, then into a Version Negotiation.
        let mut forged = pair.to_server[0].clone();
        forge(&mut forged);
        pair.deliver_to_server(&forged);
        pair.run();
        assert!(matches!(
            pair.server.poll_event(),
            Some(Event::Connected { .. })
        ));
        assert!(matches!(
            pair.client.poll_event(),
            Some(Event::Connected { .. })
        ));
    }
}

#[test]
fn arbitrary_bytes_leave_no_state() {
    let mut server = Engine::server(server_config());
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for length in 0..1500_usize {
        let packet: Vec<u8> = (0..length)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 33) as u8
            })
            .collect();
        let stamp = Stamp::user(HostTime::from_unix_nanos(0));
        server.handle_packet(
            Instant::now(),
            CLIENT.parse().unwrap(),
            None,
            &packet,
            stamp,
        );
    }
    assert_eq!(server.connections(), 0);
    assert!(server.poll_event().is_none());
    assert!(server.responses.len() <= QUEUED_RESPONSES);
}

fn server_config() -> ServerConfig {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let certified = tls::certified_key(vec![made.cert.der().clone()], key).unwrap();
    tls::server(certified, ROLE).unwrap()
}

const ROLE: Role = Role::Server {
    streams: 16,
    idle: Duration::from_secs(30),
    buffer: 16 * 1024,
};

#[test]
fn datagrams_count_as_unsent_until_a_packet_takes_them_away() {
    let mut pair = Pair::connected();
    let mut buffer = Vec::new();
    assert!(!pair.client.has_unsent_datagrams(pair.conn));
    for _ in 0..2 {
        pair.client.send_datagram(pair.conn, &[7; 20]).unwrap();
        assert!(pair.client.has_unsent_datagrams(pair.conn));
    }
    let out = pair.client.poll_transmit(pair.now, &mut buffer).unwrap();
    assert_eq!(out.carries.datagrams, 2);
    assert!(!pair.client.has_unsent_datagrams(pair.conn));
}

#[test]
fn frames_of_one_connection_are_counted_when_asked_for() {
    let mut pair = Pair::connected();
    let Some(Event::Datagram { conn, .. }) = ({
        pair.client.send_datagram(pair.conn, b"?").unwrap();
        pair.run();
        pair.server.poll_event()
    }) else {
        panic!("no datagram came");
    };
    let mut buffer = Vec::new();
    let mut carried = |pair: &mut Pair| {
        pair.server.send_datagram(conn, b"!").unwrap();
        let out = pair.server.poll_transmit(pair.now, &mut buffer).unwrap();
        out.carries.datagrams
    };
    assert_eq!(carried(&mut pair), 0);
    pair.server.count_frames_of(conn);
    assert_eq!(carried(&mut pair), 1);
}
