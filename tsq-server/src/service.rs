//! One shard of an address: its socket, and the loop that carries its packets to a responder and back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tsq_net::{
    Batch, Departure, Engine, ErrorReport, Outgoing, SendOptions, ServerConfig, Socket,
    StampSource, Trouble, Wake, Waker, wait,
};

use crate::counts::{Counters, Counts};
use crate::departures::Departures;
use crate::responder::{Link, Responder};
use crate::teller::Teller;
use crate::telling::Telling;
use crate::wall_clock::{HostClock, WallClock};

/// Serves one address, or a shard of it, until told to stop.
pub struct Service {
    socket: Socket,
    responder: Responder<HostClock>,
    /// Where news of what is to be told come from; None: there are none.
    telling: Option<Telling>,
    wake: Wake,
    orders: Arc<AtomicU8>,
    beats: Arc<AtomicU64>,
}

/// Tells a [`Service`] on another thread to stop.
#[derive(Clone, Debug)]
pub struct Stopper {
    orders: Arc<AtomicU8>,
    beats: Arc<AtomicU64>,
    waker: Waker,
}

impl Stopper {
    /// Ends the service after it has drained: what was asked is answered, then clients are told.
    pub fn stop(&self) {
        self.order(STOP);
    }

    /// Ends the service, whose address another process serves by now, when its clients have what they
    /// came for: when all have gone, or none has asked for a second, or after ten.
    pub fn leave(&self) {
        self.order(LEAVE);
    }

    fn order(&self, order: u8) {
        // Who has begun to end cannot be told otherwise.
        let _ = self
            .orders
            .compare_exchange(SERVE, order, Ordering::Release, Ordering::Relaxed);
        self.waker.wake();
    }

    /// Wakes the service, which then counts one more beat: [`Self::beats`].
    pub fn nudge(&self) {
        self.waker.wake();
    }

    /// Changes whenever the service has gone on.
    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }
}

impl Service {
    /// Binds `address`, for one service alone without limits; `teller` says what answers contain.
    ///
    /// # Errors
    /// Those of the socket calls: taken, not permitted, no such address.
    pub fn bind(
        address: SocketAddr,
        config: ServerConfig,
        teller: Teller,
    ) -> std::io::Result<Self> {
        let engine = Engine::server(config);
        let responder = Responder::new(Instant::now(), engine, teller, HostClock);
        Self::new(Socket::bind(address)?, responder)
    }

    /// Serves what comes to `socket`, which `responder` answers.
    ///
    /// # Errors
    /// No file descriptors are left.
    pub fn new(socket: Socket, responder: Responder<HostClock>) -> std::io::Result<Self> {
        Ok(Self {
            socket,
            responder,
            telling: None,
            wake: Wake::new()?,
            orders: Arc::new(AtomicU8::new(SERVE)),
            beats: Arc::default(),
        })
    }

    /// Tells what is new as soon as `telling` knows it.
    #[must_use]
    pub fn following(mut self, telling: Telling) -> Self {
        self.telling = Some(telling);
        self
    }

    /// What it is doing, for others to read.
    pub fn counters(&self) -> Arc<Counters> {
        self.responder.counters()
    }

