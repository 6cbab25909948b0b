//! A network in memory: packets go in with the time, and come out when they arrive.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use crate::impairment::{Dice, Impairment};
use crate::packet::is_retry;
use crate::way::{Link, Way};

/// The network between some clients, each behind a NAT of its own, and the servers that they talk with.
///
/// From the same seed, packets and times come the same arrivals. It reads no clock: every call is told the time, which
/// must not run backwards.
#[derive(Debug)]
pub struct Network {
    impairment: Impairment,
    clients: Vec<Client>,
    link: Option<Link>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    pushed: u64,
    outside: u16,
    counters: Counters,
}

/// A packet that arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When.
    pub at: Instant,
    /// Its source as the receiver sees it.
    pub from: SocketAddr,
    /// Its destination.
    pub to: SocketAddr,
    /// The payload.
    pub bytes: Vec<u8>,
}

/// How many packets met which end so far, both ways together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Arrived.
    pub delivered: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Lost because the NAT has forgotten where they belong.
    pub stray: u64,
    /// Not as they were sent.
    pub spoiled: u64,
    /// Retry packets that servers sent.
    pub retries: u64,
}

#[derive(Debug)]
struct Client {
    inside: SocketAddr,
    outside: SocketAddr,
    sent: u64,
    rebound: bool,
    up: Way,
    down: Way,
    spoiler: Dice,
}

/// By arrival, then by order of sending.
#[derive(Debug, PartialEq, Eq)]
struct Waiting {
    key: (Instant, u64),
    packet: Packet,
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Network {
    /// An empty network, `now`.
    #[must_use]
    pub fn new(impairment: Impairment, now: Instant) -> Self {
        let link = |bottleneck| Link::new(bottleneck, impairment.seed, now);
        Self {
            impairment,
            clients: Vec::new(),
            link: impairment.bottleneck.map(link),
            waiting: BinaryHeap::new(),
            pushed: 0,
            outside: FIRST_OUTSIDE_PORT,
            counters: Counters::default(),
        }
    }

    /// Loss, reordering, jitter and spoiling are those of `impairment` from now on; delays stay what they were.
    pub fn change(&mut self, impairment: Impairment) {
        self.impairment = impairment;
    }

    /// Every client's packets leave from another port from now on, and what comes to the old one is lost.
    pub fn rebind(&mut self) {
        for index in 0..self.clients.len() {
            self.clients[index].outside = self.new_outside();
        }
    }

    /// A client at `from` sends to a server.
    pub fn from_client(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let index = self.client_at(from);
        self.rebind_when_due(index);
        let through = match &mut self.link {
            Some(link) => link.pass(now, bytes.len()),
            None => now,
        };
        let client = &mut self.clients[index];
        let (at, source) = (
            client.up.departure(&self.impairment, through),
            client.outside,
        );
        self.schedule(index, at, source, to, bytes);
    }

    /// A server at `from` sends to where it has seen a client.
    pub fn from_server(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.counters.retries += u64::from(is_retry(bytes));
        let Some(index) = self.clients.iter().position(|client| client.outside == to) else {
            self.counters.stray += 1;
            return;
        };
        let client = &mut self.clients[index];
        let (at, inside) = (client.down.departure(&self.impairment, now), client.inside);
        self.schedule(index, at, from, inside, bytes);
    }

    /// When the next packet arrives.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Instant> {
        self.waiting.peek().map(|Reverse(waiting)| waiting.key.0)
    }

    /// The next packet that has arrived by `now`.
    pub fn arrival(&mut self, now: Instant) -> Option<Packet> {
        if self.next_arrival()? > now {
            return None;
        }
        let Reverse(waiting) = self.waiting.pop()?;
        self.counters.delivered += 1;
        Some(waiting.packet)
    }

    /// What happened to the packets so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn schedule(
        &mut self,
        client: usize,
        at: Option<Instant>,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
    ) {
        let Some(at) = at else {
            self.counters.lost += 1;
            return;
        };
        let mut bytes = bytes.to_vec();
        if let Some(left) = self.clients[client]
            .spoiler
            .spoil(&self.impairment, &mut bytes)
        {
            self.counters.spoiled += 1;
            bytes.truncate(left);
        }
        let packet = Packet {
            at,
            from,
            to,
            bytes,
        };
        let key = (at, self.pushed);
        self.pushed += 1;
        self.waiting.push(Reverse(Waiting { key, packet }));
    }

    fn rebind_when_due(&mut self, index: usize) {
        self.clients[index].sent += 1;
        let due = |after| index == 0 && self.clients[index].sent > after;
        if self.impairment.rebind_after.is_some_and(due) && !self.clients[index].rebound {
            self.clients[index].outside = self.new_outside();
            self.clients[index].rebound = true;
        }
    }

    fn client_at(&mut self, inside: SocketAddr) -> usize {
        let known = self
            .clients
            .iter()
            .position(|client| client.inside == inside);
        known.unwrap_or_else(|| {
            let number = self.clients.len() as u64;
            let outside = self.new_outside();
            self.clients.push(Client {
                inside,
                outside,
                sent: 0,
                rebound: false,
                up: Way::up(&self.impairment, number),
                down: Way::down(&self.impairment, number),
                spoiler: Dice::new(!self.impairment.seed, number),
            });
            self.clients.len() - 1
        })
    }

    fn new_outside(&mut self) -> SocketAddr {
        self.outside += 1;
        (NAT, self.outside).into()
    }
}

