//! An address is no oracle for the stateless resets of another address's connections.
#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::PrivateKeyDer;
use tsq_dev::AnyCertificate;
use tsq_host::newest::Newest;
use tsq_host::own_clock::{self, Overrides, OwnClock};
use tsq_net::{
    Batch, CloseReason, ConnId, Engine, Event, Role, SendOptions, ServerConfig, ServerSecret,
    Shard, Socket, Stamp, tls, wait,
};
use tsq_server::limits::{Limits, Seed, Shared};
use tsq_server::listen::Served;
use tsq_server::rules::Rules;
use tsq_server::telling::Telling;

/// Far beyond what any machine needs.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn reset_of_one_address_ends_no_connection_of_another() {
    let secret = ServerSecret::random().unwrap();
    let config = Arc::new(config());
    let limits = Limits::NONE;
    let served = Served {
        clients: None,
        config: Arc::clone(&config),
        secret: secret.clone(),
        telling: telling(),
        rules: Arc::<Rules>::default(),
        threads: 1,
        limits,
        shared: Arc::new(Shared::new(&limits, Seed::random())),
    };
    let any = (Ipv4Addr::LOCALHOST, 0).into();
    let (mut addresses, mut running) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let (listener, services) = served.bind(any, &[]).unwrap();
        addresses.push(listener.address());
        for service in services {
            let stopper = service.stopper();
            running.push((stopper, std::thread::spawn(move || service.run())));
        }
    }
    let (one, other) = (addresses[0], addresses[1]);
    let mut client = Client::connect(one);
    let id = client.id_in_use();
    let unknown = [&[0x40][..], &id, &[7; 60]].concat();

    let reset = ask(other, &unknown);
    assert!(reset.len() >= 21, "no reset");
    client.receive(&reset);
    assert_eq!(client.ended(), None, "by the reset of another address");

    // Its own ends it, from whatever process has the secret: so this test can fail.
    let shard = Shard::all(1, tsq_net::Generation::Even).unwrap().next();
    let mut own = Engine::shard(config, &secret.at(one), shard.unwrap());
    let (now, mut reset) = (Instant::now(), Vec::new());
    own.handle_packet(now, any, None, &unknown, Stamp::user(tsq_net::now()));
    assert!(own.poll_transmit(now, &mut reset).is_some());
    client.receive(&reset);
    assert_eq!(client.ended(), Some(CloseReason::Reset));

    for (stopper, thread) in running {
        stopper.stop();
        thread.join().unwrap().unwrap();
    }
}

/// Vouches for the clock.
fn telling() -> Telling {
    let overrides = Overrides {
        vouched: true,
        ..Overrides::default()
    };
    let clock = own_clock::Shared::new(OwnClock::picture(None, None, &overrides));
    let keys = Newest::holding(Arc::default());
    Telling::new(clock, keys, Arc::default(), tsq_net::now()).unwrap()
}

/// What comes back, however often it takes.
fn ask(address: SocketAddr, packet: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let patience = Some(Duration::from_millis(500));
    socket.set_read_timeout(patience).unwrap();
    let begun = Instant::now();
    let mut answer = [0; 2048];
    loop {
        socket.send_to(packet, address).unwrap();
        if let Ok((length, _)) = socket.recv_from(&mut answer) {
            return answer[..length].to_vec();
        }
        assert!(begun.elapsed() < LIMIT, "no answer in {LIMIT:?}");
    }
}

struct Client {
    engine: Engine,
    socket: Socket,
    server: SocketAddr,
    conn: ConnId,
}

impl Client {
    fn connect(server: SocketAddr) -> Self {
        let mut engine = Engine::client();
        let config = tls::client(Arc::new(AnyCertificate::default())).unwrap();
        let conn = engine.connect(Instant::now(), config, server, "localhost");
        let mut client = Self {
            conn: conn.unwrap(),
            engine,
            socket: Socket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap(),
            server,
        };
        let begun = Instant::now();
        while !client.turn() {
            assert!(begun.elapsed() < LIMIT, "not connected in {LIMIT:?}");
        }
        client
    }

    /// Whether it is connected now.
    fn turn(&mut self) -> bool {
        let (mut batch, mut buffer) = (Batch::new(), Vec::new());
        let now = Instant::now();
        while self.engine.poll_transmit(now, &mut buffer).is_some() {
            let options = SendOptions::default();
            self.socket.send(self.server, &buffer, options).unwrap();
        }
        let timeout = Some(Duration::from_millis(5));
        wait(&[&self.socket], None, timeout).unwrap();
        let count = self.socket.receive(&mut batch).unwrap();
        for packet in (0..count).filter_map(|i| batch.packet(i)) {
            self.engine
                .handle_packet(now, self.server, None, packet.bytes, packet.stamp);
        }
        self.engine.handle_timeout(Instant::now());
        std::iter::from_fn(|| self.engine.poll_event())
            .any(|event| matches!(event, Event::Connected { .. }))
    }

    /// The id that it writes on its packets.
    fn id_in_use(&mut self) -> Vec<u8> {
        let mut buffer = Vec::new();
        let now = Instant::now();
        while self.engine.poll_transmit(now, &mut buffer).is_some() {}
        self.engine.send_datagram(self.conn, b"x").unwrap();
        assert!(self.engine.poll_transmit(now, &mut buffer).is_some());
        assert_eq!(buffer[0] & 0x80, 0, "a short header");
        buffer[1..9].to_vec()
    }

    fn receive(&mut self, packet: &[u8]) {
        let stamp = Stamp::user(tsq_net::now());
        self.engine
            .handle_packet(Instant::now(), self.server, None, packet, stamp);
    }

    fn ended(&mut self) -> Option<CloseReason> {
        std::iter::from_fn(|| self.engine.poll_event()).find_map(|event| match event {
            Event::Closed { reason, .. } => Some(reason),
            _ => None,
        })
    }
}

fn config() -> ServerConfig {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let certified = tls::certified_key(vec![made.cert.der().clone()], key).unwrap();
    let role = Role::Server {
        streams: 8,
        buffer: 16 * 1024,
        idle: Duration::from_secs(120),
    };
    tls::server(certified, role).unwrap()
}
