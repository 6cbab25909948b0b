//! Several associations measured at once on one thread.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tsq_keys::VerifyKeys;
use tsq_net::{Batch, ConnId, Engine, Outgoing, SendOptions, Socket, Wake, wait};

use crate::address_race::Said;
use crate::association::Association;
use crate::report::SourceReport;
use crate::resolve::Resolver;
use crate::trust::Server;

/// How to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Samples wanted of each server.
    pub queries: u16,
    /// How queries travel.
    pub transport: TransportChoice,
    /// A sample with a larger offset is refused (E4; the draft's example is 24 h).
    pub offset_limit: Duration,
    /// Ask servers of this family what their clock is worth (those in the field are never asked:
    /// they expect 18 bytes).
    pub metadata: bool,
    /// With `metadata`, ask when answers really left, and correct T3 by it; one more query a server.
    pub follow_up: bool,
    /// Ask for answers as long as the requests (precision mode, M6).
    pub precision: bool,
    /// Ask for signatures by one of these keys; an answer without a valid one is refused (M5).
    pub keys: Option<Arc<VerifyKeys>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queries: 5,
            transport: TransportChoice::Auto,
            offset_limit: Duration::from_secs(24 * 3600),
            metadata: true,
            follow_up: true,
            precision: false,
            keys: None,
        }
    }
}

/// How queries shall travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportChoice {
    /// Datagrams where the server takes them and they are answered, else streams (C5).
    Auto,
    /// Datagrams or nothing.
    Datagram,
    /// Streams or nothing.
    Stream,
}

/// How far a measurement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Servers asked.
    pub servers: usize,
    /// Servers that are done, with or without samples.
    pub done: usize,
    /// Time since the beginning.
    pub elapsed: Duration,
}

/// Associations with several servers; connections stay open from one measurement to the next.
pub struct Session {
    associations: Vec<Association>,
    options: Options,
    engine: Engine,
    resolver: Resolver,
    wake: Wake,
    batch: Batch,
    buffer: Vec<u8>,
    trouble: Option<Trouble>,
}

/// Who wants to hear of servers that TSQ does not reach.
struct Trouble {
    patience: Duration,
    settled: Vec<bool>,
    call: Box<dyn FnMut(usize) -> bool>,
}

impl Session {
    /// Makes ready; nothing is sent yet.
    ///
    /// # Errors
    /// Those of making the pair of sockets that wakes the loop.
    pub fn new(servers: Vec<Server>, options: Options) -> io::Result<Self> {
        let wake = Wake::new()?;
        let mut engine = Engine::client();
        engine.count_frames();
        Ok(Self {
            associations: servers.into_iter().map(Association::new).collect(),
            options,
            engine,
            resolver: Resolver::new(wake.waker()),
            wake,
            batch: Batch::new(),
            buffer: Vec::with_capacity(2048),
            trouble: None,
        })
    }

    /// Asks every server that has not failed, until all have answered or `deadline` comes.
    ///
    /// A connection that ended since the last measurement is made anew, with a ticket where there is one.
    ///
    /// `progress` is called a few times a second and whenever something happened.
    ///
    /// # Errors
    /// Only if waiting itself fails; what goes wrong with a server is in its report.
    pub fn measure(
        &mut self,
        deadline: Instant,
        progress: &mut dyn FnMut(&Progress),
    ) -> io::Result<Vec<SourceReport>> {
        let start = Instant::now();
        // What came since the last measurement: tickets, or that a connection is over.
        self.receive();
        self.engine.handle_timeout(start);
        self.handle_events(start);
        for (index, association) in self.associations.iter_mut().enumerate() {
            let (engine, options) = (&mut self.engine, &self.options);
            association.begin(index, &self.resolver, engine, options, start);
        }
        loop {
            let now = Instant::now();
            self.advance(now);
            self.tell_trouble(now - start);
            let done = (0..self.associations.len())
                .filter(|&index| self.is_settled(index) || self.associations[index].is_done())
                .count();
            let servers = self.associations.len();
            progress(&Progress {
                servers,
                done,
                elapsed: now - start,
            });
            if done == servers || now >= deadline || self.awaits_only_a_path() {
                break;
            }
            self.sleep(deadline, now)?;
            self.receive();
        }
        let waited = start.elapsed();
        Ok(self
            .associations
            .iter_mut()
            .map(|association| association.finish(&mut self.engine, &self.options, waited))
            .collect())
    }

