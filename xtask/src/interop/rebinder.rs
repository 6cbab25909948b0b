//! A relay that goes on from another port once, as a NAT does that has forgotten a client.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A running relay for one client; it stops on drop.
pub(crate) struct Rebinder {
    address: SocketAddr,
    shared: Arc<Shared>,
    worker: Option<JoinHandle<io::Result<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// Packets from the server that came to the second port.
    after: AtomicU64,
}

impl Rebinder {
    /// Relays to `server`, after some packets from a second port.
    pub(crate) fn start(server: SocketAddr) -> Result<Self, String> {
        let front = socket().map_err(|error| error.to_string())?;
        let address = front.local_addr().map_err(|error| error.to_string())?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let worker = thread::spawn(move || relay(&front, server, &theirs));
        Ok(Self {
            address,
            shared,
            worker: Some(worker),
        })
    }

    /// Where the client sends to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Fails unless the server went on to the second port.
    pub(crate) fn finish(self) -> Result<String, String> {
        match self.shared.after.load(Ordering::Relaxed) {
            0 => Err("nothing came back to the second port".into()),
            _ => Ok(String::new()),
        }
    }
}

impl Drop for Rebinder {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(worker) = self.worker.take() {
            // A relay that broke has shown in its client's run.
            let _ = worker.join();
        }
    }
}

/// Takes turns on the two sockets that matter; what comes to the port given up is lost.
fn relay(front: &UdpSocket, server: SocketAddr, shared: &Shared) -> io::Result<()> {
    let (first, second) = (socket()?, socket()?);
    let (mut client, mut sent) = (None, 0_u64);
    let mut buffer = [0; 2048];
    while !shared.stop.load(Ordering::Relaxed) {
        let back = if sent <= SWITCH_AFTER {
            &first
        } else {
            &second
        };
        let mut idle = true;
        if let Some((length, from)) = take(front, &mut buffer)? {
            client = Some(from);
            sent += 1;
            let way = if sent <= SWITCH_AFTER {
                &first
            } else {
                &second
            };
            // A packet that cannot leave is lost, and QUIC lives with those.
            let _ = way.send_to(&buffer[..length], server);
            idle = false;
        }
        if let Some((length, _)) = take(back, &mut buffer)? {
            if sent > SWITCH_AFTER {
                shared.after.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(client) = client {
                let _ = front.send_to(&buffer[..length], client);
            }
            idle = false;
        }
        if idle {
            thread::sleep(PAUSE);
        }
    }
    Ok(())
}

fn take(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
    match socket.recv_from(buffer) {
        Ok(taken) => Ok(Some(taken)),
        // A server that has gone is the client's business.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

fn socket() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A client's packets before the change: past any handshake, and before the last of 50 exchanges.
const SWITCH_AFTER: u64 = 15;
const PAUSE: Duration = Duration::from_micros(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_sees_a_second_port_and_its_answers_arrive() {
        let echo = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        for socket in [&echo, &client] {
            socket
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
        }
        let rebinder = Rebinder::start(echo.local_addr().unwrap()).unwrap();
        let (mut ports, mut buffer) = (Vec::new(), [0; 8]);
        for _ in 0..2 * SWITCH_AFTER {
            client.send_to(b"?", rebinder.address()).unwrap();
            let (_, from) = echo.recv_from(&mut buffer).unwrap();
            echo.send_to(b"!", from).unwrap();
            client.recv_from(&mut buffer).unwrap();
            ports.push(from.port());
        }
        ports.dedup();
        assert_eq!(ports.len(), 2);
        rebinder.finish().unwrap();
    }
}
