//! When an association asks, and how: after the handshake, or before its end where a ticket allows it.

use std::time::{Duration, Instant};

use tsq_net::{ConnId, Engine, OpenError, SendError};
use tsq_proto::{Nonce, Request};

use super::{Association, Phase};
use crate::failure::Failure;
use crate::means::Means;
use crate::options::{Options, TransportChoice};
use crate::queries::Ask;
use crate::report::Transport;
use crate::terms::Terms;

impl Association {
    /// Asks on a connection whose handshake is complete.
    pub(super) fn start_asking(&mut self, engine: &mut Engine, options: &Options) {
        let Phase::Connected(link) = &self.phase else {
            return;
        };
        let conn = link.conn;
        match transport(options, engine, conn) {
            Some(transport) => self.transport = Some(transport),
            None => return self.fail(Failure::NoDatagrams),
        }
        let round_trip = engine.round_trip(conn).unwrap_or_default();
        let wanted = u32::from(options.queries);
        let terms = terms(options, self.ours);
        self.queries.renew(wanted, patience(round_trip), terms);
        self.round_trips += 1;
    }

    /// Asks on another connection to the same server what has not been answered on the first.
    pub(super) fn go_on_asking(&mut self, engine: &mut Engine, options: &Options) {
        let Phase::Connected(link) = &self.phase else {
            return;
        };
        let conn = link.conn;
        match transport(options, engine, conn) {
            Some(transport) => self.transport = Some(transport),
            None => return self.fail(Failure::NoDatagrams),
        }
        let round_trip = engine.round_trip(conn).unwrap_or_default();
        let terms = terms(options, self.ours);
        self.queries.move_over(patience(round_trip), terms);
        self.round_trips += 1;
    }

    /// Asks on a connection whose handshake has begun, if it resumes an earlier one.
    ///
    /// What was asked is not repeated before the end of the handshake: until then nothing tells whether the
    /// server reads it.
    // tsq: C3
    pub(super) fn ask_early(
        &mut self,
        engine: &mut Engine,
        options: &Options,
        means: &Means,
        now: Instant,
    ) {
        let Phase::Racing(race) = &self.phase else {
            return;
        };
        let known = race
            .links()
            .iter()
            .find_map(|link| Some((link.conn, link.recalled()?)));
        let Some((conn, recalled)) = known else {
            return;
        };
        if self.early.is_none() && engine.may_send_early(conn) {
            let Some(transport) = transport(options, engine, conn) else {
                return;
            };
            let terms = terms(options, recalled.ours);
            let patience = patience(recalled.round_trip);
            let wanted = u32::from(options.queries);
            self.queries.renew(wanted, patience, terms);
            self.transport = Some(transport);
            self.early = Some(conn);
        }
        if self.early == Some(conn) {
            // What cannot be asked early can be asked later.
            let _ = self.ask(conn, engine, means, now);
        }
    }

    /// This connection will not be: what was asked on it must be asked again elsewhere.
    pub(super) fn give_up_early(&mut self, conn: ConnId) {
        if self.early == Some(conn) {
            self.early = None;
            self.lost_early += self.queries.sent;
            self.queries.renew(0, FIRST_PATIENCE, Terms::none());
        }
    }

    /// Datagrams that are never answered may be dropped on the way: asks by streams instead.
    // tsq: C5
    pub(super) fn fall_back(&mut self, options: &Options) {
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

    /// Queues the next query, if there is one and it can be.
    ///
    /// # Errors
    /// The server takes none in this way.
    pub(super) fn ask(
        &mut self,
        conn: ConnId,
        engine: &mut Engine,
        means: &Means,
        now: Instant,
    ) -> Result<(), Failure> {
        let Some(transport) = self.transport else {
            return Ok(());
        };
        let Some(ask) = self.next_ask(means) else {
            return Ok(());
        };
        match transport {
            Transport::Datagram => match engine.send_datagram(conn, &ask.request) {
                Ok(()) => self.queries.asked(&ask, transport, None, now),
                Err(SendError::Unsupported | SendError::TooLarge) => {
                    return Err(Failure::NoDatagrams);
                }
                Err(SendError::Closed) => {}
            },
            Transport::Stream => match engine.open_stream(conn, &ask.request, true) {
                Ok(stream) => self.queries.asked(&ask, transport, Some(stream), now),
                Err(OpenError::NotAllowed) if self.queries.sent == 0 => {
                    return Err(Failure::NoStreams);
                }
                // More credit may come; after a fallback, datagrams may still be answered.
                Err(OpenError::NotAllowed | OpenError::Closed) => {}
            },
            // Not of QUIC, and never chosen here.
            Transport::Udp => {}
        }
        Ok(())
    }

    /// Without randomness nothing is asked.
    // tsq: T1
    fn next_ask(&self, means: &Means) -> Option<Ask> {
        if !self.queries.any_unasked() {
            return None;
        }
        self.queries.next_ask(Nonce::new(means.draw()?))
    }
}

/// How to ask on this connection; None if only datagrams would do and it has none.
// tsq: C5
fn transport(options: &Options, engine: &mut Engine, conn: ConnId) -> Option<Transport> {
    let datagrams = engine
        .max_datagram(conn)
        .is_some_and(|max| max >= Request::MIN_LEN);
    match (options.transport, datagrams) {
        (TransportChoice::Datagram, false) => None,
        (TransportChoice::Stream, _) | (TransportChoice::Auto, false) => Some(Transport::Stream),
        (TransportChoice::Auto | TransportChoice::Datagram, true) => Some(Transport::Datagram),
    }
}

/// What to ask for; `ours`: of a server of the draft, for those in the field expect a nonce and nothing else (F1).
fn terms(options: &Options, ours: bool) -> Terms {
    Terms {
        metadata: options.metadata && ours,
        follow_up: options.follow_up && options.metadata && ours,
        precision: options.precision,
        keys: options.keys.clone(),
        offset_limit: options.offset_limit,
    }
}

/// How long a query may stay unanswered before it is repeated: well past the round trip QUIC has
/// seen, so that a repetition means a loss.
pub(super) fn patience(round_trip: Duration) -> Duration {
    (round_trip * 2 + Duration::from_millis(10)).clamp(FIRST_PATIENCE, Duration::from_secs(1))
}

pub(super) const FIRST_PATIENCE: Duration = Duration::from_millis(25);

/// So many datagrams in a row, each with nothing coming back, and streams are tried.
const TRIES_BEFORE_STREAMS: u32 = 3;
