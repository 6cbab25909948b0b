//! A server on a thread of this process that holds its tongue until it has read a request.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::pki_types::PrivateKeyDer;
use tsq_client::{Server, Target, Trust};
use tsq_net::{Engine, Event, Role, ServerConfig, Stamp, now, tls};
use tsq_proto::{HostTime, Prepared, Request};
use tsq_x509::{Pin, pin_of_der};

/// How much the server says before it has read a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing: whoever gets an answer has asked in its first flight.
    Nothing,
    /// What the client's first packet calls for, once: whoever gets an answer has asked in its second flight at
    /// the latest.
    OneFlight,
    /// Whatever it likes.
    Anything,
}

/// What the test tells the server, and hears of it.
#[derive(Debug)]
pub(crate) struct Shared {
    before: Mutex<Before>,
    renewed: AtomicBool,
    stopped: AtomicBool,
    /// When it last began to speak before any request.
    pub(crate) spoke: Mutex<Option<HostTime>>,
}

pub(crate) struct Flights {
    pub(crate) shared: Arc<Shared>,
    address: SocketAddr,
    pin: Pin,
    thread: Option<JoinHandle<()>>,
}

impl Flights {
    pub(crate) fn start(before: Before) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        let key = made.signing_key.serialize_der();
        let chain = made.cert.der().clone();
        let pin = pin_of_der(&chain).unwrap();
        // A new configuration knows no ticket of the last one.
        let config = move || {
            let key = PrivateKeyDer::Pkcs8(key.clone().into());
            let certified = tls::certified_key(vec![chain.clone()], key).unwrap();
            tls::server(certified, ROLE).unwrap()
        };
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let shared = Arc::new(Shared {
            before: Mutex::new(before),
            renewed: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            spoke: Mutex::new(None),
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || serve(&socket, &theirs, &config));
        Self {
            shared,
            address,
            pin,
            thread: Some(thread),
        }
    }

    /// It from now on.
    pub(crate) fn set(&self, before: Before) {
        *self.shared.before.lock().unwrap() = before;
    }

    /// As if it were started anew: no connection and no ticket is known any more.
    pub(crate) fn restart(&self) {
        self.shared.renewed.store(true, Ordering::SeqCst);
        while self.shared.renewed.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
    }

    pub(crate) fn server(&self) -> Server {
        let target = Target::parse(&self.address.to_string(), 443).unwrap();
        Server::new(target, Trust::pins(vec![self.pin]))
    }
}

impl Drop for Flights {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, shared: &Shared, config: &dyn Fn() -> ServerConfig) {
    socket
        .set_read_timeout(Some(Duration::from_millis(5)))
        .unwrap();
    let mut engine = Engine::server(config());
    let mut talks: HashMap<SocketAddr, Talk> = HashMap::new();
    let mut packet = [0; 2048];
    while !shared.stopped.load(Ordering::SeqCst) {
        if shared.renewed.load(Ordering::SeqCst) {
            engine = Engine::server(config());
            shared.renewed.store(false, Ordering::SeqCst);
        }
        let received = socket.recv_from(&mut packet);
        let (time, before) = (Instant::now(), *shared.before.lock().unwrap());
        if let Ok((length, from)) = received {
            let stamp = Stamp::user(now());
            engine.handle_packet(time, from, None, &packet[..length], stamp);
            // Its events are of this packet; each connection has a port of its own.
            while let Some(event) = engine.poll_event() {
                if answer(&mut engine, &event) {
                    talks.entry(from).or_default().read = true;
                }
            }
        }
        engine.handle_timeout(time);
        while engine.poll_event().is_some() {}
        let mut buffer = Vec::new();
        while let Some(out) = engine.poll_transmit(time, &mut buffer) {
            let talk = talks.entry(out.remote).or_default();
            talk.unsaid.push(buffer.clone());
        }
        for (client, talk) in &mut talks {
            let first_flight = before == Before::OneFlight && !talk.spoken;
            if !talk.unsaid.is_empty() && (talk.read || before == Before::Anything || first_flight)
            {
                if !talk.read {
                    shared.spoke.lock().unwrap().get_or_insert_with(now);
                }
                talk.spoken = true;
                for packet in talk.unsaid.drain(..) {
                    socket.send_to(&packet, client).unwrap();
                }
            }
        }
    }
}

/// What was said to one client, and what is not yet.
#[derive(Debug, Default)]
struct Talk {
    read: bool,
    spoken: bool,
    unsaid: Vec<Vec<u8>>,
}

/// Whether that was a request.
fn answer(engine: &mut Engine, event: &Event) -> bool {
    let mut out = [0; 1200];
    let mut answer = |data: &[u8], stamp: &Stamp| {
        let request = Request::decode(data).unwrap();
        let prepared = Prepared::answer(&request, stamp.time, &mut out).unwrap();
        prepared.stamp(now()).to_vec()
    };
    match event {
        Event::Datagram { conn, data, stamp } => {
            let answer = answer(data, stamp);
            engine.send_datagram(*conn, &answer).unwrap();
            true
        }
        Event::Stream {
            conn,
            stream,
            data,
            stamp,
            ..
        } if !data.is_empty() => {
            let answer = answer(data, stamp);
            engine.send_stream(*conn, *stream, &answer, true).unwrap();
            true
        }
        _ => false,
    }
}

const ROLE: Role = Role::Server {
    streams: 32,
    idle: Duration::from_secs(30),
    buffer: 16 * 1024,
};
