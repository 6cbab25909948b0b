//! Packets waiting for their time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Instant;

/// A packet with the way it is to go.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) via: Rc<UdpSocket>,
    pub(super) to: SocketAddr,
    pub(super) bytes: Box<[u8]>,
}

/// Packets by deadline; those with the same one leave in the order they came.
#[derive(Debug, Default)]
pub(super) struct DelayQueue {
    waiting: BinaryHeap<Reverse<Waiting>>,
    pushed: u64,
}

impl DelayQueue {
    /// Adds a packet; false, and nothing is added, when too many are waiting.
    pub(super) fn push(&mut self, deadline: Instant, packet: Packet) -> bool {
        if self.waiting.len() == MAX_WAITING {
            return false;
        }
        self.waiting.push(Reverse(Waiting {
            key: (deadline, self.pushed),
            packet,
        }));
        self.pushed += 1;
        true
    }

    /// The next packet whose time has come.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Packet> {
        if self.next_deadline()? > now {
            return None;
        }
        self.waiting.pop().map(|Reverse(waiting)| waiting.packet)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.peek().map(|Reverse(waiting)| waiting.key.0)
    }
}

/// At most 24 MB of full-size packets.
const MAX_WAITING: usize = 16_384;

#[derive(Debug)]
struct Waiting {
    /// Deadline, then order of arrival.
    key: (Instant, u64),
    packet: Packet,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn queue_of(deadlines: &[Instant]) -> (DelayQueue, Rc<UdpSocket>) {
        let socket = Rc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut queue = DelayQueue::default();
        for (number, deadline) in deadlines.iter().enumerate() {
            let to = socket.local_addr().unwrap();
            let bytes = [u8::try_from(number).unwrap()].into();
            assert!(queue.push(
                *deadline,
                Packet {
                    via: Rc::clone(&socket),
                    to,
                    bytes
                }
            ));
        }
        (queue, socket)
    }

    #[test]
    fn packets_leave_by_deadline_then_by_arrival() {
        let now = Instant::now();
        let later = now + Duration::from_millis(1);
        let (mut queue, _) = queue_of(&[later, now, later, now]);
        let order = std::iter::from_fn(|| queue.pop_due(later)).map(|packet| packet.bytes[0]);
        assert_eq!(order.collect::<Vec<_>>(), [1, 3, 0, 2]);
    }

    #[test]
    fn packet_stays_until_its_deadline() {
        let deadline = Instant::now() + Duration::from_millis(1);
        let (mut queue, _) = queue_of(&[deadline]);
        assert!(queue.pop_due(deadline - Duration::from_nanos(1)).is_none());
        assert!(queue.pop_due(deadline).is_some());
    }

    #[test]
    fn full_queue_refuses_packets() {
        let now = Instant::now();
        let (mut queue, socket) = queue_of(&[]);
        let packet = || Packet {
            via: Rc::clone(&socket),
            to: socket.local_addr().unwrap(),
            bytes: [].into(),
        };
        assert!((0..MAX_WAITING).all(|_| queue.push(now, packet())));
        assert!(!queue.push(now, packet()));
    }
}
