//! Every packet of a network namespace, as it arrives: counted without a word to those who send it.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_recv_buffer_size_force, set_socket_timeout};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, recv, socket_with};

use crate::Error;

/// Listens until it is dropped.
pub(crate) struct Tap {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Packet>>>,
}

/// A packet to or from the server that was listened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    /// When it arrived.
    at: Instant,
    /// Towards the server.
    is_request: bool,
    /// Bytes, headers of IP included.
    length: u16,
}

impl Tap {
    /// Listens in the network namespace of this thread for IPv4 packets to and from `server`.
    ///
    /// # Errors
    /// Not root.
    pub(crate) fn start(server: Ipv4Addr) -> Result<Self, Error> {
        // Of one protocol the kernel hands over what is received; of all, what is sent as well: on loopback, each twice.
        let protocol = NonZeroU32::new(u32::from(IPV4.to_be())).map(Protocol::from_raw);
        let socket = socket_with(
            AddressFamily::PACKET,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        set_socket_recv_buffer_size_force(&socket, BUFFER)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || listen(&socket, server, &stopped));
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Ends it. What it heard, in order.
    pub(crate) fn stop(mut self) -> Vec<Packet> {
        self.stop.store(true, Ordering::Relaxed);
        let heard = self.thread.take().map(JoinHandle::join);
        heard.and_then(Result::ok).unwrap_or_default()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

const IPV4: u16 = 0x0800;
const BUFFER: usize = 8 << 20;
const PATIENCE: Duration = Duration::from_millis(20);

fn listen(socket: &OwnedFd, server: Ipv4Addr, stop: &AtomicBool) -> Vec<Packet> {
    let (mut heard, mut buffer) = (Vec::new(), [0_u8; 2048]);
    loop {
        match recv(socket, &mut buffer, RecvFlags::empty()) {
            Ok((_, length)) => {
                heard.extend(packet(&buffer[..length.min(buffer.len())], server));
            }
            // Nothing for a while, or a signal.
            Err(_) if stop.load(Ordering::Relaxed) => return heard,
            Err(_) => {}
        }
    }
}

fn packet(bytes: &[u8], server: Ipv4Addr) -> Option<Packet> {
    let address = |at: usize| bytes.get(at..at + 4)?.first_chunk::<4>().copied();
    let (from, to) = (Ipv4Addr::from(address(12)?), Ipv4Addr::from(address(16)?));
    (from == server || to == server).then_some(Packet {
        at: Instant::now(),
        is_request: to == server,
        length: u16::from_be_bytes([bytes[2], bytes[3]]),
    })
}

/// Bytes of all of them.
pub(crate) fn bytes(packets: &[Packet]) -> u32 {
    packets.iter().map(|packet| u32::from(packet.length)).sum()
}

/// How many round trips of this length followed each other until the last answer: back from that to the request it
/// was to, the latest that is a round trip older; back from there to the answer before; and so on. An answer that took
/// two, as the first of a TCP connection through a relay does, counts as two. What came after `end` was waited for by
/// nobody.
pub(crate) fn round_trips(packets: &[Packet], end: Instant, round_trip: Duration) -> u32 {
    let least = round_trip * 9 / 10;
    let mut count = 0;
    let mut before = packets.partition_point(|packet| packet.at <= end);
    while let Some(answer) = packets[..before].iter().rposition(|p| !p.is_request) {
        let at = packets[answer].at;
        let old_enough =
            |packet: &Packet| packet.is_request && at.duration_since(packet.at) >= least;
        let Some(request) = packets[..answer].iter().rposition(old_enough) else {
            break;
        };
        let took = at.duration_since(packets[request].at);
        count += if took >= least * 2 { 2 } else { 1 };
        before = request;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIP: Duration = Duration::from_millis(20);

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    /// Requests (true) and answers at these milliseconds.
    fn packets(events: &[(u64, bool)]) -> Vec<Packet> {
        let begun = Instant::now();
        let packet = |(at, is_request): &(u64, bool)| Packet {
            at: begun + Duration::from_millis(*at),
            is_request: *is_request,
            length: 100,
        };
        events.iter().map(packet).collect()
    }

    #[test]
    fn questions_asked_together_are_one_round_trip() {
        let together = packets(&[(0, true), (1, true), (2, true), (20, false), (21, false)]);
        assert_eq!(round_trips(&together, far(), TRIP), 1);
        assert_eq!(bytes(&together), 500);
    }

    #[test]
    fn question_after_an_answer_is_another_round_trip() {
        let three = [
            (0, true),
            (20, false),
            (20, true),
            (40, false),
            (900, true),
            (921, false),
        ];
        assert_eq!(round_trips(&packets(&three), far(), TRIP), 3);
    }

    #[test]
    fn tcp_connection_through_a_relay_counts_as_one_more() {
        // SYN, its answer by the relay at once, the first bytes; those are answered after two round trips.
        let events = [
            (0, true),
            (0, false),
            (0, true),
            (40, false),
            (40, true),
            (40, false),
            (61, false),
        ];
        assert_eq!(round_trips(&packets(&events), far(), TRIP), 3);
    }

    #[test]
    fn answer_after_the_end_was_not_waited_for() {
        let two = packets(&[(0, true), (20, false), (20, true), (40, false)]);
        assert_eq!(round_trips(&two, two[2].at, TRIP), 1);
    }

    #[test]
    fn silence_is_no_round_trip() {
        assert_eq!(round_trips(&packets(&[]), far(), TRIP), 0);
        assert_eq!(
            round_trips(&packets(&[(0, true), (5, true)]), far(), TRIP),
            0
        );
    }

    #[test]
    fn other_peoples_packets_are_not_counted() {
        let mut bytes = [0; 28];
        bytes[3] = 28;
        bytes[12..16].copy_from_slice(&[127, 0, 0, 1]);
        bytes[16..20].copy_from_slice(&[127, 0, 0, 21]);
        let server = Ipv4Addr::new(127, 0, 0, 21);
        assert!(packet(&bytes, server).is_some_and(|p| p.is_request && p.length == 28));
        assert_eq!(packet(&bytes, Ipv4Addr::new(127, 0, 0, 22)), None);
        assert_eq!(packet(&bytes[..19], server), None);
    }
}
