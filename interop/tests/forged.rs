//! Our client on a path where somebody who sees its packets answers before the server does.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use tsq_interop::{Adjtime, Report, Server};

/// Asks a server through a path on which the first `forged` connections get a Version Negotiation packet, as nothing
/// but the connection IDs in the open is needed to make one; says how many were made.
fn ask_where_versions_are_forged(forged: u32) -> (Report, u32) {
    let server = Server::start(&[]);
    let path = Path::start(server.address(), forged);
    let address = path.address.to_string();
    let options = ["--timeout", "8000", "--pin", server.pin(), &address];
    (Adjtime::dry_run(&options), path.made())
}

#[test]
fn forged_version_negotiation_does_not_keep_us_from_a_server() {
    let (report, made) = ask_where_versions_are_forged(1);
    assert_eq!(made, 1);
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert_eq!(report.source(0, "answered"), 5, "{report:#?}");
}

/// A server that really speaks nothing else is believed after four times.
#[test]
fn version_negotiation_that_goes_on_ends_the_run_with_its_reason() {
    let (report, made) = ask_where_versions_are_forged(u32::MAX);
    assert_eq!(made, 4);
    assert_eq!(report.outcome.code, Some(3), "{report:#?}");
    let words = report.outcome.stderr.as_str().to_owned() + &report.outcome.stdout;
    assert!(words.contains("speaks no QUIC version 1"), "{report:#?}");
}

/// A path to a server for one client, which uses a new port for each connection.
struct Path {
    address: SocketAddr,
    made: Arc<AtomicU32>,
}

impl Path {
    fn start(server: SocketAddr, forged: u32) -> Self {
        let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
        let onward = UdpSocket::bind("127.0.0.1:0").unwrap();
        onward.connect(server).unwrap();
        for socket in [&listener, &onward] {
            let patience = Some(Duration::from_millis(1));
            socket.set_read_timeout(patience).unwrap();
        }
        let address = listener.local_addr().unwrap();
        let made = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&made);
        // Ends with the test's process.
        thread::spawn(move || carry(&listener, &onward, forged, &count));
        Self { address, made }
    }

    fn made(&self) -> u32 {
        self.made.load(Ordering::SeqCst)
    }
}

fn carry(listener: &UdpSocket, onward: &UdpSocket, forged: u32, made: &AtomicU32) {
    let (mut client, mut answered) = (None, Vec::new());
    let mut packet = [0; 2048];
    loop {
        if let Ok((length, from)) = listener.recv_from(&mut packet) {
            client = Some(from);
            if answered.contains(&from) {
                continue;
            }
            match other_versions(&packet[..length]) {
                Some(forgery) if made.load(Ordering::SeqCst) < forged => {
                    made.fetch_add(1, Ordering::SeqCst);
                    answered.push(from);
                    listener.send_to(&forgery, from).unwrap();
                }
                _ => drop(onward.send(&packet[..length])),
            }
        }
        if let (Ok(length), Some(client)) = (onward.recv(&mut packet), client) {
            listener.send_to(&packet[..length], client).unwrap();
        }
    }
}

/// The Version Negotiation packet (RFC 9000, section 17.2.1) that answers an Initial packet.
fn other_versions(packet: &[u8]) -> Option<Vec<u8>> {
    let [first, 0, 0, 0, 1, rest @ ..] = packet else {
        return None;
    };
    let (destination, rest) = rest.split_at_checked(1 + usize::from(*rest.first()?))?;
    let (source, _) = rest.split_at_checked(1 + usize::from(*rest.first()?))?;
    let forgery = [
        &[0x80, 0, 0, 0, 0],
        source,
        destination,
        &[0x1a, 0x2a, 0x3a, 0x4a],
    ]
    .concat();
    (first & 0xf0 == 0xc0).then_some(forgery)
}
