//! What strangers can make a server send to others, over the whole life of an attempt.

use std::collections::HashMap;

use super::*;

/// A server and everything that came and went, by address. Its clock only goes when told.
struct Watched {
    now: Instant,
    server: Engine,
    received: HashMap<SocketAddr, usize>,
    sent: HashMap<SocketAddr, usize>,
}

impl Watched {
    fn new(config: ServerConfig) -> Self {
        Self {
            now: Instant::now(),
            server: Engine::server(config),
            received: HashMap::new(),
            sent: HashMap::new(),
        }
    }

    /// Gives the server a packet; what it sends at once.
    fn packet(&mut self, from: SocketAddr, packet: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
        *self.received.entry(from).or_default() += packet.len();
        let stamp = Stamp::user(HostTime::from_unix_nanos(0));
        self.server
            .handle_packet(self.now, from, None, packet, stamp);
        self.transmits()
    }

    fn transmits(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut sent = Vec::new();
        let mut buffer = Vec::new();
        while let Some(out) = self.server.poll_transmit(self.now, &mut buffer) {
            *self.sent.entry(out.remote).or_default() += buffer.len();
            sent.push((out.remote, buffer.clone()));
        }
        sent
    }

    /// Lets the server's next timer run out; false when it has none.
    fn timeout(&mut self) -> bool {
        let Some(at) = self.server.poll_timeout() else {
            return false;
        };
        self.now = at;
        self.server.handle_timeout(at);
        true
    }

    /// Runs all timers until the server has forgotten everybody.
    fn live_out(&mut self) {
        while self.timeout() {
            self.transmits();
        }
        assert_eq!(self.server.connections(), 0);
    }

    fn received_from(&self, address: SocketAddr) -> usize {
        self.received.get(&address).copied().unwrap_or(0)
    }

    fn sent_to(&self, address: SocketAddr) -> usize {
        self.sent.get(&address).copied().unwrap_or(0)
    }

    #[track_caller]
    fn within_three_times(&self, address: SocketAddr) {
        let (sent, received) = (self.sent_to(address), self.received_from(address));
        assert!(
            sent <= 3 * received,
            "{sent} bytes to {address}, which sent {received}"
        );
    }
}

/// The first packet of a client that is never heard again.
fn initial() -> Vec<u8> {
    let mut pair = Pair::new();
    pair.collect();
    let initial = pair
        .to_server
        .pop_front()
        .expect("a client begins with a packet");
    assert_eq!(initial.len(), 1200);
    initial
}