/// The NATs' outer address, of those for documentation (RFC 5737).
const NAT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const FIRST_OUTSIDE_PORT: u16 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn client() -> SocketAddr {
        address("10.0.0.1:5000")
    }

    fn server() -> SocketAddr {
        address("192.0.2.1:443")
    }

    /// What arrives of 200 packets of a client, one a millisecond: how late, and which.
    fn arrivals(impairment: Impairment) -> Vec<(Duration, u8)> {
        let begun = Instant::now();
        let mut network = Network::new(impairment, begun);
        for number in 0..200_u8 {
            let now = begun + u32::from(number) * MS;
            network.from_client(now, client(), server(), &[number; 30]);
        }
        let arrival = |network: &mut Network| network.arrival(begun + 10_000 * MS);
        std::iter::from_fn(|| arrival(&mut network))
            .map(|packet| (packet.at - begun, packet.bytes[0]))
            .collect()
    }

    #[test]
    fn packet_arrives_after_the_delay_and_its_answer_after_that_again() {
        let begun = Instant::now();
        let mut network = Network::new(Impairment::round_trip(20 * MS), begun);
        network.from_client(begun, client(), server(), b"question");
        assert_eq!(network.next_arrival(), Some(begun + 10 * MS));
        assert_eq!(network.arrival(begun + 9 * MS), None);
        let asked = network.arrival(begun + 10 * MS).unwrap();
        assert_eq!((asked.to, &asked.bytes[..]), (server(), &b"question"[..]));
        assert_ne!(asked.from, client(), "the NAT's address is the one seen");
        network.from_server(asked.at, server(), asked.from, b"answer");
        let answered = network.arrival(begun + 20 * MS).unwrap();
        assert_eq!((answered.from, answered.to), (server(), client()));
        assert_eq!(answered.at, begun + 20 * MS);
        assert_eq!(network.counters().delivered, 2);
    }

    #[test]
    fn same_seed_gives_the_same_arrivals_and_another_gives_others() {
        let bad = |seed| Impairment {
            jitter: 5 * MS,
            loss_percent_each_way: 20.0,
            reorder_percent: 10.0,
            corrupt_percent: 10.0,
            seed,
            ..Impairment::round_trip(20 * MS)
        };
        assert_eq!(arrivals(bad(1)), arrivals(bad(1)));
        assert_ne!(arrivals(bad(1)), arrivals(bad(2)));
    }

    #[test]
    fn held_packets_are_overtaken() {
        let some = Impairment {
            reorder_percent: 20.0,
            ..Impairment::default()
        };
        let order: Vec<u8> = arrivals(some).iter().map(|(_, number)| *number).collect();
        assert_eq!(order.len(), 200);
        assert!(!order.is_sorted());
    }

    #[test]
    fn after_a_rebinding_the_old_port_is_nobodys_and_the_new_one_is_the_clients() {
        let begun = Instant::now();
        let mut network = Network::new(Impairment::default(), begun);
        network.from_client(begun, client(), server(), b"1");
        let before = network.arrival(begun).unwrap().from;
        network.rebind();
        network.from_client(begun, client(), server(), b"2");
        let after = network.arrival(begun).unwrap().from;
        assert_ne!(before, after);
        network.from_server(begun, server(), before, b"lost");
        assert_eq!(
            (network.arrival(begun), network.counters().stray),
            (None, 1)
        );
        network.from_server(begun, server(), after, b"found");
        assert_eq!(network.arrival(begun).unwrap().to, client());
    }

    #[test]
    fn client_moves_by_itself_after_as_many_packets_as_were_asked() {
        let begun = Instant::now();
        let soon = Impairment {
            rebind_after: Some(2),
            ..Impairment::default()
        };
        let mut network = Network::new(soon, begun);
        let mut seen = Vec::new();
        for _ in 0..4 {
            network.from_client(begun, client(), server(), b"x");
            seen.push(network.arrival(begun).unwrap().from);
        }
        assert!(
            seen[0] == seen[1] && seen[1] != seen[2] && seen[2] == seen[3],
            "{seen:?}"
        );
    }
}
