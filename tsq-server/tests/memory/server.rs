//! The server's engine and gate, put together as [`tsq_server::service`] does it around a socket, under
//! virtual time; what it holds is measured around each call, and held to the limits after it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::PrivateKeyDer;
use tsq_net::{
    CloseReason, ConnId, Engine, Event, MemoryLimit, Role, Stamp, held, now as host_now, tls,
};
use tsq_proto::{FollowUp, Nonce};
use tsq_server::answer::{self, Earlier, MAX_ANSWER};
use tsq_server::counts::Counters;
use tsq_server::limits::{Gate, Limits, SHARE, Seed, Shared};
use tsq_server::teller::Teller;

/// A packet and where it goes.
pub(crate) type Packet = (SocketAddr, Vec<u8>);

pub(crate) struct Server {
    pub(crate) engine: Engine,
    pub(crate) counters: Arc<Counters>,
    pub(crate) shared: Arc<Shared>,
    gate: Gate,
    teller: Teller,
    limits: Limits,
    /// What it holds, less what was there before the first packet.
    pub(crate) held: isize,
    /// The most of that, and of one connection.
    pub(crate) peak: isize,
    pub(crate) largest: usize,
    pub(crate) handshakes: usize,
    buffer: Vec<u8>,
    /// The connection of the last event.
    latest: Option<ConnId>,
}

impl Server {
    pub(crate) fn new(limits: Limits, role: Role, now: Instant) -> Self {
        let shared = Arc::new(Shared::new(&limits, Seed::random()));
        let counters = Arc::<Counters>::default();
        let gate = Gate::new(&limits, 1, Arc::clone(&shared), Arc::clone(&counters), now);
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let certified = tls::certified_key(vec![made.cert.der().clone()], key).unwrap();
        let mut engine = Engine::server(tls::server(certified, role).unwrap());
        engine.limit_memory(MemoryLimit {
            share: SHARE,
            most: limits.connection_memory,
            spare: shared.spare(),
        });
        engine.limit_silence(limits.silence);
        Self {
            engine,
            counters,
            shared,
            gate,
            teller: Teller::vouching(host_now()),
            limits,
            held: 0,
            peak: 0,
            largest: 0,
            handshakes: 0,
            buffer: Vec::with_capacity(2048),
            latest: None,
        }
    }

    pub(crate) fn packet(&mut self, now: Instant, from: SocketAddr, packet: &[u8]) -> Vec<Packet> {
        let stamp = Stamp::kernel(host_now());
        self.measured(now, |server| {
            let gate = &mut server.gate;
            server
                .engine
                .handle_packet_asking(now, from, None, packet, stamp, gate);
        })
    }

    pub(crate) fn timeout(&mut self, now: Instant) -> Vec<Packet> {
        self.measured(now, |server| {
            server.engine.handle_timeout(now);
            while let Some(conn) = server.gate.expire(now) {
                server
                    .engine
                    .close(now, conn, 0, "the handshake takes too long");
            }
        })
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        let due = [self.engine.poll_timeout(), self.gate.next_deadline()];
        due.into_iter().flatten().min()
    }

    fn measured(&mut self, now: Instant, work: impl FnOnce(&mut Self)) -> Vec<Packet> {
        let mut sent = Vec::with_capacity(256);
        let before = held();
        work(self);
        let mut not_mine = self.flush(now, &mut sent);
        while let Some(event) = self.engine.poll_event() {
            self.act(now, event);
            not_mine += self.flush(now, &mut sent);
        }
        self.held += held()
            .wrapping_sub(before)
            .wrapping_sub(not_mine)
            .cast_signed();
        self.peak = self.peak.max(self.held);
        self.within_limits();
        sent
    }

    fn act(&mut self, now: Instant, event: Event) {
        self.latest = Some(event.conn());
        match event {
            Event::Connected { conn, .. } => {
                self.handshakes += 1;
                if !self.gate.connected(conn) {
                    self.engine.close(now, conn, 0, "too many of your network");
                }
            }
            Event::Datagram { conn, data, stamp } => {
                if self.gate.request(now, conn) {
                    let mut out = [0; MAX_ANSWER];
                    let answer = answer::answer(
                        &data,
                        stamp.time,
                        &self.teller,
                        nothing,
                        &host_now,
                        &mut out,
                    );
                    if let Ok(answer) = answer {
                        let _ = self.engine.send_datagram(conn, answer.bytes);
                    }
                }
            }
            Event::Stream {
                conn,
                stream,
                data,
                finished: true,
                stamp,
            } => {
                let mut out = [0; MAX_ANSWER];
                let answer = answer::answer(
                    &data,
                    stamp.time,
                    &self.teller,
                    nothing,
                    &host_now,
                    &mut out,
                );
                if let Ok(answer) = answer {
                    let _ = self.engine.send_stream(conn, stream, answer.bytes, true);
                }
            }
            Event::Stream { .. } | Event::StreamAborted { .. } => {}
            Event::Closed { conn, reason } => {
                if reason == CloseReason::Memory {
                    self.counters.over_memory.count();
                }
                self.gate.closed(conn);
            }
            Event::Forgotten { conn } => self.gate.forgotten(conn),
        }
    }

    /// Copies out what is to be sent; the copies' memory is told, for it is not the server's.
    fn flush(&mut self, now: Instant, sent: &mut Vec<Packet>) -> usize {
        let mut copies = 0_usize;
        while let Some(out) = self.engine.poll_transmit(now, &mut self.buffer) {
            let before = held();
            sent.push((out.remote, self.buffer.clone()));
            copies = copies.wrapping_add(held().wrapping_sub(before));
        }
        copies
    }

    /// What docs/operate/serve.md promises.
    fn within_limits(&self) {
        let bound = self.limits.memory_bound(1);
        let sessions = bound.sessions.min(self.handshakes * A_SESSION);
        let most = bound.connections + bound.spare + sessions + TABLES;
        let held = usize::try_from(self.held).unwrap_or(0);
        assert!(held <= most, "{held} bytes held of {most}");
        let connections = self.engine.connections();
        let counted = self.shared.connections();
        assert_eq!(usize::try_from(counted), Ok(connections), "all are counted");
        assert!(counted <= self.limits.connections, "{counted} connections");
        let leaked = u32::try_from(self.counters.leaked.get()).unwrap();
        let half_open = self.shared.half_open();
        assert!(
            half_open <= self.limits.half_open + leaked,
            "{half_open} half open"
        );
        assert!(self.shared.spare().used() <= self.limits.spare_memory);
    }

    /// Notes what the connection of the last packet holds.
    pub(crate) fn look(&mut self) {
        if let Some(conn) = self.latest {
            self.largest = self.largest.max(self.engine.memory_of(conn));
        }
    }
}

impl Server {
    /// What the engine counts for the connection of the last event.
    pub(crate) fn counted(&mut self) -> usize {
        self.latest.map_or(0, |conn| self.engine.memory_of(conn))
    }
}

fn nothing() -> Earlier {
    let none = FollowUp {
        nonce: Nonce::new([0; 16]),
        departure: host_now().to_ntp(),
    };
    ([none; FollowUp::MAX_TOLD], 0)
}

/// One session in the store, with its names.
const A_SESSION: usize = 640;

/// Queues and tables of the engine that grow to their size once.
const TABLES: usize = 256 * 1024;
