//! Requests over many kept connections.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tsq_net::ClientConfig;
use tsq_sync::Reason;

use crate::ask::{Ask, Pace};
use crate::connections::Connections;
use crate::driver::Driver;
use crate::tally::Tally;
use crate::trust::Believed;
use crate::{Error, OPTIONS};
use clients::Clients;

mod clients;

/// Connections to one server, over one socket.
pub struct Crowd {
    driver: Driver,
    clients: Clients,
}

impl Crowd {
    /// Makes `count` connections. The server may refuse some or all of them: [`Self::connections`] tells.
    ///
    /// # Errors
    /// [`Error::Trust`]; [`Error::NoConnection`] when nobody answers at all.
    pub fn connect(
        server: SocketAddr,
        believed: &Believed,
        count: usize,
        ask: Ask,
        stop: &AtomicBool,
    ) -> Result<Self, Error> {
        let config = believed.config(tsq_net::tls::Sessions::Forget)?;
        let mut crowd = Self {
            driver: Driver::new(server)?,
            clients: Clients::new(ask),
        };
        crowd.make(count, &config, believed, stop)?;
        crowd.settle(stop)?;
        crowd.clients.idle = (0..crowd.clients.all.len()).collect();
        Ok(crowd)
    }

    fn make(
        &mut self,
        count: usize,
        config: &ClientConfig,
        believed: &Believed,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        let Self { driver, clients } = self;
        let (mut seen, mut since) = (0, Instant::now());
        while !stop.load(Ordering::Relaxed) {
            // Where the first ones are all refused the others would be as well.
            let hopeless = clients.alive == 0 && clients.ended >= WAVE;
            while clients.all.len() < count && clients.begun() < WAVE && !hopeless {
                clients.add(driver.port.connect(config, believed.name())?);
            }
            if clients.begun() == 0 {
                break;
            }
            driver.turn(SWEEP, |port, arrived| clients.act(port, arrived))?;
            if clients.ended > 0
                && let Some(refusal) = believed.refusal()
            {
                return Err(Error::Trust(refusal.told(OPTIONS)));
            }
            let nobody = clients.all.iter().all(|it| !it.connected && !it.ended);
            if nobody && driver.port.unreachable() > 0 {
                return Err(Error::NoConnection("nothing listens there".into()));
            }
            if seen < clients.alive + clients.ended {
                (seen, since) = (clients.alive + clients.ended, Instant::now());
            }
            if since.elapsed() > CONNECT_LIMIT {
                let why = format!("no answer for {} s", CONNECT_LIMIT.as_secs());
                if nobody {
                    return Err(Error::NoConnection(why));
                }
                clients.give_up(&mut driver.port, &why);
                break;
            }
        }
        clients.connections.wanted = count as u64;
        Ok(())
    }

    /// Hears out a server that completes a handshake and then says that it has no room.
    fn settle(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        let Self { driver, clients } = self;
        let alive = clients.all.iter().filter(|it| !it.ended);
        let trips = alive.filter_map(|it| driver.port.engine.round_trip(it.conn));
        let Some(longest) = trips.max() else {
            return Ok(());
        };
        let end = Instant::now() + (longest * 2).clamp(SHORTEST_SETTLE, LONGEST_SETTLE);
        while !stop.load(Ordering::Relaxed) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            driver.turn(left.min(SWEEP), |port, arrived| clients.act(port, arrived))?;
        }
        Ok(())
    }

    /// Asks at this pace until `end` or `stop`.
    ///
    /// # Errors
    /// Those of the socket, or every connection has ended.
    pub fn run(&mut self, pace: &mut Pace, end: Instant, stop: &AtomicBool) -> Result<(), Error> {
        let Self { driver, clients } = self;
        clients.refill = matches!(pace, Pace::Closed(_));
        clients.finishing = false;
        loop {
            let now = Instant::now();
            clients.sweep(now);
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            if clients.alive == 0 {
                return Err(Error::NoConnection(clients.connections.end_words()));
            }
            // A generator that was held up still owes what was due by the end.
            let next = clients.issue(&mut driver.port, pace, now.min(end), end)?;
            if now >= end {
                return Ok(());
            }
            let timeout = next.min(end).saturating_duration_since(Instant::now());
            driver.turn(timeout.min(SWEEP), |port, arrived| {
                clients.act(port, arrived)
            })?;
        }
    }

    /// Waits for the answers under way, at most as long as their patience.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn finish(&mut self) -> Result<(), Error> {
        let Self { driver, clients } = self;
        clients.finishing = true;
        while clients.pending.under_way() > 0 {
            driver.turn(SWEEP, |port, arrived| clients.act(port, arrived))?;
            clients.sweep(Instant::now());
        }
        Ok(())
    }

    /// What has happened so far.
    pub fn tally(&self) -> &Tally {
        &self.clients.tally
    }

    /// The same, and begins to count anew.
    pub fn take_tally(&mut self) -> Tally {
        self.clients.tally.unfollowed += self.clients.held.clear();
        std::mem::take(&mut self.clients.tally)
    }

    /// Connections that have not ended.
    pub fn alive(&self) -> usize {
        self.clients.alive
    }

    /// How the connections came about and ended, since they were made.
    pub fn connections(&self) -> Connections {
        Connections {
            alive: self.clients.alive as u64,
            ..self.clients.connections.clone()
        }
    }
}

/// How often given-up requests are looked for.
const SWEEP: Duration = Duration::from_millis(50);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Between these a server's word after the handshake is waited for: two round trips where they are known.
const SHORTEST_SETTLE: Duration = Duration::from_millis(20);
const LONGEST_SETTLE: Duration = Duration::from_secs(1);
/// Handshakes under way at a time: more would overflow socket buffers.
const WAVE: usize = 32;