    /// The address served, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr()
    }

    /// The handle that ends [`Self::run`].
    pub fn stopper(&self) -> Stopper {
        Stopper {
            orders: Arc::clone(&self.orders),
            beats: Arc::clone(&self.beats),
            waker: self.wake.waker(),
        }
    }

    /// Serves until stopped.
    ///
    /// # Errors
    /// Only if the socket itself fails for good; errors of single packets are counted.
    pub fn run(mut self) -> std::io::Result<Counts> {
        let mut batch = Batch::new();
        loop {
            match self.orders.load(Ordering::Acquire) {
                SERVE => self.turn(&mut batch, None)?,
                LEAVE => break self.leave(&mut batch)?,
                _ => break self.drain(&mut batch)?,
            }
        }
        Ok(self.responder.counters().snapshot())
    }

    /// Waits (at most until `until`), then handles what came and what is due.
    fn turn(&mut self, batch: &mut Batch, until: Option<Instant>) -> std::io::Result<()> {
        let due = [self.responder.poll_timeout(), until];
        let timeout = due
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.saturating_duration_since(Instant::now()));
        // A report that is there would end the wait at once.
        if self.responder.awaits_departures() || self.socket.reports_all() {
            self.responder.collect(&mut self.socket);
        }
        wait(&[&self.socket], Some(&self.wake), timeout)?;
        if let Some(telling) = &mut self.telling
            && let Some(teller) = telling.refresh(|| HostClock.read())
        {
            self.responder.tell(teller);
        }
        while self.receive(batch)? == Batch::CAPACITY {}
        let now = Instant::now();
        self.responder.handle_timeout(now);
        self.responder.transmit(now, &mut self.socket);
        Ok(())
    }

    /// Takes in a batch of packets, each answered before the next is looked at. How many there were.
    fn receive(&mut self, batch: &mut Batch) -> std::io::Result<usize> {
        // Once a batch and not once a turn: under full load a turn may last long.
        self.beats.fetch_add(1, Ordering::Relaxed);
        let count = match self.socket.receive(batch) {
            Ok(count) => count,
            Err(error) if Trouble::of(&error) == Trouble::Final => return Err(error),
            // The network's trouble with one client, told on our only socket.
            Err(_) => 0,
        };
        for packet in (0..count).filter_map(|i| batch.packet(i)) {
            #[cfg(debug_assertions)]
            crate::faults::packet_from(packet.remote.ip());
            let now = Instant::now();
            self.responder.handle_packet(now, &packet);
            self.responder.transmit(now, &mut self.socket);
        }
        Ok(count)
    }

    /// Answers what is on its way, then tells every client that the server ends.
    fn drain(&mut self, batch: &mut Batch) -> std::io::Result<()> {
        self.responder.refuse_new();
        let end = Instant::now() + DRAIN;
        while Instant::now() < end && self.responder.connections() > 0 {
            self.turn(batch, Some(end))?;
        }
        self.farewell();
        Ok(())
    }

    /// Serves on until nobody asks any more. Connections that came before the other process began
    /// may still be waiting in the socket, so new ones are accepted too.
    fn leave(&mut self, batch: &mut Batch) -> std::io::Result<()> {
        let (begun, end) = (Instant::now(), Instant::now() + LEAVE_LIMIT);
        loop {
            let quiet = self.responder.last_asked().max(begun) + LEAVE_QUIET;
            let now = Instant::now();
            let gone = self.responder.connections() == 0 && now > begun + LEAVE_LEAST;
            if gone || now >= quiet.min(end) {
                break;
            }
            self.turn(batch, Some(quiet.min(end).min(now + LEAVE_LEAST)))?;
        }
        self.farewell();
        Ok(())
    }

    fn farewell(&mut self) {
        self.responder.farewell(Instant::now(), &mut self.socket);
    }
}

impl Link for Socket {
    type Error = std::io::Error;

    fn send(
        &mut self,
        packet: &Outgoing,
        bytes: &[u8],
        report_departure: bool,
    ) -> std::io::Result<Departure> {
        let options = SendOptions {
            local_ip: packet.local_ip,
            report_departure,
        };
        Self::send(self, packet.remote, bytes, options)
    }

    fn collect(&mut self, departures: &mut Departures) {
        // Of an error here, the next call to receive tells.
        while let Ok(Some(report)) = self.departures() {
            if let ErrorReport::Departed { id, at } = report
                && let Some(reported) = departures.reported(id)
            {
                let stamp = self.departure_stamp(&reported.departure, Some(at));
                if stamp.source == StampSource::Kernel {
                    departures.left(&reported, stamp.time);
                }
            }
        }
    }
}

/// How long clients in the middle of a sync are still answered after the signal to stop.
const DRAIN: Duration = Duration::from_millis(250);

/// A process that was taken over from ends when all its clients are gone but not before this, for
/// what is on its way to it; or when none has asked for so long; or after this long at the latest.
const LEAVE_LEAST: Duration = Duration::from_millis(100);
const LEAVE_QUIET: Duration = Duration::from_secs(1);
const LEAVE_LIMIT: Duration = Duration::from_secs(10);

/// What a [`Stopper`] may order.
const SERVE: u8 = 0;
const STOP: u8 = 1;
const LEAVE: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documented::in_words;

    #[test]
    fn page_for_operators_has_these_numbers() {
        in_words(&format!(
            "none has asked for {} s, at most {} s",
            LEAVE_QUIET.as_secs(),
            LEAVE_LIMIT.as_secs()
        ));
    }
}
