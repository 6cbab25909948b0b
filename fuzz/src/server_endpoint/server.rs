//! The server: engine, streams and answers, put together as `tsq_server::service` does it around a socket.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustls::pki_types::PrivateKeyDer;
use tsq_net::{Engine, Event, Role, ServerConfig, Stamp, tls};
use tsq_proto::ErrorCode;
use tsq_server::answer::{self, MAX_ANSWER, Refused};
use tsq_server::streams::{Complete, Due, Key, Known, Progress, Streams};
use tsq_server::teller::Teller;

use crate::request_handler::nothing_earlier;

use super::limits::{PACKETS_AT_ONCE, RESPONSES, STREAMS, Traffic};

pub(crate) struct Server {
    engine: Engine,
    streams: Streams,
    teller: Teller,
    traffic: Traffic,
}

impl Default for Server {
    fn default() -> Self {
        static CONFIG: OnceLock<ServerConfig> = OnceLock::new();
        Self {
            engine: Engine::server(CONFIG.get_or_init(config).clone()),
            streams: Streams::new(STREAMS),
            teller: Teller::vouching(),
            traffic: Traffic::default(),
        }
    }
}

/// A packet and where it goes or came from.
pub(crate) type Packet = (SocketAddr, Vec<u8>);

impl Server {
    /// What the server sends on one packet. `genuine`: it came from a real client.
    pub(crate) fn packet(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &[u8],
        stamp: Stamp,
        genuine: bool,
    ) -> Vec<Packet> {
        self.take_in(now, from, packet, stamp, genuine);
        self.act(now)
    }

    /// The same with a packet that comes many times before anything is sent.
    pub(crate) fn burst(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &[u8],
        stamp: Stamp,
        count: u8,
    ) -> Vec<Packet> {
        for _ in 0..count {
            self.take_in(now, from, packet, stamp, false);
        }
        let mut buffer = Vec::new();
        let mut sent = Vec::new();
        let mut stateless = 0;
        while let Some(out) = self.engine.poll_transmit(now, &mut buffer) {
            stateless += usize::from(out.conn.is_none());
            self.traffic.sent(out.remote, buffer.len());
            sent.push((out.remote, buffer.clone()));
        }
        assert!(
            stateless <= RESPONSES,
            "{stateless} stateless answers were kept"
        );
        sent.append(&mut self.act(now));
        sent
    }

    /// What the server sends because time has passed.
    pub(crate) fn timeout(&mut self, now: Instant) -> Vec<Packet> {
        self.engine.handle_timeout(now);
        let mut sent = self.act(now);
        while let Some((key, due)) = self.streams.expire(now) {
            match due {
                Due::Answer(request) => self.answer_stream(key, &request),
                Due::GiveUp => self.give_up(key),
                Due::Stop => self.engine.stop_stream(key.0, key.1),
            }
            sent.append(&mut self.flush(now));
        }
        self.within_limits();
        sent
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        [self.engine.poll_timeout(), self.streams.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Nothing may be left of anybody.
    pub(crate) fn is_forgetful(&self) {
        assert_eq!(self.engine.connections(), 0, "connections are left");
        assert_eq!(self.streams.waiting(), 0, "streams are left");
    }

    fn take_in(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &[u8],
        stamp: Stamp,
        genuine: bool,
    ) {
        self.traffic.received(from, packet.len(), genuine);
        self.engine.handle_packet(now, from, None, packet, stamp);
    }

    fn act(&mut self, now: Instant) -> Vec<Packet> {
        let mut sent = Vec::new();
        while let Some(event) = self.engine.poll_event() {
            self.event(now, event);
            sent.append(&mut self.flush(now));
        }
        sent.append(&mut self.flush(now));
        self.within_limits();
        sent
    }

    fn event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Datagram { conn, data, stamp } => {
                let mut out = [0; MAX_ANSWER];
                let answer =
                    answer::answer(&data, stamp.time, &self.teller, nothing_earlier, &mut out);
                if let Ok(answer) = answer {
                    // The client may take no datagrams, or only short ones.
                    let _ = self.engine.send_datagram(conn, answer.bytes);
                }
            }
            Event::Stream {
                conn,
                stream,
                data,
                finished,
                stamp,
            } => {
                let key = (conn, stream);
                match self.streams.receive(now, key, &data, finished, stamp.time) {
                    Progress::Complete(request) => self.answer_stream(key, &request),
                    Progress::Nothing => {}
                    Progress::TooLong => {
                        self.refuse_stream(key, &too_long());
                        self.engine.stop_stream(conn, stream);
                    }
                    Progress::Excess => self.engine.stop_stream(conn, stream),
                }
            }
            Event::StreamAborted { conn, stream, .. } => self.aborted((conn, stream)),
            Event::Connected { .. } | Event::Forgotten { .. } => {}
            Event::Closed { conn, .. } => self.streams.forget_connection(conn),
        }
    }

    fn answer_stream(&mut self, key: Key, request: &Complete) {
        let mut out = [0; MAX_ANSWER];
        let answer = answer::answer(
            &request.bytes,
            request.arrived,
            &self.teller,
            nothing_earlier,
            &mut out,
        );
        match answer {
            Ok(answer) => {
                // The client may have given up.
                let _ = self.engine.send_stream(key.0, key.1, answer.bytes, true);
            }
            Err(refused) => self.refuse_stream(key, &refused),
        }
    }

    fn refuse_stream(&mut self, key: Key, refused: &Refused) {
        let mut out = [0; MAX_ANSWER];
        // The client may have given up.
        let _ = self
            .engine
            .send_stream(key.0, key.1, answer::error(refused, &mut out), true);
    }

    fn aborted(&mut self, key: Key) {
        if self.streams.forget(key) != Known::Answered {
            self.engine.reset_stream(key.0, key.1);
        }
        self.engine.stop_stream(key.0, key.1);
    }

    fn give_up(&mut self, key: Key) {
        self.streams.forget(key);
        self.engine.reset_stream(key.0, key.1);
        self.engine.stop_stream(key.0, key.1);
    }

    fn flush(&mut self, now: Instant) -> Vec<Packet> {
        let mut buffer = Vec::new();
        let mut sent = Vec::new();
        while let Some(out) = self.engine.poll_transmit(now, &mut buffer) {
            self.traffic.sent(out.remote, buffer.len());
            sent.push((out.remote, buffer.clone()));
            assert!(sent.len() < PACKETS_AT_ONCE, "the server sends without end");
        }
        sent
    }

    fn within_limits(&self) {
        let connections = self.engine.connections();
        assert!(
            connections <= self.traffic.connections_allowed(),
            "{connections} connections"
        );
        let waiting = self.streams.waiting();
        assert!(
            waiting <= connections * usize::from(STREAMS),
            "{waiting} streams wait on {connections} connections"
        );
    }
}

/// How long the server remembers a silent client.
pub(crate) const IDLE: Duration = Duration::from_secs(30);

fn config() -> ServerConfig {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let certified = tls::certified_key(vec![made.cert.der().clone()], key).expect("its key");
    let role = Role::Server {
        streams: STREAMS,
        idle: IDLE,
        buffer: 16 * 1024,
    };
    tls::server(certified, role).expect("a configuration that works")
}

fn too_long() -> Refused {
    Refused {
        code: ErrorCode::Malformed,
        reason: "the request is too long".into(),
    }
}
