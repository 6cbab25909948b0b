//! A message there and back between two engines over loopback, and when each packet passed the kernel.
//!
//! `cargo run -p tsq-net --example loopback`

#![forbid(unsafe_code)]

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::PrivateKeyDer;
use tsq_net::{Batch, ConnId, Engine, Event, Role, SendOptions, Socket, tls, wait};

/// One side: an engine, its socket, and what it does with an event.
struct End {
    engine: Engine,
    socket: Socket,
    batch: Batch,
}

impl End {
    fn new(engine: Engine) -> std::io::Result<Self> {
        let any: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
        Ok(Self {
            engine,
            socket: Socket::bind(any)?,
            batch: Batch::new(),
        })
    }

    /// Takes in what has come, hands each event to `act`, and sends what there is to send.
    fn turn(&mut self, mut act: impl FnMut(&mut Engine, Event)) -> std::io::Result<()> {
        for i in 0..self.socket.receive(&mut self.batch)? {
            let Some(packet) = self.batch.packet(i) else {
                continue;
            };
            let (from, to, stamp) = (packet.remote, packet.local_ip, packet.stamp);
            self.engine
                .handle_packet(Instant::now(), from, to, packet.bytes, stamp);
        }
        self.engine.handle_timeout(Instant::now());
        while let Some(event) = self.engine.poll_event() {
            act(&mut self.engine, event);
        }
        let mut buffer = Vec::new();
        while let Some(out) = self.engine.poll_transmit(Instant::now(), &mut buffer) {
            self.socket
                .send(out.remote, &buffer, SendOptions::default())?;
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()])?;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let certificate = tls::certified_key(vec![made.cert.der().clone()], key)?;
    let role = Role::Server {
        streams: 1,
        idle: Duration::from_secs(10),
        buffer: 4096,
    };
    let mut server = End::new(Engine::server(tls::server(certificate, role)?))?;
    let mut client = End::new(Engine::client())?;
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), tls::provider()).build()?;
    let (config, address) = (tls::client(verifier)?, server.socket.local_addr());
    let conn: ConnId = client
        .engine
        .connect(Instant::now(), config, address, "localhost")?;
    client.turn(|_, _| {})?;
    let (deadline, mut done) = (Instant::now() + Duration::from_secs(5), false);
    while !done && Instant::now() < deadline {
        let brief = Some(Duration::from_millis(10));
        wait(&[&server.socket, &client.socket], None, brief)?;
        server.turn(|engine, event| {
            if let Event::Datagram { conn, data, stamp } = event {
                println!("server: {} bytes, {stamp:?}", data.len());
                let _ = engine.send_datagram(conn, &data);
            }
        })?;
        client.turn(|engine, event| match event {
            Event::Connected { .. } => {
                let _ = engine.send_datagram(conn, b"what time is it?");
            }
            Event::Datagram { data, stamp, .. } => {
                println!("client: {} bytes, {stamp:?}", data.len());
                done = true;
            }
            Event::Closed { reason, .. } => println!("closed: {reason:?}"),
            _ => {}
        })?;
    }
    done.then_some(()).ok_or_else(|| "no answer in 5 s".into())
}
