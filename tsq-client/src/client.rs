//! A client of any number of servers, without a socket, a clock, a thread or chance of its own.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::CryptoProvider;
use tsq_net::{Carries, ConnId, Departure, Engine, Stamp};
use tsq_proto::HostTime;

use crate::address_race::Said;
use crate::association::Association;
use crate::means::{Means, Now};
use crate::options::{Options, Progress};
use crate::report::SourceReport;
use crate::target::Target;
use crate::trust::Server;

/// The associations with several servers: packets and time in, packets and [`Event`]s out.
///
/// [`Session`](crate::Session) drives it with sockets and the system's clocks; a simulator drives it with neither.
/// A *link* is one connection and the socket that only it uses. The caller's loop is always the same:
///
/// 1. [`begin`](Self::begin) a measurement; then, whenever there is something to tell, one of
///    [`handle_packet`](Self::handle_packet), [`handle_departure`](Self::handle_departure),
///    [`handle_error`](Self::handle_error) (what the kernel tells of departures before packets: an answer cannot be
///    judged without its query's T1), [`resolved`](Self::resolved) and, at [`poll_timeout`](Self::poll_timeout) at
///    the latest, [`handle_timeout`](Self::handle_timeout);
/// 2. [`poll_event`](Self::poll_event) until None, doing what each event says;
/// 3. [`poll_transmit`](Self::poll_transmit) until None, sending each packet at once and telling with
///    [`sent`](Self::sent) or [`unsent`](Self::unsent) what became of it; then 2 again if there are new events.
///
/// From the same packets, times and chance come the same events and reports, to the byte.
pub struct Client {
    associations: Vec<Association>,
    options: Options,
    engine: Engine,
    means: Means,
    events: VecDeque<Event>,
    /// The links that the caller has been told to open, and not yet to close.
    links: Vec<ConnId>,
    work: Work,
    /// When it was last called.
    called: Instant,
}

/// What a [`Client`] is about.
enum Work {
    /// Connections are kept as long as their servers keep them.
    Nothing,
    Measuring {
        since: Instant,
        deadline: Instant,
        /// Servers that somebody else has got an answer of, by other means.
        answered_elsewhere: Vec<bool>,
    },
    /// No more will be asked, but tickets may be on their way.
    Closing { since: Instant },
}

/// What whoever drives a [`Client`] has to do, or learns.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Look up the addresses of `target`, and tell them by [`Client::resolved`].
    Resolve {
        /// The number of the server it is for.
        server: usize,
        /// Whose addresses.
        target: Target,
    },
    /// Have a socket for `link`, connected to `remote` and to be used for nothing else; tell by
    /// [`Client::unopened`] if there is none.
    Open {
        /// The link.
        link: ConnId,
        /// Whom it is to talk with.
        remote: SocketAddr,
    },
    /// Nothing more will be sent on this link, and nothing that comes on it counts.
    Close {
        /// The link.
        link: ConnId,
    },
    /// The measurement is over: one report for each server, in their order.
    Measured(Vec<SourceReport>),
    /// All that was to come before the end has come; what [`Client::poll_transmit`] still has tells the servers.
    Closed,
}

/// A packet to send, whose bytes are in the buffer given to [`Client::poll_transmit`].
#[derive(Clone, Copy, Debug)]
pub struct Transmit {
    /// The link to send it on.
    pub link: ConnId,
    carries: Carries,
}

impl Transmit {
    /// Whether it carries a query: then the exact time of its departure is wanted.
    pub fn is_timed(&self) -> bool {
        self.carries.datagrams + self.carries.stream_frames > 0
    }
}

impl Client {
    /// Makes ready; nothing is asked yet. Cryptography and chance come from `provider`, whose
    /// [`secure_random`](CryptoProvider::secure_random) nobody else may be able to guess: nonces are drawn of it.
    /// Without randomness nothing is asked.
    pub fn new(
        servers: Vec<Server>,
        options: Options,
        provider: Arc<CryptoProvider>,
        now: &Now,
    ) -> Self {
        let means = Means::new(provider, now);
        let mut engine = match means.draw() {
            Some(seed) => Engine::client_seeded(seed),
            None => Engine::client(),
        };
        engine.count_frames();
        let association = |server| Association::new(server, now.instant);
        Self {
            associations: servers.into_iter().map(association).collect(),
            options,
            engine,
            means,
            events: VecDeque::new(),
            links: Vec::new(),
            work: Work::Nothing,
            called: now.instant,
        }
    }

    /// Asks every server that has not failed. The measurement ends with [`Event::Measured`] when all have answered,
    /// or at `deadline`.
    ///
    /// A connection that ended since the last measurement is made anew, with a ticket where there is one.
    pub fn begin(&mut self, now: &Now, deadline: Instant) {
        self.means.tell(now);
        self.work = Work::Measuring {
            since: now.instant,
            deadline,
            answered_elsewhere: vec![false; self.associations.len()],
        };
        for (server, association) in self.associations.iter_mut().enumerate() {
            let target = association.begin(&mut self.engine, &self.options, now.instant);
            let resolve = target.map(|target| Event::Resolve { server, target });
            self.events.extend(resolve);
        }
        self.turn(now);
    }

