//! Whether the connection asked on still lives, and the attempt beside it while that is in doubt.

use std::time::{Duration, Instant};

use tsq_net::{ConnId, Engine};

use super::{Association, Phase, asking};
use crate::address_race::Race;
use crate::means::Means;
use crate::options::Options;
use crate::resumption::Handshake;

/// When something was last heard on the connection that is asked on.
///
/// A client's handshake may be complete and its server's not: where a NAT changes our address in the middle of it, the
/// server's QUIC drops all that comes from the new one. Such a connection is silent for ever.
pub(super) struct Watch {
    heard: u64,
    since: Instant,
    /// When the silence has lasted too long, unless no more attempts are to be made.
    pub(super) due: Option<Instant>,
    /// Attempts made beside it.
    begun: u32,
    pub(super) beside: Option<Race>,
}

impl Watch {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            heard: 0,
            since: now,
            due: None,
            begun: 0,
            beside: None,
        }
    }

    fn restart(&mut self, heard: u64, now: Instant) {
        (self.heard, self.since, self.due) = (heard, now, None);
    }
}

impl Association {
    /// Begins an attempt from scratch where nothing has been heard for long, and gives it up when something is.
    // tsq: C6
    pub(super) fn watch(&mut self, engine: &mut Engine, means: &Means, now: Instant) {
        let Phase::Connected(link) = &self.phase else {
            return;
        };
        let (conn, address) = (link.conn, link.address);
        let heard = engine.heard(conn);
        if heard != self.watch.heard || self.is_done() {
            self.watch.restart(heard, now);
            if let Some(beside) = self.watch.beside.take() {
                beside.end(engine, now);
            }
            return;
        }
        if let Some(beside) = &mut self.watch.beside {
            beside.advance(&self.server, engine, means, now);
            return self.settle_beside(now);
        }
        let begun = self.watch.begun;
        let silence = silence(engine.round_trip(conn).unwrap_or_default());
        self.watch.due =
            (begun < MOST_BESIDE).then(|| self.watch.since + silence * 2_u32.pow(begun));
        if self.watch.due.is_some_and(|due| due <= now) {
            // The one that did answer comes first.
            let mut addresses = self.addresses.clone();
            addresses.sort_by_key(|one| *one != address);
            self.watch.begun += 1;
            self.watch.due = None;
            let mut beside = Race::new(addresses, None, now);
            beside.advance(&self.server, engine, means, now);
            self.watch.beside = Some(beside);
        }
    }

    /// The attempt beside was faster than an answer: asks there from now on what has not been answered.
    pub(super) fn move_over(
        &mut self,
        conn: ConnId,
        protocol_is_ours: bool,
        engine: &mut Engine,
        options: &Options,
        now: Instant,
    ) {
        let (Phase::Connected(old), Some(mut beside)) = (&self.phase, self.watch.beside.take())
        else {
            return;
        };
        let (old_conn, old_address) = (old.conn, old.address);
        let Some(link) = beside.win(conn, engine, now) else {
            return;
        };
        let same_host = old_address == link.address;
        engine.close(now, old_conn, 0, "nothing was heard");
        self.presented = link.presented().or(self.presented.take());
        self.ours = protocol_is_ours;
        self.handshake = Some(Handshake::Full);
        self.round_trips += 1;
        self.phase = Phase::Connected(link);
        self.watch.restart(0, now);
        if same_host {
            self.go_on_asking(engine, options);
        } else {
            // Samples of two clocks are not to be mixed.
            self.start_asking(engine, options);
        }
    }

    /// The attempt beside has failed: the next silence is longer before there is another.
    pub(super) fn settle_beside(&mut self, now: Instant) {
        if self
            .watch
            .beside
            .as_ref()
            .is_some_and(|race| race.lost().is_some())
        {
            self.watch.beside = None;
            self.watch.since = now;
        }
    }
}

/// What nobody is silent for who hears us: four times what a query waits, which is twice the round trip; and not less
/// than the half second that a slow server may take for its answers: they count for their own queries alone.
fn silence(round_trip: Duration) -> Duration {
    (asking::patience(round_trip) * 4).max(LEAST_SILENCE)
}

const LEAST_SILENCE: Duration = Duration::from_millis(700);

/// Attempts beside a silent connection, each after twice the silence of the one before.
const MOST_BESIDE: u32 = 3;
