//! A TCP path with a round trip, for the key exchange of NTS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Forwards connections until it is dropped; those that are open then go on.
#[derive(Debug)]
pub struct TcpRelay {
    listen: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl TcpRelay {
    /// Forwards connections to `listen` to `upstream` as if a packet took so long there, and so long back.
    ///
    /// # Errors
    /// The address is taken.
    pub fn start(
        listen: SocketAddr,
        upstream: SocketAddr,
        there: Duration,
        back: Duration,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("tcp relay".into())
            .spawn(move || {
                for client in listener.incoming().flatten() {
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    // A connection that cannot be forwarded ends; its client will say so.
                    let _ = forward(&client, upstream, there, back);
                }
            })?;
        Ok(Self {
            listen,
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for TcpRelay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread, which then gives up its address. One that cannot be woken is left behind.
        if TcpStream::connect(self.listen).is_ok()
            && let Some(thread) = self.thread.take()
        {
            // It cannot panic.
            let _ = thread.join();
        }
    }
}

fn forward(
    client: &TcpStream,
    upstream: SocketAddr,
    there: Duration,
    back: Duration,
) -> io::Result<()> {
    let server = TcpStream::connect(upstream)?;
    // The kernel accepted at once: over a real path nothing leaves before the handshake of TCP is over.
    let established = Instant::now() + there + back;
    for (from, to, way) in [(client, &server, there), (&server, client, back)] {
        to.set_nodelay(true)?;
        let (sender, receiver) = channel();
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || read(from, &sender, established, way));
        thread::spawn(move || write(to, &receiver));
    }
    Ok(())
}

/// What is to be written, and when; nothing for the end.
type Chunk = (Instant, Vec<u8>);

fn read(mut from: TcpStream, to: &Sender<Chunk>, established: Instant, way: Duration) {
    let mut buffer = [0; 16 * 1024];
    loop {
        // What breaks one side ends the other.
        let length = from.read(&mut buffer).unwrap_or(0);
        let due = Instant::now().max(established) + way;
        if to.send((due, buffer[..length].to_vec())).is_err() || length == 0 {
            return;
        }
    }
}

fn write(mut to: TcpStream, from: &Receiver<Chunk>) {
    while let Ok((due, bytes)) = from.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if bytes.is_empty() || to.write_all(&bytes).is_err() {
            break;
        }
    }
    // It may be closed already.
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_arrive_whole_and_no_earlier_than_over_such_a_path() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = free.local_addr().unwrap();
        drop(free);
        let (there, back) = (Duration::from_millis(4), Duration::from_millis(6));
        let relay = TcpRelay::start(listen, server.local_addr().unwrap(), there, back).unwrap();
        let begun = Instant::now();
        let mut client = TcpStream::connect(listen).unwrap();
        client.write_all(b"ask").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let (mut served, _) = server.accept().unwrap();
        let mut asked = Vec::new();
        served.read_to_end(&mut asked).unwrap();
        assert_eq!(asked, b"ask");
        served.write_all(b"answer").unwrap();
        drop(served);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"answer");
        assert!(begun.elapsed() >= (there + back) * 2);
        // The address is free again at once: nothing of it is open.
        drop(relay);
        assert!(TcpStream::connect(listen).is_err());
    }
}
