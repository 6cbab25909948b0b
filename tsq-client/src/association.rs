//! One server from its name to its samples.

mod asking;
mod watch;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tsq_net::tls::{ALPN_DEPLOYED, ALPN_DRAFT};
use tsq_net::{Carries, ClockPair, CloseReason, ConnId, Departure, EarlyData, Engine, Event};
use tsq_proto::HostTime;

use crate::address_race::{Link, Race, Said};
use crate::attempt::Protocol;
use crate::failure::Failure;
use crate::fallback::may_be_blocked;
use crate::means::{Means, Now};
use crate::options::Options;
use crate::queries::Queries;
use crate::report::{Rejection, SourceReport, Transport};
use crate::resumption::{Handshake, StoreProblem};
use crate::target::{Host, Target};
use crate::terms::Terms;
use crate::trust::{Presented, Server};

/// One server's state. The client hands in events and time, and takes what is to be sent from the engine.
pub(crate) struct Association {
    server: Server,
    phase: Phase,
    /// Of its name, in the order to try.
    addresses: Vec<SocketAddr>,
    watch: watch::Watch,
    queries: Queries,
    transport: Option<Transport>,
    /// Whether the server took the draft's protocol name and not the deployed one.
    ours: bool,
    /// What it has shown for itself, also on a connection resumed since.
    presented: Option<Presented>,
    /// Round trips that had to follow each other so far.
    round_trips: u32,
    /// How the connection came about; None when the measurement began on one there was.
    handshake: Option<Handshake>,
    /// The connection on which was asked before its handshake was complete.
    early: Option<ConnId>,
    /// Queries that were sent early in vain.
    lost_early: u32,
    store_problem: Option<StoreProblem>,
    failure: Option<Failure>,
}

enum Phase {
    New,
    Resolving,
    Racing(Race),
    Connected(Link),
    Over {
        address: Option<SocketAddr>,
        /// It was connected once, so it is worth another connection.
        was_connected: bool,
    },
}

impl Association {
    pub(crate) fn new(server: Server, now: Instant) -> Self {
        Self {
            server,
            phase: Phase::New,
            addresses: Vec::new(),
            watch: watch::Watch::new(now),
            queries: Queries::new(0, Duration::ZERO, Terms::none()),
            ours: false,
            presented: None,
            transport: None,
            round_trips: 0,
            handshake: None,
            early: None,
            lost_early: 0,
            store_problem: None,
            failure: None,
        }
    }

    /// Begins a measurement: on the connection there is, or from the name. Returns what is to be resolved for it.
    pub(crate) fn begin(
        &mut self,
        engine: &mut Engine,
        options: &Options,
        now: Instant,
    ) -> Option<Target> {
        self.watch = watch::Watch::new(now);
        let wanted = u32::from(options.queries);
        self.queries
            .renew(wanted, asking::FIRST_PATIENCE, Terms::none());
        self.round_trips = 0;
        self.handshake = None;
        self.early = None;
        self.lost_early = 0;
        self.store_problem = None;
        match &self.phase {
            Phase::New
            | Phase::Over {
                was_connected: true,
                ..
            } => {
                self.failure = None;
                self.phase = Phase::Resolving;
                let target = self.server.target.clone();
                match target.host {
                    Host::Name(_) => return Some(target),
                    Host::Address(address) => {
                        self.resolved(Ok(vec![address.at(target.port)]), now);
                    }
                }
            }
            Phase::Connected(_) => self.start_asking(engine, options),
            Phase::Resolving | Phase::Racing(_) | Phase::Over { .. } => {}
        }
        None
    }

    pub(crate) fn resolved(&mut self, result: Result<Vec<SocketAddr>, String>, now: Instant) {
        match result {
            Ok(addresses) if !addresses.is_empty() => {
                let kept = self.server.tickets.take(&self.server.target);
                let resumable = kept.unwrap_or_else(|problem| {
                    self.store_problem = Some(problem);
                    None
                });
                self.addresses.clone_from(&addresses);
                self.phase = Phase::Racing(Race::new(addresses, resumable, now));
            }
            Ok(_) => self.fail(Failure::Unresolved {
                problem: "it has no address".into(),
            }),
            Err(problem) => self.fail(Failure::Unresolved { problem }),
        }
    }

    /// Whether this connection is one of ours.
    pub(crate) fn owns(&self, conn: ConnId) -> bool {
        self.links().any(|link| link.conn == conn)
    }

    pub(crate) fn links(&self) -> impl Iterator<Item = &Link> {
        let first = match &self.phase {
            Phase::Racing(race) => race.links(),
            Phase::Connected(link) => std::slice::from_ref(link),
            Phase::New | Phase::Resolving | Phase::Over { .. } => &[],
        };
        first
            .iter()
            .chain(self.watch.beside.iter().flat_map(Race::links))
    }