fn victim(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

// tsq: M9
#[test]
fn a_spoofed_initial_brings_its_victim_at_most_three_times_its_length() {
    for length in (1200..=1500).step_by(20) {
        let mut watched = Watched::new(server_config());
        let mut packet = initial();
        packet.resize(length, 0);
        watched.packet(victim(1), &packet);
        watched.live_out();
        watched.within_three_times(victim(1));
        // It did answer, and repeat what was not acknowledged.
        assert!(
            watched.sent_to(victim(1)) > 2400,
            "{}",
            watched.sent_to(victim(1))
        );
    }
}

// tsq: M9
#[test]
fn repeating_the_initial_brings_no_more_than_it_costs() {
    for repeats in [1, 2, 5, 20] {
        let mut watched = Watched::new(server_config());
        let packet = initial();
        watched.packet(victim(1), &packet);
        for _ in 0..repeats {
            watched.timeout();
            watched.transmits();
            watched.within_three_times(victim(1));
            watched.packet(victim(1), &packet);
            watched.within_three_times(victim(1));
        }
        watched.live_out();
        watched.within_three_times(victim(1));
    }
}

// tsq: M9
#[test]
fn garbage_counts_for_the_address_it_came_from_alone() {
    let mut watched = Watched::new(server_config());
    let packet = initial();
    watched.packet(victim(1), &packet);
    // The attacker's own address pays for packets that quinn-proto counts for the connection's.
    let mut garbage = packet.clone();
    garbage[100..].fill(0x5a);
    for _ in 0..20 {
        watched.packet(victim(2), &garbage);
        watched.timeout();
        watched.transmits();
    }
    watched.live_out();
    watched.within_three_times(victim(1));
    watched.within_three_times(victim(2));
}

#[test]
fn bytes_that_come_later_release_what_was_held_back() {
    let mut watched = Watched::new(server_config());
    let packet = initial();
    watched.packet(victim(1), &packet);
    for _ in 0..3 {
        watched.timeout();
        watched.transmits();
    }
    let before = watched.sent_to(victim(1));
    assert!((2400..=3600).contains(&before), "{before}");
    let released = watched.packet(victim(1), &packet);
    assert!(!released.is_empty(), "the packet that was held back");
    watched.within_three_times(victim(1));
}

#[test]
fn a_chain_of_more_than_3600_bytes_still_gets_through() {
    let mut watched = Watched::new(config_with_names(300));
    let mut client = Engine::client();
    let config = tls::client(Arc::new(AnyCertificate::default())).unwrap();
    let conn = client
        .connect(watched.now, config, SERVER.parse().unwrap(), "localhost")
        .unwrap();
    let home: SocketAddr = CLIENT.parse().unwrap();
    let mut connected = false;
    let mut buffer = Vec::new();
    // Half a second each way: the server repeats what it sent before the client is heard again.
    for _ in 0..20 {
        let mut to_server = Vec::new();
        while client.poll_transmit(watched.now, &mut buffer).is_some() {
            to_server.push(buffer.clone());
        }
        let mut to_client = Vec::new();
        for packet in &to_server {
            to_client.append(&mut watched.packet(home, packet));
        }
        let later = watched.now + Duration::from_millis(500);
        while watched.server.poll_timeout().is_some_and(|at| at <= later) {
            watched.timeout();
            to_client.append(&mut watched.transmits());
        }
        watched.now = later;
        for (_, packet) in &to_client {
            let stamp = Stamp::user(HostTime::from_unix_nanos(0));
            client.handle_packet(watched.now, SERVER.parse().unwrap(), None, packet, stamp);
        }
        client.handle_timeout(watched.now);
        while let Some(event) = client.poll_event() {
            connected |= matches!(event, Event::Connected { .. });
        }
        if connected {
            break;
        }
        if watched.received_from(home) == 1200 {
            watched.within_three_times(home);
        }
    }
    assert!(connected, "{conn:?}");
    assert!(watched.sent_to(home) > 3600, "the chain is long");
}

/// A client at home with the server, and its packets.
struct Moving {
    watched: Watched,
    client: Engine,
    conn: ConnId,
    home: SocketAddr,
}

impl Moving {
    fn connected() -> Self {
        let pair = Pair::connected();
        let mut watched = Watched::new(server_config());
        watched.server = pair.server;
        watched.now = pair.now;
        Self {
            watched,
            client: pair.client,
            conn: pair.conn,
            home: CLIENT.parse().unwrap(),
        }
    }

    /// A packet with a request, as it leaves the client.
    fn request(&mut self) -> Vec<u8> {
        self.client.send_datagram(self.conn, &[7; 18]).unwrap();
        let mut buffer = Vec::new();
        self.client
            .poll_transmit(self.watched.now, &mut buffer)
            .expect("nothing limits a single request");
        buffer
    }

    /// The server answers everything it was asked.
    fn answer(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut sent = Vec::new();
        while let Some(event) = self.watched.server.poll_event() {
            if let Event::Datagram { conn, .. } = event {
                let _ = self.watched.server.send_datagram(conn, &[8; 38]);
            }
            sent.append(&mut self.watched.transmits());
        }
        sent
    }

    /// What the server sends when it has all that the client has to send, from `from`.
    fn reply(&mut self, from: SocketAddr) -> Vec<(SocketAddr, Vec<u8>)> {
        let (mut sent, mut buffer) = (Vec::new(), Vec::new());
        while self
            .client
            .poll_transmit(self.watched.now, &mut buffer)
            .is_some()
        {
            sent.append(&mut self.watched.packet(from, &buffer.clone()));
            sent.append(&mut self.answer());
        }
        sent
    }

    /// Everybody but home, which is known to read, together.
    #[track_caller]
    fn all_within_three_times(&self) {
        let sent = self.watched.sent.iter();
        let sent: usize = sent
            .filter(|(to, _)| **to != self.home)
            .map(|(_, n)| n)
            .sum();
        // And what it sent to connect, before this began: one Initial is the least.
        let received = 1200 + self.watched.received.values().sum::<usize>();
        assert!(
            sent <= 3 * received,
            "{sent} bytes to others for {received}"
        );
    }

    /// Answers that reach the client.
    fn deliver(&mut self, packets: &[(SocketAddr, Vec<u8>)]) -> usize {
        let mut answers = 0;
        for (_, packet) in packets {
            let stamp = Stamp::user(HostTime::from_unix_nanos(0));
            self.client.handle_packet(
                self.watched.now,
                SERVER.parse().unwrap(),
                None,
                packet,
                stamp,
            );
            while let Some(event) = self.client.poll_event() {
                answers += usize::from(matches!(event, Event::Datagram { .. }));
            }
        }
        answers
    }
}

// tsq: M9
#[test]
fn a_client_that_seems_to_move_brings_others_at_most_three_times_what_it_sends() {
    let mut moving = Moving::connected();
    for port in 1..=50 {
        // From here and there in turn, and from one of the victims again and again.
        for from in [victim(port), victim(1), moving.home] {
            let packet = moving.request();
            let mut sent = moving.watched.packet(from, &packet);
            sent.append(&mut moving.answer());
            moving.all_within_three_times();
        }
        if port % 10 == 0 {
            moving.watched.timeout();
            moving.watched.transmits();
        }
    }
    moving.watched.live_out();
    moving.all_within_three_times();
}

// tsq: M9
#[test]
fn a_client_that_never_shows_it_moved_brings_others_two_packets_at_most_for_nothing() {
    let mut moving = Moving::connected();
    let packets: Vec<_> = (0..100).map(|_| moving.request()).collect();
    for (port, packet) in (1..).zip(&packets) {
        moving.watched.packet(victim(port), packet);
        moving.answer();
    }
    moving.watched.live_out();
    let more: usize = (1..=100)
        .map(|port| {
            let sent = moving.watched.sent_to(victim(port));
            sent.saturating_sub(3 * moving.watched.received_from(victim(port)))
        })
        .sum();
    assert!(more <= 2400, "{more} bytes beyond three times");
    assert!(more > 0, "a client that did move would have heard nothing");
}

// tsq: C6 M9
#[test]
fn a_client_that_moved_has_every_answer_at_once() {
    let mut moving = Moving::connected();
    // Its port is another one for every request, as behind a router that forgets soon.
    for port in 1..=20 {
        let packet = moving.request();
        let mut sent = moving.watched.packet(victim(port), &packet);
        sent.append(&mut moving.answer());
        let mut answers = 0;
        while !sent.is_empty() {
            sent.retain(|(to, _)| *to == victim(port));
            answers += moving.deliver(&sent);
            sent = moving.reply(victim(port));
        }
        assert_eq!(answers, 1, "from port {port}");
        moving.watched.now += Duration::from_millis(20);
    }
}

// tsq: M9
#[test]
fn a_small_probe_from_elsewhere_is_not_answered_with_a_large_packet() {
    let mut guard = Guard::new(victim(1), 1200, true);
    guard.received(victim(2), 60);
    guard.handled(victim(1), 60);
    assert_eq!(guard.weigh(victim(2), 1200, true), Weight::Drop);
    // Both sides of the boundary.
    guard.received(victim(2), 339);
    assert_eq!(guard.weigh(victim(2), 1200, true), Weight::Drop);
    guard.received(victim(2), 1);
    assert_eq!(guard.weigh(victim(2), 1200, true), Weight::Send);
    assert_eq!(guard.weigh(victim(2), 1, true), Weight::Drop);
}

/// A server whose certificate carries this many names.
fn config_with_names(count: usize) -> ServerConfig {
    let names: Vec<String> = (0..count).map(|n| format!("host-{n}.example")).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let chain = vec![made.cert.der().clone()];
    assert!(chain[0].len() > 3600, "{}", chain[0].len());
    tls::server(tls::certified_key(chain, key).unwrap(), ROLE).unwrap()
}
