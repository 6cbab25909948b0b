//! One server from its name to its samples.

use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use tsq_net::tls::{ALPN_DEPLOYED, ALPN_DRAFT};
use tsq_net::{
    Carries, CloseReason, ConnId, Departure, Engine, ErrorReport, Event, OpenError, SendError,
};
use tsq_proto::{Nonce, Request};

use crate::address_race::{Link, Race, of_io};
use crate::failure::Failure;
use crate::fallback::{Protocol, may_be_blocked};
use crate::queries::Queries;
use crate::report::{Rejection, SourceReport, Transport};
use crate::resolve::Resolver;
use crate::session::{Options, TransportChoice};
use crate::terms::Terms;
use crate::trust::{Presented, Server};

/// One server's state. The session hands in events and time, and sends what comes out.
pub(crate) struct Association {
    server: Server,
    phase: Phase,
    queries: Queries,
    transport: Option<Transport>,
    /// Whether the server took the draft's protocol name and not the deployed one.
    ours: bool,
    /// What it has shown for itself, also on a connection resumed since.
    presented: Option<Presented>,
    /// Round trips that had to follow each other so far.
    round_trips: u32,
    failure: Option<Failure>,
    random: SystemRandom,
}

enum Phase {
    New,
    Resolving,
    Racing(Race),
    Connected(Link),
    Over {
        address: Option<std::net::SocketAddr>,
    },
}

impl Association {
    pub(crate) fn new(server: Server) -> Self {
        Self {
            server,
            phase: Phase::New,
            queries: Queries::new(0, Duration::ZERO, Terms::none()),
            ours: false,
            presented: None,
            transport: None,
            round_trips: 0,
            failure: None,
            random: SystemRandom::new(),
        }
    }

    /// Begins a measurement: on the connection there is, or from the name.
    pub(crate) fn begin(
        &mut self,
        index: usize,
        resolver: &Resolver,
        engine: &mut Engine,
        options: &Options,
    ) {
        let wanted = u32::from(options.queries);
        self.queries.renew(wanted, FIRST_PATIENCE, Terms::none());
        self.round_trips = 0;
        match &self.phase {
            Phase::New => {
                self.phase = Phase::Resolving;
                resolver.start(index, &self.server.target);
            }
            Phase::Connected(_) => self.start_asking(engine, options),
            Phase::Resolving | Phase::Racing(_) | Phase::Over { .. } => {}
        }
    }

    pub(crate) fn resolved(
        &mut self,
        result: Result<Vec<std::net::SocketAddr>, String>,
        now: Instant,
    ) {
        match result {
            Ok(addresses) if !addresses.is_empty() => {
                self.phase = Phase::Racing(Race::new(addresses, now));
            }
            Ok(_) => self.fail(Failure::Unresolved {
                problem: "it has no address".into(),
            }),
            Err(problem) => self.fail(Failure::Unresolved { problem }),
        }
    }

    /// Whether this connection is one of ours.
    pub(crate) fn owns(&self, conn: ConnId) -> bool {
        self.links().iter().any(|link| link.conn == conn)
    }

    pub(crate) fn links(&self) -> &[Link] {
        match &self.phase {
            Phase::Racing(race) => race.links(),
            Phase::Connected(link) => std::slice::from_ref(link),
            Phase::New | Phase::Resolving | Phase::Over { .. } => &[],
        }
    }

    pub(crate) fn links_mut(&mut self) -> &mut [Link] {
        match &mut self.phase {
            Phase::Racing(race) => race.links_mut(),
            Phase::Connected(link) => std::slice::from_mut(link),
            Phase::New | Phase::Resolving | Phase::Over { .. } => &mut [],
        }
    }

    pub(crate) fn event(
        &mut self,
        event: Event,
        engine: &mut Engine,
        options: &Options,
        now: Instant,
    ) {
        match event {
            Event::Connected { conn, protocol, .. } => {
                self.connected(conn, &protocol, engine, options, now);
            }
            Event::Datagram { data, stamp, .. } => self.queries.datagram(&data, stamp),
            Event::Stream {
                conn,
                stream,
                data,
                finished,
                stamp,
            } => {
                let settled = self.queries.stream(stream, &data, finished, stamp);
                if settled && !finished {
                    engine.stop_stream(conn, stream);
                }
            }
            Event::StreamAborted { stream, code, .. } => self.queries.stream_aborted(stream, code),
            Event::Closed { conn, reason } => self.closed(conn, &reason, now),
        }
    }