    /// What became of [`Event::Resolve`]: addresses in the order to try, or the resolver's words.
    pub fn resolved(&mut self, now: &Now, server: usize, result: Result<Vec<SocketAddr>, String>) {
        if let Some(association) = self.associations.get_mut(server) {
            self.means.tell(now);
            association.resolved(result, now.instant);
            self.turn(now);
        }
    }

    /// A packet came on `link` at the time of `stamp`.
    pub fn handle_packet(&mut self, now: &Now, link: ConnId, bytes: &[u8], stamp: Stamp) {
        let Some(remote) = self.remote_of(link) else {
            return;
        };
        self.means.tell(now);
        self.engine
            .handle_packet(now.instant, remote, None, bytes, stamp);
        self.turn(now);
    }

    /// The kernel says when the packet left on `link` of which [`sent`](Self::sent) told this
    /// [`Departure::id`].
    pub fn handle_departure(&mut self, now: &Now, link: ConnId, id: u32, at: HostTime) {
        if let Some(owner) = self.owner_of(link) {
            self.associations[owner].departure_told(link, id, at, now.clocks.real);
        }
    }

    /// A call on the socket of `link` failed, or an error was found in its queue.
    pub fn handle_error(&mut self, now: &Now, link: ConnId, error: &io::Error, said: Said) {
        if let Some(owner) = self.owner_of(link) {
            self.means.tell(now);
            self.associations[owner].socket_error(link, error, said, &mut self.engine, now.instant);
            self.turn(now);
        }
    }

    /// There is no socket for a link that was to be opened.
    pub fn unopened(&mut self, now: &Now, link: ConnId, error: &io::Error) {
        if let Some(owner) = self.owner_of(link) {
            self.means.tell(now);
            self.associations[owner].unopened(link, error, &mut self.engine, now.instant);
            self.turn(now);
        }
    }

