//! A client with the system's sockets, clocks and resolver, on the caller's thread.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tsq_net::{Batch, ClockPair, ConnId, ErrorReport, SendOptions, Socket, Wake, tls, wait};

use crate::address_race::Said;
use crate::client::{Client, Event, Transmit};
use crate::fallback::{Fallback, Ladder};
use crate::means::Now;
use crate::options::{Options, Progress};
use crate::report::SourceReport;
use crate::resolve::Resolver;
use crate::trust::Server;

/// Associations with several servers; connections stay open from one measurement to the next.
pub struct Session {
    client: Client,
    servers: usize,
    links: Vec<Link>,
    resolver: Resolver,
    wake: Wake,
    batch: Batch,
    buffer: Vec<u8>,
    trouble: Option<Trouble>,
    fallback: Option<Fallback>,
}

/// A link of the client's, with its socket.
struct Link {
    id: ConnId,
    remote: SocketAddr,
    socket: Socket,
}

/// Who wants to hear of servers that TSQ does not reach.
struct Trouble {
    patience: Duration,
    call: Box<dyn FnMut(usize) -> bool + Send>,
}

/// What the client has said about the whole.
enum Over {
    Measured(Vec<SourceReport>),
    Closed,
}

impl Session {
    /// Makes ready; nothing is sent yet.
    ///
    /// # Errors
    /// Those of making the pair of sockets that wakes the loop.
    pub fn new(servers: Vec<Server>, options: Options) -> io::Result<Self> {
        let wake = Wake::new()?;
        Ok(Self {
            servers: servers.len(),
            client: Client::new(servers, options, tls::provider(), &read_clocks()),
            links: Vec::new(),
            resolver: Resolver::new(wake.waker()),
            wake,
            batch: Batch::new(),
            buffer: Vec::with_capacity(2048),
            trouble: None,
            fallback: None,
        })
    }

