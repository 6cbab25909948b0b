//! A TCP path with a round trip, for the key exchange of NTS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Forwards connections to `listen` to `upstream` as if it were `round_trip` away, until the process ends.
///
/// # Errors
/// The address is taken.
pub(super) fn start(
    listen: SocketAddr,
    upstream: SocketAddr,
    round_trip: Duration,
) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    thread::Builder::new()
        .name("tcp relay".into())
        .spawn(move || {
            for client in listener.incoming().flatten() {
                // A connection that cannot be forwarded ends; its client will say so.
                let _ = forward(&client, upstream, round_trip);
            }
        })?;
    Ok(())
}

fn forward(client: &TcpStream, upstream: SocketAddr, round_trip: Duration) -> io::Result<()> {
    let server = TcpStream::connect(upstream)?;
    // The kernel accepted at once: over a real path nothing leaves before the handshake of TCP is over.
    let established = Instant::now() + round_trip;
    for (from, to) in [(client, &server), (&server, client)] {
        to.set_nodelay(true)?;
        let (sender, receiver) = channel();
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || read(from, &sender, established, round_trip / 2));
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
        let round_trip = Duration::from_millis(10);
        start(listen, server.local_addr().unwrap(), round_trip).unwrap();
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
        assert!(begun.elapsed() >= round_trip * 2);
    }
}
