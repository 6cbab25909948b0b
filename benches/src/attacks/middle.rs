//! An attacker on the path: every packet between a server and its clients passes through its hands.
//!
//! What the clients send to [`Middle`] goes to the server as the attacker likes, and the other way round. Whoever
//! only sees the packets, or not even that, is played by an attacker who adds packets and leaves the others alone.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Who is between one client and the server. Each client has one of its own.
pub(super) trait Attacker: Send {
    /// A packet of the client, and what becomes of it.
    fn asked(&mut self, packet: &[u8]) -> Vec<Act> {
        vec![Act::to_server(packet)]
    }

    /// A packet of the server, and what becomes of it.
    fn answered(&mut self, packet: &[u8]) -> Vec<Act> {
        vec![Act::to_client(packet)]
    }
}

/// Sends a packet, after a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Act {
    to_server: bool,
    packet: Vec<u8>,
    after: Duration,
}

impl Act {
    pub(super) fn to_server(packet: &[u8]) -> Self {
        Self {
            to_server: true,
            packet: packet.into(),
            after: Duration::ZERO,
        }
    }

    /// It comes from the server's address, as far as the client can see.
    pub(super) fn to_client(packet: &[u8]) -> Self {
        Self {
            to_server: false,
            ..Self::to_server(packet)
        }
    }

    pub(super) fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }
}

/// A path with an attacker on it; ends on drop.
#[derive(Debug)]
pub(super) struct Middle {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Middle {
    /// Stands between whoever asks at `listen` and the server. Call it in the network namespace of both.
    ///
    /// # Errors
    /// The address is taken.
    pub(super) fn start(
        listen: SocketAddr,
        server: SocketAddr,
        attacker: impl Fn() -> Box<dyn Attacker> + Send + 'static,
    ) -> io::Result<Self> {
        let socket = nonblocking(listen)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("attacker".into())
            .spawn(move || {
                let mut path = Path {
                    socket,
                    server,
                    clients: HashMap::new(),
                    waiting: Vec::new(),
                };
                while !stopped.load(Ordering::Relaxed) {
                    if !path.turn(&attacker) {
                        thread::sleep(PAUSE);
                    }
                }
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Middle {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in it was printed already.
            let _ = thread.join();
        }
    }
}

/// Adds up to as much to a delay; what is told apart here differs by tens of milliseconds.
const PAUSE: Duration = Duration::from_micros(300);

/// More than any one-shot client and its retries.
const MOST_CLIENTS: usize = 256;

struct Path {
    socket: UdpSocket,
    server: SocketAddr,
    clients: HashMap<SocketAddr, Client>,
    waiting: Vec<(Instant, SocketAddr, Act)>,
}

struct Client {
    /// Towards the server.
    socket: UdpSocket,
    attacker: Box<dyn Attacker>,
}

impl Path {
    /// Whether anything moved.
    fn turn(&mut self, attacker: &dyn Fn() -> Box<dyn Attacker>) -> bool {
        let mut acts = Vec::new();
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
            if let Some(client) = self.client(from, attacker) {
                let now = client.attacker.asked(&buffer[..length]);
                acts.extend(now.into_iter().map(|act| (from, act)));
            }
        }
        for (address, client) in &mut self.clients {
            while let Ok(length) = client.socket.recv(&mut buffer) {
                let now = client.attacker.answered(&buffer[..length]);
                acts.extend(now.into_iter().map(|act| (*address, act)));
            }
        }
        let now = Instant::now();
        let moved = !acts.is_empty();
        for (client, act) in acts {
            self.waiting.push((now + act.after, client, act));
        }
        // Stable: those of one moment leave in their order.
        self.waiting.sort_by_key(|(due, ..)| *due);
        let due = self.waiting.partition_point(|(due, ..)| *due <= now);
        for (_, client, act) in self.waiting.drain(..due).collect::<Vec<_>>() {
            self.send(client, &act);
        }
        moved
    }

    fn client(
        &mut self,
        address: SocketAddr,
        attacker: &dyn Fn() -> Box<dyn Attacker>,
    ) -> Option<&mut Client> {
        if !self.clients.contains_key(&address) {
            if self.clients.len() == MOST_CLIENTS {
                return None;
            }
            let mut any = self.socket.local_addr().ok()?;
            any.set_port(0);
            let socket = nonblocking(any).ok()?;
            socket.connect(self.server).ok()?;
            let attacker = attacker();
            self.clients.insert(address, Client { socket, attacker });
        }
        self.clients.get_mut(&address)
    }

    fn send(&self, client: SocketAddr, act: &Act) {
        // A side that is gone gets nothing, as on any network.
        let _ = if act.to_server {
            let socket = self.clients.get(&client).map(|client| &client.socket);
            socket.map_or(Ok(0), |socket| socket.send(&act.packet))
        } else {
            self.socket.send_to(&act.packet, client)
        };
    }
}

fn nonblocking(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Shouting;

    impl Attacker for Shouting {
        fn asked(&mut self, packet: &[u8]) -> Vec<Act> {
            vec![Act::to_client(b"first"), Act::to_server(packet)]
        }

        fn answered(&mut self, packet: &[u8]) -> Vec<Act> {
            vec![Act::to_client(&packet.to_ascii_uppercase()).after(Duration::from_millis(20))]
        }
    }

    #[test]
    fn packets_pass_through_the_attackers_hands() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        let listen = free.local_addr().unwrap();
        drop(free);
        let _middle =
            Middle::start(listen, server.local_addr().unwrap(), || Box::new(Shouting)).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(listen).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let begun = Instant::now();
        client.send(b"ask").unwrap();
        let mut buffer = [0; 64];
        let (length, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"ask");
        server.send_to(b"answer", from).unwrap();
        let mut next = || {
            let length = client.recv(&mut buffer).unwrap();
            buffer[..length].to_vec()
        };
        assert_eq!(next(), b"first");
        assert_eq!(next(), b"ANSWER");
        assert!(begun.elapsed() >= Duration::from_millis(20));
    }
}