    /// As [`Self::new`], for servers that are asked by NTS, and if allowed by plain NTP, where TSQ does not get through:
    /// [`SourceReport::protocol`] and [`SourceReport::attempts`] tell.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn with_fallback(
        servers: Vec<Server>,
        options: Options,
        ladder: Ladder,
    ) -> io::Result<Self> {
        let fallback = Fallback::new(servers.clone(), ladder);
        Ok(Self {
            fallback: Some(fallback),
            ..Self::new(servers, options)?
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
        let Some(fallback) = &self.fallback else {
            return self.measure_by_tsq(deadline, progress);
        };
        let left = deadline.saturating_duration_since(Instant::now());
        self.trouble = Some(Trouble {
            patience: PATIENCE.min(left / 3),
            call: Box::new(fallback.starter(deadline, self.wake.waker())),
        });
        let mut reports = self.measure_by_tsq(deadline, progress)?;
        if let Some(fallback) = &self.fallback {
            fallback.collect(&mut reports, deadline);
        }
        Ok(reports)
    }

    /// Calls `call` with the number of a server as long as TSQ gets nowhere with it: if it fails, or after `patience`
    /// without an answer. Asking it goes on, but once `call` says so the measurement does not wait for it. A session
    /// that falls back by itself calls nobody.
    pub fn on_trouble(
        &mut self,
        patience: Duration,
        call: impl FnMut(usize) -> bool + Send + 'static,
    ) {
        let call = Box::new(call);
        self.trouble = Some(Trouble { patience, call });
    }

    /// Tells the servers that no more will be asked.
    ///
    /// Where an early answer was there before the tickets for the next connection, waits for these, for two
    /// round trips at most.
    pub fn close(mut self) {
        self.client.close(&read_clocks());
        loop {
            let now = read_clocks();
            self.client.handle_timeout(&now);
            if self.serve(&now).is_some() || self.sleep(now.instant).is_err() {
                return;
            }
            self.receive();
        }
    }

    fn measure_by_tsq(
        &mut self,
        deadline: Instant,
        progress: &mut dyn FnMut(&Progress),
    ) -> io::Result<Vec<SourceReport>> {
        // What came since the last measurement: tickets, or that a connection is over.
        self.receive();
        let start = read_clocks();
        self.client.handle_timeout(&start);
        self.client.begin(&start, deadline);
        loop {
            let now = read_clocks();
            while let Some(resolved) = self.resolver.poll() {
                self.client.resolved(&now, resolved.server, resolved.result);
            }
            self.tell_trouble(now.instant);
            progress(&self.client.progress(now.instant));
            self.client.handle_timeout(&now);
            match self.serve(&now) {
                Some(Over::Measured(reports)) => return Ok(reports),
                Some(Over::Closed) | None => {}
            }
            self.sleep(now.instant)?;
            self.receive();
        }
    }

    fn tell_trouble(&mut self, now: Instant) {
        let Some(trouble) = &mut self.trouble else {
            return;
        };
        for server in 0..self.servers {
            let troubled = self.client.is_in_trouble(now, server, trouble.patience);
            if troubled && (trouble.call)(server) {
                self.client.answered_elsewhere(server);
            }
        }
    }

    /// Does what the client wants done, and sends what it has to send.
    fn serve(&mut self, now: &Now) -> Option<Over> {
        let mut over = None;
        loop {
            while let Some(event) = self.client.poll_event() {
                match event {
                    Event::Resolve { server, target } => self.resolver.start(server, &target),
                    Event::Open { link, remote } => self.open(link, remote, now),
                    Event::Close { link } => self.links.retain(|one| one.id != link),
                    Event::Measured(reports) => over = Some(Over::Measured(reports)),
                    Event::Closed => over = Some(Over::Closed),
                }
            }
            // An error of a packet may close its link.
            match self.client.poll_transmit(now, &mut self.buffer) {
                Some(packet) => self.send(&packet),
                None => return over,
            }
        }
    }

    fn open(&mut self, id: ConnId, remote: SocketAddr, now: &Now) {
        match Socket::connect(remote) {
            Ok(socket) => self.links.push(Link { id, remote, socket }),
            Err(error) => self.client.unopened(now, id, &error),
        }
    }

    fn send(&mut self, packet: &Transmit) {
        let Some(link) = self.links.iter_mut().find(|link| link.id == packet.link) else {
            return;
        };
        let options = SendOptions {
            local_ip: None,
            report_departure: packet.is_timed(),
        };
        let sent = link.socket.send(link.remote, &self.buffer, options);
        let now = read_clocks();
        match sent {
            Ok(departure) => self.client.sent(&now, packet, departure),
            Err(error) => self.client.unsent(&now, packet, &error),
        }
    }

    fn sleep(&self, now: Instant) -> io::Result<()> {
        let due = self.client.poll_timeout().into_iter();
        let until = due.chain([now + TICK]).min().unwrap_or(now);
        let sockets: Vec<&Socket> = self.links.iter().map(|link| &link.socket).collect();
        let patience = until.saturating_duration_since(now);
        wait(&sockets, Some(&self.wake), Some(patience))?;
        Ok(())
    }

    fn receive(&mut self) {
        for link in &mut self.links {
            // Departures first: an answer cannot be judged without its query's T1.
            receive_departures(link, &mut self.client);
            receive_packets(link, &mut self.batch, &mut self.client);
        }
        self.serve(&read_clocks());
    }
}

fn receive_departures(link: &mut Link, client: &mut Client) {
    loop {
        let (now, report) = (read_clocks(), link.socket.departures());
        match report {
            Ok(Some(ErrorReport::Departed { id, at })) => {
                if link.socket.believes_kernel() {
                    client.handle_departure(&now, link.id, id, at);
                }
            }
            Ok(Some(ErrorReport::Unreachable { errno })) => {
                let error = io::Error::from_raw_os_error(errno);
                client.handle_error(&now, link.id, &error, Said::ByNetwork);
            }
            Ok(None) => return,
            Err(error) => return client.handle_error(&now, link.id, &error, Said::ByNetwork),
        }
    }
}

fn receive_packets(link: &mut Link, batch: &mut Batch, client: &mut Client) {
    loop {
        let count = match link.socket.receive(batch) {
            Ok(count) => count,
            Err(error) => {
                return client.handle_error(&read_clocks(), link.id, &error, Said::ByNetwork);
            }
        };
        for packet in (0..count).filter_map(|index| batch.packet(index)) {
            client.handle_packet(&read_clocks(), link.id, packet.bytes, packet.stamp);
        }
        if count < Batch::CAPACITY {
            return;
        }
    }
}

fn read_clocks() -> Now {
    Now {
        clocks: ClockPair::read(),
        instant: Instant::now(),
    }
}

/// How often progress is shown when nothing happens.
const TICK: Duration = Duration::from_millis(100);

/// How long TSQ has before the next rung is tried as well.
const PATIENCE: Duration = Duration::from_millis(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_may_be_handed_to_another_thread() {
        fn is_send<T: Send>() {}
        is_send::<Session>();
    }
}