    pub(crate) fn links_mut(&mut self) -> impl Iterator<Item = &mut Link> {
        let first = match &mut self.phase {
            Phase::Racing(race) => race.links_mut(),
            Phase::Connected(link) => std::slice::from_mut(link),
            Phase::New | Phase::Resolving | Phase::Over { .. } => &mut [],
        };
        let beside = self.watch.beside.iter_mut();
        first.iter_mut().chain(beside.flat_map(Race::links_mut))
    }

    /// The attempt that this connection is one of, if it is not the one asked on.
    fn race_of(&mut self, conn: ConnId) -> Option<&mut Race> {
        let race = match &mut self.phase {
            Phase::Racing(race) => Some(race),
            _ => self.watch.beside.as_mut(),
        };
        race.filter(|race| race.links().iter().any(|link| link.conn == conn))
    }

    pub(crate) fn event(
        &mut self,
        event: Event,
        engine: &mut Engine,
        options: &Options,
        now: &Now,
    ) {
        match event {
            Event::Connected {
                conn,
                protocol,
                early,
            } => self.connected(conn, (&protocol, early), engine, options, now.instant),
            Event::Datagram { data, stamp, .. } => self.queries.datagram(&data, stamp, now.clocks),
            Event::Stream {
                conn,
                stream,
                data,
                finished,
                stamp,
            } => {
                let settled = self
                    .queries
                    .stream(stream, &data, finished, stamp, now.clocks);
                if settled && !finished {
                    engine.stop_stream(conn, stream);
                }
            }
            Event::StreamAborted { stream, code, .. } => self.queries.stream_aborted(stream, code),
            Event::Closed { conn, reason } => self.closed(conn, &reason, now.instant),
            // Told of accepted connections only.
            Event::Forgotten { .. } => {}
        }
    }

    /// The kernel told when the packet of this number left on `conn`.
    pub(crate) fn departure_told(&mut self, conn: ConnId, id: u32, at: HostTime, now: HostTime) {
        let asked_on = match &self.phase {
            Phase::Connected(link) => link.conn == conn,
            _ => self.early == Some(conn),
        };
        if asked_on {
            self.queries.departure_told(id, at, now);
        }
    }

    /// There is no socket for an attempt just begun.
    pub(crate) fn unopened(
        &mut self,
        conn: ConnId,
        error: &std::io::Error,
        engine: &mut Engine,
        now: Instant,
    ) {
        if let Some(race) = self.race_of(conn) {
            race.unopened(conn, error, now);
            engine.close(now, conn, 0, "");
            self.settle_races(now);
        }
    }

    /// A socket call failed, or the network said that nobody is there.
    ///
    /// Once connected, only the peer's own authenticated word ends a connection: ICMP errors can be forged.
    pub(crate) fn socket_error(
        &mut self,
        conn: ConnId,
        error: &std::io::Error,
        said: Said,
        engine: &mut Engine,
        now: Instant,
    ) {
        let Some(link) = self.links_mut().find(|link| link.conn == conn) else {
            return;
        };
        let failure = link.trouble(error, said);
        let Some(race) = self.race_of(conn) else {
            return;
        };
        match failure {
            Some(failure) => {
                engine.close(now, conn, 0, "");
                race.lose(conn, failure, now);
                self.give_up_early(conn);
                self.settle_races(now);
            }
            None => race.hurry(now),
        }
    }

    /// A packet that carried this much of ours was not sent.
    pub(crate) fn unsent(&mut self, carries: Carries, clocks: ClockPair) {
        match self.transport {
            Some(transport @ Transport::Datagram) => {
                self.queries.unsent(carries.datagrams, transport, clocks);
            }
            Some(transport @ Transport::Stream) => {
                self.queries
                    .unsent(carries.stream_frames, transport, clocks);
            }
            Some(Transport::Udp) | None => {}
        }
    }

    /// The packet that was just sent carried this much of ours.
    pub(crate) fn departed(&mut self, carries: Carries, departure: Departure, clocks: ClockPair) {
        let count = match self.transport {
            Some(Transport::Datagram) => carries.datagrams,
            Some(Transport::Stream) => carries.stream_frames,
            Some(Transport::Udp) | None => 0,
        };
        self.queries.departed(count, departure, clocks);
    }

    /// Does what is due, but for asking.
    pub(crate) fn advance(
        &mut self,
        engine: &mut Engine,
        options: &Options,
        means: &Means,
        now: Instant,
    ) {
        if let Phase::Racing(race) = &mut self.phase {
            race.advance(&self.server, engine, means, now);
            return self.settle_races(now);
        }
        self.watch(engine, means, now);
        let Phase::Connected(link) = &self.phase else {
            return;
        };
        let conn = link.conn;
        for stream in self.queries.expire(now) {
            engine.reset_stream(conn, stream);
            engine.stop_stream(conn, stream);
        }
        self.fall_back(options);
    }