    /// Does what is due; a measurement ends here.
    pub fn handle_timeout(&mut self, now: &Now) {
        self.means.tell(now);
        self.engine.handle_timeout(now.instant);
        self.turn(now);
        if self.is_over(now.instant) {
            self.conclude(now.instant);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest; a time that is past means at once.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_over(self.called) {
            return Some(self.called);
        }
        let due = self.associations.iter();
        due.filter_map(Association::next_deadline)
            .chain(self.engine.poll_timeout())
            .chain(self.work_until())
            .min()
    }

    /// What there is to do or to learn next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next packet to send, written over `buffer`. Each query has a packet of its own, made no earlier than here.
    // tsq: F6
    pub fn poll_transmit(&mut self, now: &Now, buffer: &mut Vec<u8>) -> Option<Transmit> {
        let (engine, options, means) = (&mut self.engine, &self.options, &self.means);
        for association in &mut self.associations {
            association.ask_next(engine, options, means, now.instant);
        }
        while let Some(packet) = self.engine.poll_transmit(now.instant, buffer) {
            // The loser of an address race belongs to nobody.
            let link = packet.conn.filter(|conn| self.links.contains(conn));
            if let Some(link) = link {
                let carries = packet.carries;
                return Some(Transmit { link, carries });
            }
        }
        None
    }

    /// The packet has left this process, `now` being just after.
    pub fn sent(&mut self, now: &Now, packet: &Transmit, departure: Departure) {
        if packet.is_timed()
            && let Some(owner) = self.owner_of(packet.link)
        {
            self.associations[owner].departed(packet.carries, departure, now.clocks);
        }
    }

    /// The packet has not left: QUIC takes it for a lost one.
    pub fn unsent(&mut self, now: &Now, packet: &Transmit, error: &io::Error) {
        if packet.is_timed()
            && let Some(owner) = self.owner_of(packet.link)
        {
            self.associations[owner].unsent(packet.carries, now.clocks);
        }
        self.handle_error(now, packet.link, error, Said::ByHost);
    }

    /// How far the measurement is.
    pub fn progress(&self, now: Instant) -> Progress {
        let since = match self.work {
            Work::Measuring { since, .. } => since,
            Work::Nothing | Work::Closing { .. } => now,
        };
        let servers = 0..self.associations.len();
        Progress {
            servers: servers.len(),
            done: servers.filter(|&server| self.is_done(server)).count(),
            elapsed: now - since,
        }
    }

    /// Whether TSQ gets nowhere with this server: it failed, or has not answered for `patience`, and another
    /// protocol could do better.
    pub fn is_in_trouble(&self, now: Instant, server: usize, patience: Duration) -> bool {
        let Work::Measuring { since, .. } = self.work else {
            return false;
        };
        let association = self.associations.get(server);
        association.is_some_and(|one| one.is_in_trouble(now - since, patience))
    }

    /// Another protocol has got an answer of this server: the measurement does not wait for it, as long as it does not
    /// answer by TSQ after all.
    pub fn answered_elsewhere(&mut self, server: usize) {
        if let Work::Measuring {
            answered_elsewhere, ..
        } = &mut self.work
            && let Some(answered) = answered_elsewhere.get_mut(server)
        {
            *answered = true;
        }
    }

    /// No more will be asked. [`Event::Closed`] follows at once, or, where an early answer was there before the tickets
    /// for the next connection, when these are there: after two round trips at the latest.
    pub fn close(&mut self, now: &Now) {
        self.work = Work::Closing { since: now.instant };
        self.handle_timeout(now);
    }

    /// What follows from all that was told so far.
    fn turn(&mut self, now: &Now) {
        self.called = now.instant;
        while let Some(event) = self.engine.poll_event() {
            if let Some(owner) = self.owner_of(event.conn()) {
                self.associations[owner].event(event, &mut self.engine, &self.options, now);
            }
        }
        for association in &mut self.associations {
            let (engine, options, means) = (&mut self.engine, &self.options, &self.means);
            association.advance(engine, options, means, now.instant);
        }
        self.tell_links();
    }

    /// Links that are new or gone since the caller was last told.
    fn tell_links(&mut self) {
        let (links, events) = (&mut self.links, &mut self.events);
        let associations = &self.associations;
        links.retain(|&link| {
            let kept = associations.iter().any(|one| one.owns(link));
            if !kept {
                events.push_back(Event::Close { link });
            }
            kept
        });
        for new in associations.iter().flat_map(Association::links) {
            if !links.contains(&new.conn) {
                links.push(new.conn);
                events.push_back(Event::Open {
                    link: new.conn,
                    remote: new.address,
                });
            }
        }
    }

    fn conclude(&mut self, now: Instant) {
        match std::mem::replace(&mut self.work, Work::Nothing) {
            Work::Nothing => {}
            Work::Measuring { since, .. } => {
                let (engine, options) = (&mut self.engine, &self.options);
                let reports = self
                    .associations
                    .iter_mut()
                    .map(|one| one.finish(engine, options, now - since, now))
                    .collect();
                self.tell_links();
                self.events.push_back(Event::Measured(reports));
            }
            Work::Closing { .. } => {
                for association in &mut self.associations {
                    association.keep_tickets(&mut self.engine);
                }
                self.engine.close_all(now, 0, "done");
                self.events.push_back(Event::Closed);
            }
        }
    }

    /// Whether what was begun is over at `now`.
    fn is_over(&self, now: Instant) -> bool {
        let late = self.work_until().is_some_and(|until| until <= now);
        match self.work {
            Work::Nothing => false,
            Work::Measuring { .. } => {
                let mut servers = 0..self.associations.len();
                late || servers.all(|one| self.is_done(one)) || self.awaits_only_a_path()
            }
            Work::Closing { .. } => late || self.tickets_awaited().is_none(),
        }
    }

    fn work_until(&self) -> Option<Instant> {
        match self.work {
            Work::Nothing => None,
            Work::Measuring { deadline, .. } => Some(deadline),
            Work::Closing { since } => self.tickets_awaited().map(|patience| since + patience),
        }
    }

    fn tickets_awaited(&self) -> Option<Duration> {
        let awaited = |one: &Association| one.tickets_awaited(&self.engine);
        self.associations.iter().filter_map(awaited).max()
    }

    /// Whether a server is not waited for any more.
    fn is_done(&self, server: usize) -> bool {
        let association = &self.associations[server];
        let elsewhere = match &self.work {
            Work::Measuring {
                answered_elsewhere, ..
            } => answered_elsewhere[server],
            Work::Nothing | Work::Closing { .. } => false,
        };
        association.is_done() || elsewhere && !association.is_heard()
    }

    /// Whether all that is waited for is a way to some servers, while others have answered: then it is not that this
    /// host's network comes up only now.
    fn awaits_only_a_path(&self) -> bool {
        let mut waiting = (0..self.associations.len()).filter(|&one| !self.is_done(one));
        waiting.all(|one| self.associations[one].is_without_path())
            && self.associations.iter().any(Association::has_answered)
    }

    /// The number of the server that a link is one with.
    fn owner_of(&self, link: ConnId) -> Option<usize> {
        self.associations.iter().position(|one| one.owns(link))
    }

    fn remote_of(&self, link: ConnId) -> Option<SocketAddr> {
        let mut links = self.associations.iter().flat_map(Association::links);
        links
            .find(|one| one.conn == link)
            .map(|found| found.address)
    }
}
