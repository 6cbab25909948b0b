//! Real shards on threads, and a client that can change its socket.
#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::pki_types::PrivateKeyDer;
use tsq_dev::AnyCertificate;
use tsq_net::{
    Batch, ConnId, Engine, Event, Group, Role, SendOptions, ServerConfig, ServerSecret, Shard,
    Socket, Stamp, now, tls, wait,
};

/// The shards of one address; each answers a datagram with its own number before the same bytes.
pub(crate) struct Shards {
    pub(crate) address: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Shards {
    pub(crate) fn start(address: &str, count: usize) -> Self {
        let (config, secret) = (server_config(), ServerSecret::random().unwrap());
        let (group, sockets) = Group::bind(address.parse().unwrap(), count, false).unwrap();
        let address = group.local_addr();
        let stop = Arc::new(AtomicBool::new(false));
        let threads = sockets
            .into_iter()
            .zip(group.shards())
            .map(|(socket, shard)| {
                let engine = Engine::shard(Arc::clone(&config), &secret, shard);
                let stop = Arc::clone(&stop);
                std::thread::spawn(move || echo(socket, engine, shard, &stop))
            })
            .collect();
        Self {
            address,
            stop,
            threads,
        }
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A shard that panicked has shown in its clients' tests.
            let _ = thread.join();
        }
    }
}

fn echo(mut socket: Socket, mut engine: Engine, shard: Shard, stop: &AtomicBool) {
    let (mut batch, mut buffer) = (Batch::new(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        wait(&[&socket], None, Some(Duration::from_millis(5))).unwrap();
        let count = socket.receive(&mut batch).unwrap();
        for packet in (0..count).filter_map(|i| batch.packet(i)) {
            engine.handle_packet(
                Instant::now(),
                packet.remote,
                packet.local_ip,
                packet.bytes,
                packet.stamp,
            );
            while let Some(event) = engine.poll_event() {
                if let Event::Datagram { conn, data, .. } = event {
                    let answer = [&[shard.index() as u8][..], &data].concat();
                    engine.send_datagram(conn, &answer).unwrap();
                }
            }
            flush(&mut engine, &mut socket, &mut buffer);
        }
        engine.handle_timeout(Instant::now());
        flush(&mut engine, &mut socket, &mut buffer);
    }
}

fn flush(engine: &mut Engine, socket: &mut Socket, buffer: &mut Vec<u8>) {
    while let Some(out) = engine.poll_transmit(Instant::now(), buffer) {
        let options = SendOptions {
            local_ip: out.local_ip,
            report_departure: false,
        };
        // A packet that cannot leave is lost, and QUIC lives with those.
        let _ = socket.send(out.remote, buffer, options);
    }
}

/// One connection.
pub(crate) struct Client {
    engine: Engine,
    conn: ConnId,
    socket: UdpSocket,
    server: SocketAddr,
    asked: u64,
}

impl Client {
    pub(crate) fn connect(server: SocketAddr) -> Self {
        let mut engine = Engine::client();
        let config = tls::client(Arc::new(AnyCertificate::default())).unwrap();
        let conn = engine
            .connect(Instant::now(), config, server, "localhost")
            .unwrap();
        let mut client = Self {
            engine,
            conn,
            socket: socket_for(server),
            server,
            asked: 0,
        };
        client.until("connected", |event| {
            matches!(event, Event::Connected { .. }).then_some(())
        });
        client
    }

    /// Goes on from another port; with `migrate` knowingly, under a connection ID not used before.
    pub(crate) fn change_port(&mut self, migrate: bool) {
        self.socket = socket_for(self.server);
        if migrate {
            self.engine.address_changed(self.conn);
        }
    }

    /// Asks, until there is an answer, and tells which shard gave it.
    pub(crate) fn ask(&mut self) -> u8 {
        self.asked += 1;
        let question = self.asked.to_be_bytes();
        let (deadline, conn) = (Instant::now() + LIMIT, self.conn);
        while Instant::now() < deadline {
            self.engine.send_datagram(conn, &question).unwrap();
            let answer = self.wait_for(Duration::from_millis(300), |event| match event {
                Event::Datagram { data, .. } if data[1..] == question => Some(data[0]),
                Event::Closed { reason, .. } => panic!("closed: {reason:?}"),
                _ => None,
            });
            if let Some(shard) = answer {
                return shard;
            }
        }
        panic!("no answer to question {} within {LIMIT:?}", self.asked);
    }

    fn until<T>(&mut self, what: &str, find: impl Fn(&Event) -> Option<T>) -> T {
        self.wait_for(LIMIT, find)
            .unwrap_or_else(|| panic!("not {what} within {LIMIT:?}"))
    }

    fn wait_for<T>(&mut self, limit: Duration, find: impl Fn(&Event) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut buffer = Vec::new();
        let mut packet = [0; 2048];
        while Instant::now() < deadline {
            while let Some(event) = self.engine.poll_event() {
                if let Some(found) = find(&event) {
                    return Some(found);
                }
            }
            while self
                .engine
                .poll_transmit(Instant::now(), &mut buffer)
                .is_some()
            {
                self.socket.send_to(&buffer, self.server).unwrap();
            }
            if let Ok((length, from)) = self.socket.recv_from(&mut packet) {
                let stamp = Stamp::user(now());
                let bytes = &packet[..length];
                self.engine
                    .handle_packet(Instant::now(), from, None, bytes, stamp);
            }
            self.engine.handle_timeout(Instant::now());
        }
        None
    }
}

/// Far beyond what any machine needs, so that only a lost connection reaches it.
const LIMIT: Duration = Duration::from_secs(20);

fn socket_for(server: SocketAddr) -> UdpSocket {
    let any = if server.is_ipv4() {
        "127.0.0.1:0"
    } else {
        "[::1]:0"
    };
    let socket = UdpSocket::bind(any).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(5)))
        .unwrap();
    socket
}

fn server_config() -> Arc<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let certified = tls::certified_key(vec![made.cert.der().clone()], key).unwrap();
    let role = Role::Server {
        streams: 16,
        idle: Duration::from_secs(60),
        buffer: 16 * 1024,
    };
    Arc::new(tls::server(certified, role).unwrap())
}
