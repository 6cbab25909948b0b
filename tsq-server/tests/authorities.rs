//! Client authorities that are taken away while the server runs.
#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::load::LIMIT;
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SingleCertAndKey;
use tsq_certs::{Authority, Lifetime, Made, make_ca, make_client};
use tsq_dev::AnyCertificate;
use tsq_interop::Process;
use tsq_net::tls::{self, Sessions, Tickets};
use tsq_net::{Batch, ClientConfig, ConnId, Engine, Event, SendOptions, Socket, wait};
use tsq_proto::{Nonce, Request};

#[expect(dead_code, reason = "the crowd of clients is for others")]
mod common;

/// A client of one authority, which asks at once where it has a ticket.
struct Client {
    engine: Engine,
    socket: Socket,
    server: SocketAddr,
    config: ClientConfig,
    tickets: Tickets,
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    Closed,
}

impl Client {
    fn of(authority: &Made, server: SocketAddr) -> Self {
        let signer = Authority::from_pem(&authority.cert_pem, &authority.key_pem).unwrap();
        let made = make_client(&signer, "laptop", Lifetime::days(10).unwrap()).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(made.cert_pem.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(made.key_pem.as_bytes()).unwrap();
        let identity = SingleCertAndKey::from(tls::certified_key(chain, key).unwrap());
        let tickets = Tickets::new();
        let sessions = Sessions::Early(tickets.clone());
        Self {
            engine: Engine::client(),
            socket: Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap(),
            server,
            config: tls::client_as(
                Arc::new(identity),
                Arc::new(AnyCertificate::default()),
                sessions,
            )
            .unwrap(),
            tickets,
        }
    }

    fn connect(&mut self) -> ConnId {
        let (now, config) = (Instant::now(), self.config.clone());
        let conn = self.engine.connect(now, config, self.server, "localhost");
        conn.unwrap()
    }

    /// Asks on `conn` as soon as it can be, and again, until it is answered or closed.
    fn ask(&mut self, conn: ConnId) -> Outcome {
        let begun = Instant::now();
        let mut request = [0; 64];
        let length = Request::new(Nonce::new([7; 16]))
            .encode(&mut request)
            .unwrap();
        loop {
            assert!(begun.elapsed() < LIMIT, "neither answered nor closed");
            // Not before the handshake allows it.
            let _ = self.engine.send_datagram(conn, &request[..length]);
            for event in self.turn() {
                match event {
                    Event::Datagram { conn: of, .. } if of == conn => return Outcome::Answered,
                    Event::Closed { conn: of, .. } if of == conn => return Outcome::Closed,
                    _ => {}
                }
            }
        }
    }

    fn wait_until_closed(&mut self, conn: ConnId) {
        let begun = Instant::now();
        let closed = |event: &Event| matches!(event, Event::Closed { .. });
        while !self
            .turn()
            .iter()
            .any(|event| closed(event) && event.conn() == conn)
        {
            assert!(begun.elapsed() < LIMIT, "not closed");
        }
    }

    fn wait_for_tickets(&mut self) {
        let begun = Instant::now();
        while self.tickets.is_empty() {
            assert!(begun.elapsed() < LIMIT, "no tickets");
            self.turn();
        }
    }

    fn turn(&mut self) -> Vec<Event> {
        let (mut batch, mut buffer) = (Batch::new(), Vec::new());
        while let Some(out) = self.engine.poll_transmit(Instant::now(), &mut buffer) {
            let _ = self
                .socket
                .send(out.remote, &buffer, SendOptions::default());
        }
        wait(&[&self.socket], None, Some(Duration::from_millis(20))).unwrap();
        let count = self.socket.receive(&mut batch).unwrap_or(0);
        for packet in (0..count).filter_map(|i| batch.packet(i)) {
            let (from, to, stamp) = (packet.remote, packet.local_ip, packet.stamp);
            let now = Instant::now();
            self.engine
                .handle_packet(now, from, to, packet.bytes, stamp);
        }
        self.engine.handle_timeout(Instant::now());
        std::iter::from_fn(|| self.engine.poll_event()).collect()
    }
}

fn authority(name: &str) -> Made {
    make_ca(name, Lifetime::days(10).unwrap()).unwrap()
}

fn start(state: &Path, client_ca: &Path) -> (Process, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tsq-server"));
    command
        .args([
            "--serve-unsynchronised",
            "--no-chrony",
            "--listen",
            "127.0.0.1:0",
        ])
        .args(["--threads", "1"])
        .arg("--client-ca")
        .arg(client_ca)
        .arg("--state-dir")
        .arg(state);
    let server = Process::start(command);
    let address = server.wait_for(LIMIT, |line| {
        let (_, rest) = line.split_once("listening")?;
        let (_, rest) = rest.split_once("address=")?;
        rest.split(' ').next()?.parse().ok()
    });
    (server, address)
}

fn hangup(server: &Process) {
    let pid = Pid::from_raw(server.id().cast_signed()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
}

#[test]
fn client_of_a_removed_authority_is_closed_and_its_tickets_are_worth_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clients.pem");
    let (kept, removed) = (authority("kept"), authority("removed"));
    fs::write(&file, [kept.cert_pem.as_str(), &removed.cert_pem].concat()).unwrap();
    let (server, address) = start(&folder.path().join("state"), &file);
    let (mut ours, mut theirs) = (Client::of(&kept, address), Client::of(&removed, address));
    let (our_first, their_first) = (ours.connect(), theirs.connect());
    assert_eq!(ours.ask(our_first), Outcome::Answered);
    assert_eq!(theirs.ask(their_first), Outcome::Answered);
    ours.wait_for_tickets();
    theirs.wait_for_tickets();

    fs::write(&file, &kept.cert_pem).unwrap();
    hangup(&server);
    server.wait_for(LIMIT, |line| {
        line.contains("clients of those that are gone are closed")
            .then_some(())
    });
    theirs.wait_until_closed(their_first);
    assert!(!theirs.tickets.is_empty());
    let resumed = theirs.connect();
    assert_eq!(theirs.ask(resumed), Outcome::Closed);
    let full = theirs.connect();
    assert_eq!(theirs.ask(full), Outcome::Closed);
    // The others notice nothing.
    assert_eq!(ours.ask(our_first), Outcome::Answered);
    let again = ours.connect();
    assert_eq!(ours.ask(again), Outcome::Answered);
}