    /// Calls `call` with the number of a server as long as TSQ gets nowhere with it: if it fails, or after `patience`
    /// without an answer. Asking it goes on, but once `call` says so the measurement does not wait for it.
    pub fn on_trouble(&mut self, patience: Duration, call: impl FnMut(usize) -> bool + 'static) {
        self.trouble = Some(Trouble {
            patience,
            settled: vec![false; self.associations.len()],
            call: Box::new(call),
        });
    }

    /// Tells the servers that no more will be asked.
    ///
    /// Where an early answer was there before the tickets for the next connection, waits for these, for two
    /// round trips at most.
    pub fn close(mut self) {
        self.await_tickets();
        let now = Instant::now();
        self.engine.close_all(now, 0, "done");
        self.flush(now);
    }

    fn await_tickets(&mut self) {
        let start = Instant::now();
        loop {
            let now = Instant::now();
            self.engine.handle_timeout(now);
            self.handle_events(now);
            self.flush(now);
            let engine = &mut self.engine;
            let awaited = self
                .associations
                .iter()
                .filter_map(|association| association.tickets_awaited(engine))
                .max();
            let Some(deadline) = awaited.map(|patience| start + patience) else {
                break;
            };
            if now >= deadline || self.sleep(deadline, now).is_err() {
                break;
            }
            self.receive();
        }
        for association in &mut self.associations {
            association.keep_tickets(&mut self.engine);
        }
    }

    /// Whether all that is waited for is a way to some servers, while others have answered: then it is not that this
    /// host's network comes up only now.
    fn awaits_only_a_path(&self) -> bool {
        let waiting =
            |index: &usize| !self.is_settled(*index) && !self.associations[*index].is_done();
        let mut waiting = (0..self.associations.len()).filter(waiting);
        waiting.all(|index| self.associations[index].is_without_path())
            && self.associations.iter().any(Association::has_answered)
    }

    fn is_settled(&self, index: usize) -> bool {
        let trouble = self.trouble.as_ref();
        trouble.is_some_and(|trouble| trouble.settled[index])
    }

    fn tell_trouble(&mut self, elapsed: Duration) {
        let Some(trouble) = &mut self.trouble else {
            return;
        };
        for (index, association) in self.associations.iter().enumerate() {
            trouble.settled[index] =
                association.is_in_trouble(elapsed, trouble.patience) && (trouble.call)(index);
        }
    }

    /// Does everything that is due: names resolved, timers, addresses to try, queries to send.
    fn advance(&mut self, now: Instant) {
        while let Some(resolved) = self.resolver.poll() {
            self.associations[resolved.server].resolved(resolved.result, now);
        }
        self.engine.handle_timeout(now);
        self.handle_events(now);
        for index in 0..self.associations.len() {
            // One query a packet: each leaves before the next is queued, and none waits (F6).
            // tsq: F6
            while self.associations[index].step(&mut self.engine, &self.options, now) {
                self.flush(now);
            }
        }
        self.flush(now);
        self.handle_events(now);
    }

    fn sleep(&mut self, deadline: Instant, now: Instant) -> io::Result<()> {
        let due = self
            .associations
            .iter()
            .filter_map(Association::next_deadline);
        let until = due
            .chain(self.engine.poll_timeout())
            .chain([deadline, now + TICK])
            .min()
            .unwrap_or(deadline);
        let sockets: Vec<&Socket> = self
            .associations
            .iter()
            .flat_map(Association::links)
            .map(|link| &link.socket)
            .collect();
        wait(
            &sockets,
            Some(&self.wake),
            Some(until.saturating_duration_since(now)),
        )?;
        Ok(())
    }

