//! Clients and servers with a network between them, under a clock that only goes when nobody has anything to do.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tsq_client::{Client, Event, Now, Options, Server, SourceReport};
use tsq_net::{ClockPair, ConnId, Departure, Stamp};
use tsq_netem::{Impairment, Network};
use tsq_proto::HostTime;
use tsq_proto::time::Monotonic;
use tsq_server::limits::Retry;

use crate::chance::provider;
use crate::host::{Host, Identity};

pub(crate) struct World {
    begun: Instant,
    /// Since the beginning, in nanoseconds.
    elapsed: u64,
    pub(crate) network: Network,
    /// A hash of all packets that have arrived.
    pub(crate) packets: u64,
    pub(crate) hosts: Vec<Host>,
    /// The ports that the clients' sockets have taken so far.
    ports: u16,
    seed: u64,
}

/// A client core with its sockets and its clock.
pub(crate) struct Driver {
    core: Client,
    sockets: Vec<Socket>,
    /// By how much its clock is behind the true time, in nanoseconds.
    pub(crate) behind: i64,
    /// Names and the addresses that a resolver would give for them.
    pub(crate) names: Vec<(String, Vec<SocketAddr>)>,
    /// Addresses to which there is no way.
    pub(crate) no_way_to: Vec<SocketAddr>,
    departures: VecDeque<(ConnId, u32, HostTime)>,
    departed: u32,
}

struct Socket {
    link: ConnId,
    local: SocketAddr,
    remote: SocketAddr,
}

/// Of the true time at the beginning, since 1970: 2026-12-01.
const EPOCH: i64 = 1_796_083_200_000_000_000;

impl World {
    pub(crate) fn new(impairment: Impairment) -> Self {
        let begun = Instant::now();
        Self {
            begun,
            elapsed: 0,
            network: Network::new(impairment, begun),
            packets: 0,
            hosts: Vec::new(),
            ports: 5000,
            seed: impairment.seed,
        }
    }

    /// A server from now on.
    pub(crate) fn serve(&mut self, address: SocketAddr, identity: &Identity, retry: Retry) {
        self.seed += 1;
        let (now, true_time) = (self.now(), self.true_time());
        self.hosts.push(Host::new(
            address, identity, retry, self.seed, now, true_time,
        ));
    }

