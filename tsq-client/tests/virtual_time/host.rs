//! The answering side: an engine, and of the server what every server does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoClientAuth;
use rustls::sign::SingleCertAndKey;
use tsq_client::{Server, Target, Trust};
use tsq_net::tls::{self, Ambient, Issued};
use tsq_net::{Admission, Attempt, ConnId, Engine, Event, Role, ServerConfig, Stamp, Verdict};
use tsq_proto::{HostTime, Prepared, Request};
use tsq_x509::{Pin, pin_of_der};

use crate::chance::{ToldTime, provider};

/// A certificate and its key, made once: a run and its repetition show the same.
#[derive(Clone)]
pub(crate) struct Identity {
    chain: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Identity {
    /// Of Ed25519: its signatures are always as long.
    pub(crate) fn new() -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let named = rcgen::CertificateParams::new(["time.example".to_string()]).unwrap();
        Self {
            chain: named.self_signed(&key).unwrap().der().clone(),
            key: key.serialize_der(),
        }
    }

    pub(crate) fn pin(&self) -> Pin {
        pin_of_der(&self.chain).unwrap()
    }

    /// How a client knows the host at `address` that shows it.
    pub(crate) fn server_at(&self, address: SocketAddr) -> Server {
        let target = Target::parse(&address.to_string(), 443).unwrap();
        Server::new(target, Trust::pins(vec![self.pin()]))
    }
}

/// One server's host.
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    /// By how much its clock is ahead of the true time, in nanoseconds.
    pub(crate) error: i64,
    engine: Engine,
    identity: Identity,
    time: Arc<ToldTime>,
    seed: u64,
    /// Whether clients have to show first that they read at their address.
    pub(crate) asks_back: bool,
    pub(crate) answered: u64,
}

impl Host {
    pub(crate) fn new(address: SocketAddr, identity: &Identity, seed: u64) -> Self {
        let time = Arc::new(ToldTime::default());
        Self {
            address,
            error: 0,
            engine: engine(identity, &time, seed),
            identity: identity.clone(),
            time,
            seed,
            asks_back: false,
            answered: 0,
        }
    }

    /// Begins anew: it knows no connection and no ticket of before.
    pub(crate) fn restart(&mut self) {
        self.seed += 1;
        self.engine = engine(&self.identity, &self.time, self.seed);
    }

    pub(crate) fn connections(&self) -> usize {
        self.engine.connections()
    }

    /// `true_time` is nanoseconds since 1970.
    pub(crate) fn receive(&mut self, now: Instant, true_time: i64, from: SocketAddr, bytes: &[u8]) {
        let clock = HostTime::from_unix_nanos(true_time + self.error);
        self.time
            .tell(Duration::from_nanos(true_time.unsigned_abs()));
        let (stamp, asks_back) = (Stamp::kernel(clock), self.asks_back);
        let mut door = Door { asks_back };
        self.engine
            .handle_packet_asking(now, from, None, bytes, stamp, &mut door);
        self.answer(clock);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.engine.handle_timeout(now);
        while self.engine.poll_event().is_some() {}
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.engine.poll_timeout()
    }

    /// The next packet to send, and to whom.
    pub(crate) fn poll_transmit(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        let mut bytes = Vec::new();
        let packet = self.engine.poll_transmit(now, &mut bytes)?;
        Some((packet.remote, bytes))
    }

    fn answer(&mut self, clock: HostTime) {
        let mut out = [0; 1200];
        while let Some(event) = self.engine.poll_event() {
            let (Event::Datagram { data, stamp, .. } | Event::Stream { data, stamp, .. }) = &event
            else {
                continue;
            };
            // What a stream brings of a request comes at once: it is 18 bytes or a little more.
            let Ok(request) = Request::decode(data) else {
                continue;
            };
            let prepared = Prepared::answer(&request, stamp.time, &mut out).unwrap();
            let answer = prepared.stamp(clock);
            let sent = match event {
                Event::Datagram { conn, .. } => self.engine.send_datagram(conn, answer).is_ok(),
                Event::Stream { conn, stream, .. } => {
                    self.engine.send_stream(conn, stream, answer, true).is_ok()
                }
                _ => false,
            };
            // Not to a client that is gone.
            self.answered += u64::from(sent);
        }
    }
}

fn engine(identity: &Identity, time: &Arc<ToldTime>, seed: u64) -> Engine {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Engine::server_seeded(config(identity, time, seed), bytes)
}

fn config(identity: &Identity, time: &Arc<ToldTime>, seed: u64) -> ServerConfig {
    let key = PrivateKeyDer::Pkcs8(identity.key.clone().into());
    let certified = tls::certified_key(vec![identity.chain.clone()], key).unwrap();
    let ambient = Ambient {
        provider: provider(seed),
        time: Arc::clone(time) as _,
    };
    let certificates = Arc::new(SingleCertAndKey::from(certified));
    let role = Role::Server {
        streams: 32,
        idle: Duration::from_secs(30),
        buffer: 16 * 1024,
    };
    tls::server_under(
        ambient,
        certificates,
        Arc::new(NoClientAuth),
        role,
        &Issued::default(),
    )
    .unwrap()
}

struct Door {
    asks_back: bool,
}

impl Admission for Door {
    fn admit(&mut self, _: Instant, attempt: &Attempt) -> Verdict {
        if self.asks_back && attempt.may_retry && !attempt.validated {
            Verdict::Retry
        } else {
            Verdict::Accept
        }
    }

    fn accepted(&mut self, _: Instant, _: ConnId, _: &Attempt) {}
}