    fn receive(&mut self) {
        for index in 0..self.associations.len() {
            for conn in self.connections_of(index) {
                self.receive_departures(index, conn);
                self.receive_packets(index, conn);
            }
        }
    }

    /// Departures first: an answer cannot be judged without its query's T1.
    fn receive_departures(&mut self, index: usize, conn: ConnId) {
        let now = Instant::now();
        while let Some(link) = link(&mut self.associations[index], conn) {
            match link.socket.departures() {
                Ok(Some(report)) => {
                    self.associations[index].report(conn, &report, &mut self.engine, now);
                }
                Ok(None) => break,
                Err(error) => {
                    let (engine, said) = (&mut self.engine, Said::ByNetwork);
                    self.associations[index].socket_error(conn, &error, said, engine, now);
                    break;
                }
            }
        }
    }

    fn receive_packets(&mut self, index: usize, conn: ConnId) {
        loop {
            let Some(link) = link(&mut self.associations[index], conn) else {
                return;
            };
            let count = match link.socket.receive(&mut self.batch) {
                Ok(count) => count,
                Err(error) => {
                    let now = Instant::now();
                    let (engine, said) = (&mut self.engine, Said::ByNetwork);
                    return self.associations[index].socket_error(conn, &error, said, engine, now);
                }
            };
            for i in 0..count {
                let now = Instant::now();
                if let Some(packet) = self.batch.packet(i) {
                    self.engine.handle_packet(
                        now,
                        packet.remote,
                        packet.local_ip,
                        packet.bytes,
                        packet.stamp,
                    );
                }
                self.handle_events(now);
                self.flush(now);
            }
            if count < Batch::CAPACITY {
                return;
            }
        }
    }

    fn handle_events(&mut self, now: Instant) {
        while let Some(event) = self.engine.poll_event() {
            let conn = event.conn();
            // The loser of an address race belongs to nobody.
            if let Some(owner) = self
                .associations
                .iter_mut()
                .find(|association| association.owns(conn))
            {
                owner.event(event, &mut self.engine, &self.options, now);
            }
        }
    }

    fn flush(&mut self, now: Instant) {
        while let Some(packet) = self.engine.poll_transmit(now, &mut self.buffer) {
            let Some(conn) = packet.conn else { continue };
            let owner = self
                .associations
                .iter_mut()
                .position(|association| association.owns(conn));
            if let Some(index) = owner {
                self.send(index, conn, &packet, now);
            }
        }
    }

    fn send(&mut self, index: usize, conn: ConnId, packet: &Outgoing, now: Instant) {
        let Some(link) = link(&mut self.associations[index], conn) else {
            return;
        };
        let ours = packet.carries.datagrams + packet.carries.stream_frames > 0;
        let options = SendOptions {
            local_ip: None,
            report_departure: ours,
        };
        match link.socket.send(packet.remote, &self.buffer, options) {
            Ok(departure) if ours => self.associations[index].departed(packet.carries, departure),
            Ok(_) => {}
            // QUIC takes an unsent packet for a lost one.
            Err(error) => {
                if ours {
                    self.associations[index].unsent(packet.carries);
                }
                let (engine, said) = (&mut self.engine, Said::ByHost);
                self.associations[index].socket_error(conn, &error, said, engine, now);
            }
        }
    }

    fn connections_of(&self, index: usize) -> Vec<ConnId> {
        self.associations[index]
            .links()
            .map(|link| link.conn)
            .collect()
    }
}

fn link(association: &mut Association, conn: ConnId) -> Option<&mut crate::address_race::Link> {
    association.links_mut().find(|link| link.conn == conn)
}

/// How often progress is shown when nothing happens.
const TICK: Duration = Duration::from_millis(100);