    /// Hands QUIC the next query, if there is one. One query a packet: none follows before it is on its way.
    // tsq: F6
    pub(crate) fn ask_next(
        &mut self,
        engine: &mut Engine,
        options: &Options,
        means: &Means,
        now: Instant,
    ) {
        if self.failure.is_some() || self.queries.any_leaving() {
            return;
        }
        match &self.phase {
            Phase::Racing(_) => self.ask_early(engine, options, means, now),
            Phase::Connected(link) => {
                let conn = link.conn;
                if let Err(failure) = self.ask(conn, engine, means, now) {
                    self.fail(failure);
                }
            }
            Phase::New | Phase::Resolving | Phase::Over { .. } => {}
        }
    }

    /// Whether nothing more is to be expected.
    pub(crate) fn is_done(&self) -> bool {
        match &self.phase {
            Phase::Over { .. } => true,
            Phase::Connected(_) => self.failure.is_some() || self.queries.all_done(),
            Phase::New | Phase::Resolving | Phase::Racing(_) => false,
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Racing(race) => race.next_deadline(),
            Phase::Connected(_) => {
                let beside = self.watch.beside.as_ref().and_then(Race::next_deadline);
                let watch = self.watch.due.filter(|_| !self.is_done());
                self.queries
                    .next_deadline()
                    .into_iter()
                    .chain(beside)
                    .chain(watch)
                    .min()
            }
            Phase::New | Phase::Resolving | Phase::Over { .. } => None,
        }
    }

    /// Whether this host finds no way to it, for all that can be said now.
    pub(crate) fn is_without_path(&self) -> bool {
        matches!(&self.phase, Phase::Racing(race) if race.is_without_path())
    }

    /// Whether an answer of it is usable.
    pub(crate) fn has_answered(&self) -> bool {
        self.queries
            .samples
            .iter()
            .any(|sample| sample.result.is_ok())
    }

    /// Whether TSQ gets nowhere with this server: it failed, or was silent for `patience`.
    pub(crate) fn is_in_trouble(&self, elapsed: Duration, patience: Duration) -> bool {
        let heard = self.is_heard() || matches!(self.phase, Phase::Resolving);
        match &self.failure {
            Some(failure) => !heard && may_be_blocked(failure),
            None => !heard && elapsed >= patience,
        }
    }

    /// Whether it has answered anything.
    pub(crate) fn is_heard(&self) -> bool {
        !self.queries.samples.is_empty()
    }

    /// What there is when the time is up, or everything is done.
    pub(crate) fn finish(
        &mut self,
        engine: &mut Engine,
        options: &Options,
        waited: Duration,
        now: Instant,
    ) -> SourceReport {
        self.keep_tickets(engine);
        if let Some(beside) = self.watch.beside.take() {
            beside.end(engine, now);
        }
        let usable = self.has_answered();
        let failure = self.failure.clone().or_else(|| match &self.phase {
            Phase::Racing(race) => Some(race.timed_out(waited)),
            Phase::Connected(_) if !usable => Some(self.unanswered()),
            Phase::New | Phase::Resolving => Some(Failure::Unresolved {
                problem: format!("no answer in {} ms", waited.as_millis()),
            }),
            Phase::Connected(_) | Phase::Over { .. } => None,
        });
        let address = match &self.phase {
            Phase::Connected(link) => Some(link.address),
            Phase::Racing(race) => race.links().last().map(|link| link.address),
            Phase::Over { address, .. } => *address,
            Phase::New | Phase::Resolving => None,
        };
        SourceReport {
            server: self.server.target.given.clone(),
            address,
            protocol: Protocol::Tsq,
            attempts: Vec::new(),
            transport: self.transport,
            trust: self.server.trust.kind(),
            presented: self.presented.clone(),
            asked: u32::from(options.queries),
            sent: self.queries.sent + self.lost_early,
            superseded: self.queries.superseded,
            round_trips: self.round_trips,
            handshake: self.handshake,
            store_problem: self.store_problem.clone(),
            follow_ups: self.queries.follow_ups.counts.clone(),
            samples: self.queries.samples.clone(),
            failure,
        }
    }