    pub(crate) fn driver(&mut self, servers: Vec<Server>, options: Options) -> Driver {
        self.seed += 1;
        let behind = 0;
        Driver {
            core: Client::new(servers, options, provider(self.seed), &self.now_of(behind)),
            sockets: Vec::new(),
            behind,
            names: Vec::new(),
            no_way_to: Vec::new(),
            departures: VecDeque::new(),
            departed: 0,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.begun + Duration::from_nanos(self.elapsed)
    }

    /// Nanoseconds since 1970.
    pub(crate) fn true_time(&self) -> i64 {
        EPOCH + i64::try_from(self.elapsed).unwrap()
    }

    fn now_of(&self, behind: i64) -> Now {
        Now {
            instant: self.now(),
            clocks: ClockPair {
                real: HostTime::from_unix_nanos(self.true_time() - behind),
                monotonic: Monotonic::from_nanos(self.elapsed),
            },
        }
    }

    /// Measures, for `patience` at most.
    pub(crate) fn measure(&mut self, client: &mut Driver, patience: Duration) -> Vec<SourceReport> {
        let deadline = self.now() + patience;
        client.core.begin(&self.now_of(client.behind), deadline);
        loop {
            if let Some(Over::Measured(reports)) = self.step(client, deadline) {
                return reports;
            }
        }
    }

    /// Nobody asks anything for so long.
    pub(crate) fn rest(&mut self, client: &mut Driver, time: Duration) {
        let end = self.now() + time;
        while self.now() < end {
            self.step(client, end);
        }
    }

    /// The client says that it is done, and its servers hear of it.
    pub(crate) fn close(&mut self, mut client: Driver) {
        client.core.close(&self.now_of(client.behind));
        let patience = self.now() + Duration::from_secs(60);
        while !matches!(self.step(&mut client, patience), Some(Over::Closed)) {}
        self.rest(&mut client, Duration::from_secs(1));
    }

    /// Lets everybody do what there is to do now, and then the time go on to when there is something again, or to `end`.
    fn step(&mut self, client: &mut Driver, end: Instant) -> Option<Over> {
        let over = self.settle(client);
        if over.is_none() {
            let due = client.core.poll_timeout().into_iter();
            let hosts = self.hosts.iter().filter_map(Host::poll_timeout);
            let next = due.chain(hosts).chain(self.network.next_arrival()).min();
            let next = next.map_or(end, |next| next.min(end));
            let ahead = next.saturating_duration_since(self.now());
            self.elapsed += u64::try_from(ahead.as_nanos()).unwrap();
            self.deliver(client);
            let (now, true_time) = (self.now(), self.true_time());
            client.core.handle_timeout(&self.now_of(client.behind));
            for host in &mut self.hosts {
                host.handle_timeout(now, true_time);
            }
        }
        over
    }

    fn deliver(&mut self, client: &mut Driver) {
        let (now, told) = (self.now(), self.now_of(client.behind));
        while let Some((link, id, at)) = client.departures.pop_front() {
            client.core.handle_departure(&told, link, id, at);
        }
        while let Some(packet) = self.network.arrival(now) {
            self.packets = hash_of(self.packets, &packet.bytes);
            let true_time = self.true_time();
            if let Some(host) = self.hosts.iter_mut().find(|host| host.address == packet.to) {
                host.receive(now, true_time, packet.from, &packet.bytes);
                // Each answer is sent before the next packet is looked at.
                send_of(host, &mut self.network, now);
            } else if let Some(socket) = client
                .sockets
                .iter()
                .find(|socket| socket.local == packet.to)
            {
                let stamp = Stamp::kernel(told.clocks.real);
                client
                    .core
                    .handle_packet(&told, socket.link, &packet.bytes, stamp);
            }
        }
    }

    /// Events and packets, until there are no more.
    fn settle(&mut self, client: &mut Driver) -> Option<Over> {
        let (instant, now) = (self.now(), self.now_of(client.behind));
        let mut over = None;
        loop {
            while let Some(event) = client.core.poll_event() {
                match event {
                    Event::Resolve { server, target } => {
                        let known = client
                            .names
                            .iter()
                            .find(|(name, _)| target.given.starts_with(name.as_str()));
                        let found = known.map(|(_, addresses)| addresses.clone());
                        let result = found.ok_or_else(|| "no such host".to_string());
                        client.core.resolved(&now, server, result);
                    }
                    Event::Open { link, remote } => self.open(client, link, remote, &now),
                    Event::Close { link } => client.sockets.retain(|socket| socket.link != link),
                    Event::Measured(reports) => over = Some(Over::Measured(reports)),
                    Event::Closed => over = Some(Over::Closed),
                    _ => {}
                }
            }
            let mut bytes = Vec::new();
            let Some(packet) = client.core.poll_transmit(&now, &mut bytes) else {
                break;
            };
            let Some(socket) = client
                .sockets
                .iter()
                .find(|socket| socket.link == packet.link)
            else {
                continue;
            };
            self.network
                .from_client(instant, socket.local, socket.remote, &bytes);
            let (before, id) = (
                now.clocks.real,
                packet.is_timed().then_some(client.departed),
            );
            client.core.sent(&now, &packet, Departure { id, before });
            if let Some(id) = id {
                client.departures.push_back((packet.link, id, before));
                client.departed += 1;
            }
        }
        for host in &mut self.hosts {
            send_of(host, &mut self.network, instant);
        }
        over
    }

    fn open(&mut self, client: &mut Driver, link: ConnId, remote: SocketAddr, now: &Now) {
        if client.no_way_to.contains(&remote) {
            let error = io::Error::from_raw_os_error(ENETUNREACH);
            return client.core.unopened(now, link, &error);
        }
        self.ports += 1;
        let local = (Ipv4Addr::new(10, 0, 0, 1), self.ports).into();
        client.sockets.push(Socket {
            link,
            local,
            remote,
        });
    }
}

enum Over {
    Measured(Vec<SourceReport>),
    Closed,
}

fn send_of(host: &mut Host, network: &mut Network, now: Instant) {
    while let Some((to, bytes)) = host.poll_transmit() {
        network.from_server(now, host.address, to, &bytes);
    }
}

/// FNV-1a of both.
fn hash_of(before: u64, bytes: &[u8]) -> u64 {
    let all = before
        .to_le_bytes()
        .into_iter()
        .chain(bytes.iter().copied());
    all.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Linux's number.
const ENETUNREACH: i32 = 101;