    /// Errors and departures the kernel reports on a link's socket.
    pub(crate) fn report(
        &mut self,
        conn: ConnId,
        report: &ErrorReport,
        engine: &mut Engine,
        now: Instant,
    ) {
        match (&mut self.phase, *report) {
            (Phase::Connected(link), ErrorReport::Departed { .. }) => {
                self.queries.departure_report(report, &link.socket);
            }
            (Phase::Racing(_), ErrorReport::Unreachable { errno }) => {
                self.socket_error(conn, &std::io::Error::from_raw_os_error(errno), engine, now);
            }
            // Once connected, only the peer's own authenticated word ends a connection: ICMP
            // errors can be forged.
            _ => {}
        }
    }

    /// A socket call failed, or the network said that nobody is there.
    pub(crate) fn socket_error(
        &mut self,
        conn: ConnId,
        error: &std::io::Error,
        engine: &mut Engine,
        now: Instant,
    ) {
        if let Phase::Racing(race) = &mut self.phase {
            let Some(link) = race.links().iter().find(|link| link.conn == conn) else {
                return;
            };
            let failure = of_io(link.address, error);
            engine.close(now, conn, 0, "");
            race.lose(conn, failure, now);
            self.settle_race();
        }
    }

    /// The packet that was just sent carried this much of ours.
    pub(crate) fn departed(&mut self, carries: Carries, departure: Departure) {
        let count = match self.transport {
            Some(Transport::Datagram) => carries.datagrams,
            Some(Transport::Stream) => carries.stream_frames,
            Some(Transport::Udp) | None => 0,
        };
        self.queries.departed(count, departure);
    }