    fn connected(
        &mut self,
        conn: ConnId,
        (protocol, early): (&[u8], EarlyData),
        engine: &mut Engine,
        options: &Options,
        now: Instant,
    ) {
        let Some(race) = self.race_of(conn) else {
            return;
        };
        // tsq: C2
        if protocol != ALPN_DRAFT && protocol != ALPN_DEPLOYED {
            if let Some(link) = race.links().iter().find(|link| link.conn == conn) {
                let failure = Failure::NotTsq {
                    address: link.address,
                };
                engine.close(now, conn, 0, "not TSQ");
                race.lose(conn, failure, now);
                self.give_up_early(conn);
                self.settle_races(now);
            }
            return;
        }
        let ours = protocol == ALPN_DRAFT;
        let Phase::Racing(race) = &mut self.phase else {
            return self.move_over(conn, ours, engine, options, now);
        };
        let Some(link) = race.win(conn, engine, now) else {
            return;
        };
        self.presented = link.presented().or(self.presented.take());
        self.ours = ours;
        self.watch = watch::Watch::new(now);
        self.round_trips += 1;
        // What was asked early was asked by the rules of the protocol agreed on earlier.
        let same = link
            .recalled()
            .is_some_and(|recalled| recalled.ours == self.ours);
        let asked = self.early.take().filter(|_| self.queries.sent > 0);
        let asked_here = asked == Some(conn);
        let resumed = link.is_resumed();
        self.phase = Phase::Connected(link);
        // tsq: C3
        if asked_here && same && early == EarlyData::Accepted {
            self.handshake = Some(Handshake::Early);
            return;
        }
        self.handshake = Some(match (asked_here, resumed) {
            (true, _) => Handshake::EarlyRefused,
            (false, true) => Handshake::Resumed,
            (false, false) => Handshake::Full,
        });
        if asked.is_some() {
            self.lost_early += self.queries.sent;
        }
        self.start_asking(engine, options);
    }

    fn closed(&mut self, conn: ConnId, reason: &CloseReason, now: Instant) {
        let Some(link) = self.links().find(|link| link.conn == conn) else {
            return;
        };
        let address = link.address;
        let failure = Failure::of_close(address, reason);
        let Some(race) = self.race_of(conn) else {
            self.phase = Phase::Over {
                address: Some(address),
                was_connected: true,
            };
            self.watch.beside = None;
            if !self.queries.all_done() {
                self.failure = Some(failure);
            }
            return;
        };
        match reason {
            CloseReason::TimedOut => race.restart(conn, now),
            CloseReason::Version | CloseReason::Transport { .. } => {
                race.lose_unproven(conn, failure, now);
            }
            _ => race.lose(conn, failure, now),
        }
        self.give_up_early(conn);
        self.settle_races(now);
    }

    /// Puts what the server gave for a later connection where that will look for it.
    pub(crate) fn keep_tickets(&mut self, engine: &mut Engine) {
        let (Phase::Connected(link), Some(presented)) = (&self.phase, &self.presented) else {
            return;
        };
        let round_trip = engine.round_trip(link.conn).unwrap_or_default();
        if let Some(resumable) = link.resumable(presented, self.ours, round_trip) {
            let kept = self.server.tickets.keep(&self.server.target, resumable);
            if let Err(problem) = kept {
                self.store_problem.get_or_insert(problem);
            }
        }
    }

    /// How long new tickets may still be on their way, if this connection used one: they come with the first answer
    /// after the handshake, so an early answer is there before them.
    pub(crate) fn tickets_awaited(&self, engine: &Engine) -> Option<Duration> {
        match &self.phase {
            Phase::Connected(link) if link.is_resumed() && !link.got_tickets() => Some(
                asking::patience(engine.round_trip(link.conn).unwrap_or_default()),
            ),
            _ => None,
        }
    }

    fn settle_races(&mut self, now: Instant) {
        self.settle_beside(now);
        if let Phase::Racing(race) = &self.phase
            && let Some(failure) = race.lost()
        {
            self.fail(failure);
        }
    }

    fn fail(&mut self, failure: Failure) {
        let address = match (&self.phase, &failure) {
            (Phase::Connected(link), _) => Some(link.address),
            (
                _,
                Failure::Silent { address, .. }
                | Failure::Unreachable { address, .. }
                | Failure::PortClosed { address }
                | Failure::PathTooNarrow { address }
                | Failure::NotTsq { address }
                | Failure::Connection { address, .. }
                | Failure::Trust { address, .. },
            ) => Some(*address),
            _ => None,
        };
        self.failure = Some(failure);
        if !matches!(self.phase, Phase::Connected(_)) {
            self.phase = Phase::Over {
                address,
                was_connected: false,
            };
        }
    }

    fn unanswered(&self) -> Failure {
        let rejections: Vec<_> = self
            .queries
            .samples
            .iter()
            .filter_map(|sample| sample.result.as_ref().err())
            .collect();
        let times = |wanted: &Rejection| {
            rejections
                .iter()
                .filter(|one| one.name() == wanted.name())
                .count()
        };
        let commonest = rejections
            .iter()
            .copied()
            .max_by_key(|rejection| times(rejection));
        Failure::Unanswered {
            sent: self.queries.sent,
            unsent: self.links().next().and_then(|link| link.unsent.clause()),
            refused: u32::try_from(rejections.len()).unwrap_or(u32::MAX),
            why: commonest.map(ToString::to_string),
        }
    }
}
