//! The answering side: the server's own core, with a clock that the world tells.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoClientAuth;
use rustls::sign::SingleCertAndKey;
use tsq_client::{Server, Target, Trust};
use tsq_net::tls::{self, Ambient, Issued};
use tsq_net::{Departure, Engine, Outgoing, Packet, Role, ServerConfig, Stamp};
use tsq_proto::HostTime;
use tsq_server::departures::Departures;
use tsq_server::limits::{Limits, Retry, Seed, Shared};
use tsq_server::responder::{Link, Responder};
use tsq_server::teller::Teller;
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
    responder: Responder<Clock>,
    outbox: Outbox,
    /// What its clock shows, in nanoseconds since 1970.
    shown: Arc<AtomicI64>,
    time: Arc<ToldTime>,
    identity: Identity,
    retry: Retry,
    seed: u64,
}

type Clock = Box<dyn Fn() -> HostTime>;

/// What is to leave, and which departures are to be told.
#[derive(Default)]
struct Outbox {
    packets: VecDeque<(SocketAddr, Vec<u8>)>,
    departed: VecDeque<(u32, HostTime)>,
    numbered: u32,
    now: i64,
}

impl Link for Outbox {
    type Error = Infallible;

    fn send(
        &mut self,
        packet: &Outgoing,
        bytes: &[u8],
        report_departure: bool,
    ) -> Result<Departure, Infallible> {
        self.packets.push_back((packet.remote, bytes.to_vec()));
        let before = HostTime::from_unix_nanos(self.now);
        self.numbered += 1;
        let id = report_departure.then_some(self.numbered);
        self.departed.extend(id.map(|id| (id, before)));
        Ok(Departure { id, before })
    }

    fn collect(&mut self, departures: &mut Departures) {
        for (id, at) in self.departed.drain(..) {
            if let Some(reported) = departures.reported(id) {
                departures.left(&reported, at);
            }
        }
    }
}

impl Host {
    pub(crate) fn new(
        address: SocketAddr,
        identity: &Identity,
        retry: Retry,
        seed: u64,
        now: Instant,
        true_time: i64,
    ) -> Self {
        let time = Arc::new(ToldTime::default());
        let shown = Arc::new(AtomicI64::new(true_time));
        Self {
            address,
            responder: responder(identity, retry, &time, &shown, seed, now),
            outbox: Outbox::default(),
            shown,
            time,
            identity: identity.clone(),
            retry,
            seed,
        }
    }

    /// Begins anew: it knows no connection and no ticket of before.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.seed += 1;
        let (time, shown) = (&self.time, &self.shown);
        self.responder = responder(&self.identity, self.retry, time, shown, self.seed, now);
    }

    pub(crate) fn connections(&self) -> usize {
        self.responder.connections()
    }

    pub(crate) fn answered(&self) -> u64 {
        let counts = self.responder.counters().snapshot();
        counts.datagrams + counts.streams
    }

    /// `true_time` is nanoseconds since 1970, and its clock shows it.
    pub(crate) fn receive(&mut self, now: Instant, true_time: i64, from: SocketAddr, bytes: &[u8]) {
        self.tell(true_time);
        let packet = Packet {
            bytes,
            remote: from,
            local_ip: None,
            stamp: Stamp::kernel(HostTime::from_unix_nanos(true_time)),
        };
        self.responder.handle_packet(now, &packet);
        self.transmit(now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, true_time: i64) {
        self.tell(true_time);
        self.responder.handle_timeout(now);
        self.transmit(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.responder.poll_timeout()
    }

    /// The next packet to send, and to whom.
    pub(crate) fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.outbox.packets.pop_front()
    }

    fn transmit(&mut self, now: Instant) {
        self.responder.collect(&mut self.outbox);
        self.responder.transmit(now, &mut self.outbox);
    }

    fn tell(&mut self, true_time: i64) {
        self.shown.store(true_time, Ordering::Relaxed);
        self.outbox.now = true_time;
        self.time
            .tell(Duration::from_nanos(true_time.unsigned_abs()));
    }
}

fn responder(
    identity: &Identity,
    retry: Retry,
    time: &Arc<ToldTime>,
    shown: &Arc<AtomicI64>,
    seed: u64,
    now: Instant,
) -> Responder<Clock> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let engine = Engine::server_seeded(config(identity, time, seed), bytes);
    let limits = Limits {
        retry,
        ..Limits::NONE
    };
    let shared = Arc::new(Shared::new(&limits, Seed::new(seed.into())));
    let read = {
        let shown = Arc::clone(shown);
        move || HostTime::from_unix_nanos(shown.load(Ordering::Relaxed))
    };
    let teller = Teller::vouching(read());
    Responder::new(now, engine, teller, Box::new(read) as Clock).limited(now, &limits, 1, shared)
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