    /// Does what is due; returns true when a query was queued and must leave before the next.
    pub(crate) fn step(&mut self, engine: &mut Engine, options: &Options, now: Instant) -> bool {
        if let Phase::Racing(race) = &mut self.phase {
            race.advance(&self.server, engine, now);
            self.settle_race();
        }
        let Phase::Connected(link) = &self.phase else {
            return false;
        };
        let conn = link.conn;
        for stream in self.queries.expire(now) {
            engine.reset_stream(conn, stream);
            engine.stop_stream(conn, stream);
        }
        self.fall_back(options);
        self.failure.is_none() && self.ask(conn, engine, now)
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
            Phase::Connected(_) => self.queries.next_deadline(),
            Phase::New | Phase::Resolving | Phase::Over { .. } => None,
        }
    }

    /// Whether TSQ gets nowhere with this server: it failed, or was silent for `patience`.
    pub(crate) fn is_in_trouble(&self, elapsed: Duration, patience: Duration) -> bool {
        let heard = !self.queries.samples.is_empty() || matches!(self.phase, Phase::Resolving);
        match &self.failure {
            Some(failure) => !heard && may_be_blocked(failure),
            None => !heard && elapsed >= patience,
        }
    }

    /// What there is when the time is up, or everything is done.
    pub(crate) fn finish(&self, options: &Options, waited: Duration) -> SourceReport {
        let usable = self
            .queries
            .samples
            .iter()
            .any(|sample| sample.result.is_ok());
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
            Phase::Over { address } => *address,
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
            sent: self.queries.sent,
            superseded: self.queries.superseded,
            round_trips: self.round_trips,
            follow_ups: self.queries.follow_ups.counts.clone(),
            samples: self.queries.samples.clone(),
            failure,
        }
    }

    fn connected(
        &mut self,
        conn: ConnId,
        protocol: &[u8],
        engine: &mut Engine,
        options: &Options,
        now: Instant,
    ) {
        let Phase::Racing(race) = &mut self.phase else {
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
                self.settle_race();
            }
            return;
        }
        if let Some(link) = race.win(conn, engine, now) {
            self.presented = link.presented().or(self.presented.take());
            self.phase = Phase::Connected(link);
            self.round_trips += 1;
            self.ours = protocol == ALPN_DRAFT;
            self.start_asking(engine, options);
        }
    }

    fn start_asking(&mut self, engine: &mut Engine, options: &Options) {
        let Phase::Connected(link) = &self.phase else {
            return;
        };
        // tsq: C5
        let datagrams = engine
            .max_datagram(link.conn)
            .is_some_and(|max| max >= Request::MIN_LEN);
        match (options.transport, datagrams) {
            (TransportChoice::Datagram, false) => return self.fail(Failure::NoDatagrams),
            (TransportChoice::Stream, _) | (TransportChoice::Auto, false) => {
                self.transport = Some(Transport::Stream);
            }
            (TransportChoice::Auto | TransportChoice::Datagram, true) => {
                self.transport = Some(Transport::Datagram);
            }
        }
        let round_trip = engine.round_trip(link.conn).unwrap_or_default();
        let terms = Terms {
            // The servers in the field expect a nonce and nothing else (F1).
            metadata: options.metadata && self.ours,
            follow_up: options.follow_up && options.metadata && self.ours,
            precision: options.precision,
            keys: options.keys.clone(),
            offset_limit: options.offset_limit,
        };
        let wanted = u32::from(options.queries);
        self.queries.renew(wanted, patience(round_trip), terms);
        self.round_trips += 1;
    }

    /// Datagrams that are never answered may be dropped on the way: asks by streams instead.
    // tsq: C5
    fn fall_back(&mut self, options: &Options) {
        let silent =
            self.queries.samples.is_empty() && self.queries.most_tries() >= TRIES_BEFORE_STREAMS;
        if silent
            && options.transport == TransportChoice::Auto
            && self.transport == Some(Transport::Datagram)
        {
            self.transport = Some(Transport::Stream);
            self.round_trips += 1;
        }
    }

    fn ask(&mut self, conn: ConnId, engine: &mut Engine, now: Instant) -> bool {
        let Some(transport) = self.transport else {
            return false;
        };
        let Some(ask) = self
            .fresh_nonce()
            .and_then(|nonce| self.queries.next_ask(nonce))
        else {
            return false;
        };
        match transport {
            Transport::Datagram => match engine.send_datagram(conn, &ask.request) {
                Ok(()) => self.queries.asked(&ask, transport, None, now),
                Err(SendError::Unsupported | SendError::TooLarge) => {
                    self.fail(Failure::NoDatagrams);
                    return false;
                }
                Err(SendError::Closed) => return false,
            },
            Transport::Stream => match engine.open_stream(conn, &ask.request, true) {
                Ok(stream) => self.queries.asked(&ask, transport, Some(stream), now),
                Err(OpenError::NotAllowed) if self.queries.sent == 0 => {
                    self.fail(Failure::NoStreams);
                    return false;
                }
                // More credit may come; after a fallback, datagrams may still be answered.
                Err(OpenError::NotAllowed | OpenError::Closed) => return false,
            },
            // Not of QUIC, and never chosen here.
            Transport::Udp => return false,
        }
        true
    }

    fn closed(&mut self, conn: ConnId, reason: &CloseReason, now: Instant) {
        match &mut self.phase {
            Phase::Racing(race) => {
                let Some(link) = race.links().iter().find(|link| link.conn == conn) else {
                    return;
                };
                let failure = Failure::of_close(link.address, reason);
                race.lose(conn, failure, now);
                self.settle_race();
            }
            Phase::Connected(link) if link.conn == conn => {
                let failure = Failure::of_close(link.address, reason);
                self.phase = Phase::Over {
                    address: Some(link.address),
                };
                if !self.queries.all_done() {
                    self.failure = Some(failure);
                }
            }
            Phase::New | Phase::Resolving | Phase::Connected(_) | Phase::Over { .. } => {}
        }
    }

    fn settle_race(&mut self) {
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
                | Failure::NotTsq { address }
                | Failure::Connection { address, .. }
                | Failure::Trust { address, .. },
            ) => Some(*address),
            _ => None,
        };
        self.failure = Some(failure);
        if !matches!(self.phase, Phase::Connected(_)) {
            self.phase = Phase::Over { address };
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
            refused: u32::try_from(rejections.len()).unwrap_or(u32::MAX),
            why: commonest.map(ToString::to_string),
        }
    }

    /// Without randomness nothing is asked.
    // tsq: T1
    fn fresh_nonce(&self) -> Option<Nonce> {
        let mut bytes = [0; 16];
        self.random
            .fill(&mut bytes)
            .ok()
            .map(|()| Nonce::new(bytes))
    }
}

/// How long a query may stay unanswered before it is repeated: well past the round trip QUIC has
/// seen, so that a repetition means a loss.
fn patience(round_trip: Duration) -> Duration {
    (round_trip * 2 + Duration::from_millis(10)).clamp(FIRST_PATIENCE, Duration::from_secs(1))
}

const FIRST_PATIENCE: Duration = Duration::from_millis(25);

/// So many datagrams in a row, each with nothing coming back, and streams are tried.
const TRIES_BEFORE_STREAMS: u32 = 3;
