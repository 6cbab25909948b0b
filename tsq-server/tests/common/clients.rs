//! Fifty connections over one socket; each asks, by datagram and by stream in turns, as soon as it
//! has its answer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tsq_dev::AnyCertificate;
use tsq_net::{Batch, ConnId, Engine, Event, SendOptions, Socket, tls, wait};
use tsq_proto::{Nonce, Request};

use super::load::Load;

const CLIENTS: usize = 50;
/// How long a client asks before it leaves and another comes: longer than a server that is not
/// replaced lets its clients finish, shorter by far than one that is.
const SYNC: Duration = Duration::from_millis(600);
/// A datagram that was lost is asked again, as every client does; a stream's bytes QUIC repeats.
const REPEAT: Duration = Duration::from_millis(500);

pub(crate) struct Clients {
    engine: Engine,
    socket: Socket,
    server: SocketAddr,
    sessions: HashMap<ConnId, Session>,
    nonce: u128,
    failures: Vec<String>,
}

struct Session {
    ends: Instant,
    answered: u32,
    question: Option<Question>,
}

struct Question {
    request: Vec<u8>,
    repeat_at: Instant,
}

impl Clients {
    pub(crate) fn new(server: SocketAddr) -> Self {
        Self {
            engine: Engine::client(),
            socket: Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap(),
            server,
            sessions: HashMap::new(),
            nonce: 0,
            failures: Vec::new(),
        }
    }

    /// Asks until told to stop, or until something goes wrong; tells what.
    pub(crate) fn run(mut self, load: &Load) -> Vec<String> {
        let _stop = load.stop_on_drop();
        let (mut batch, mut buffer) = (Batch::new(), Vec::new());
        while !load.stopped() && self.failures.is_empty() {
            while self.sessions.len() < CLIENTS {
                self.connect();
            }
            self.repeat();
            self.flush(&mut buffer);
            wait(&[&self.socket], None, Some(Duration::from_millis(5))).unwrap();
            // An ICMP error of a moment ago may be told here.
            let count = self.socket.receive(&mut batch).unwrap_or(0);
            for packet in (0..count).filter_map(|i| batch.packet(i)) {
                let (from, to) = (packet.remote, packet.local_ip);
                let (now, stamp) = (Instant::now(), packet.stamp);
                self.engine
                    .handle_packet(now, from, to, packet.bytes, stamp);
            }
            self.engine.handle_timeout(Instant::now());
            while let Some(event) = self.engine.poll_event() {
                self.act(event, load);
            }
        }
        self.engine.close_all(Instant::now(), 0, "done");
        self.flush(&mut buffer);
        self.failures
    }

    fn connect(&mut self) {
        let config = tls::client(Arc::new(AnyCertificate::default())).unwrap();
        let (now, server) = (Instant::now(), self.server);
        let conn = self.engine.connect(now, config, server, "localhost");
        let session = Session {
            ends: now + SYNC,
            answered: 0,
            question: None,
        };
        self.sessions.insert(conn.unwrap(), session);
    }

    fn act(&mut self, event: Event, load: &Load) {
        match event {
            Event::Connected { conn, .. } => self.ask(conn),
            Event::Datagram { conn, data, .. } | Event::Stream { conn, data, .. } => {
                let question = self.sessions.get(&conn).and_then(|s| s.question.as_ref());
                // The nonce comes first in request and answer; an answer to one asked twice is late.
                if question.is_some_and(|question| data.starts_with(&question.request[..18])) {
                    load.answered();
                    self.answered(conn);
                }
            }
            Event::StreamAborted { code, .. } => {
                self.failures.push(format!("stream aborted with {code}"));
            }
            Event::Forgotten { .. } => {}
            // Those that a client closed itself are not in the table any more.
            Event::Closed { conn, reason } => {
                if let Some(Session { answered, .. }) = self.sessions.remove(&conn) {
                    let text = format!("closed after {answered} answers: {reason:?}");
                    self.failures.push(text);
                }
            }
        }
    }

    fn answered(&mut self, conn: ConnId) {
        let session = self.sessions.get_mut(&conn).unwrap();
        session.answered += 1;
        if session.ends <= Instant::now() {
            self.sessions.remove(&conn);
            self.engine.close(Instant::now(), conn, 0, "done");
        } else {
            self.ask(conn);
        }
    }

    fn ask(&mut self, conn: ConnId) {
        self.nonce += 1;
        let nonce = Nonce::new(self.nonce.to_be_bytes());
        let mut request = vec![0; 64];
        let length = Request::new(nonce).encode(&mut request).unwrap();
        request.truncate(length);
        let session = self.sessions.get_mut(&conn).unwrap();
        // One that is closed says so by its event.
        if session.by_datagram() {
            let _ = self.engine.send_datagram(conn, &request);
        } else {
            let _ = self.engine.open_stream(conn, &request, true);
        }
        let repeat_at = Instant::now() + REPEAT;
        session.question = Some(Question { request, repeat_at });
    }

    fn repeat(&mut self) {
        let now = Instant::now();
        for (&conn, session) in &mut self.sessions {
            let by_datagram = session.by_datagram();
            if let Some(question) = &mut session.question
                && by_datagram
                && question.repeat_at <= now
            {
                let _ = self.engine.send_datagram(conn, &question.request);
                question.repeat_at = now + REPEAT;
            }
        }
    }

    fn flush(&mut self, buffer: &mut Vec<u8>) {
        while let Some(out) = self.engine.poll_transmit(Instant::now(), buffer) {
            // A packet that cannot leave is lost, and QUIC lives with those.
            let _ = self.socket.send(out.remote, buffer, SendOptions::default());
        }
    }
}

impl Session {
    fn by_datagram(&self) -> bool {
        self.answered.is_multiple_of(2)
    }
}
