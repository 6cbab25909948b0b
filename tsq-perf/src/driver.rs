//! A QUIC client endpoint on one socket, moved by hand: the loop of [`Engine`]'s documentation.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tsq_net::{
    Batch, ClientConfig, ConnId, Departure, Engine, ErrorReport, Event, SendOptions, Socket, Stamp,
    Trouble, now, wait,
};
use tsq_proto::HostTime;

use crate::Error;
use crate::outbox::Outbox;

/// A port, and memory for what arrives at it.
pub struct Driver {
    /// The sending side, which events are acted on with.
    pub port: Port,
    batch: Batch,
}

/// Engine and socket of a client.
pub struct Port {
    /// The connections.
    pub engine: Engine,
    /// The socket; it takes packets of the one server only.
    pub socket: Socket,
    server: SocketAddr,
    buffer: Vec<u8>,
    outbox: Outbox,
    /// When packets left, by the number the kernel names them with.
    departed: HashMap<u32, HostTime>,
    unreachable: u64,
}

/// An event, and when this process came to know of its packet.
pub struct Arrived {
    /// What happened.
    pub event: Event,
    /// This process's own read of the clock.
    pub read_at: HostTime,
    /// The same on the clock that is never set.
    pub at: Instant,
}

impl Driver {
    /// A client of the server at `server`.
    ///
    /// # Errors
    /// Those of [`Socket::connect`].
    pub fn new(server: SocketAddr) -> io::Result<Self> {
        let mut engine = Engine::client();
        engine.count_frames();
        Ok(Self {
            port: Port {
                engine,
                socket: Socket::connect(server)?,
                server,
                buffer: Vec::with_capacity(2048),
                outbox: Outbox::default(),
                departed: HashMap::new(),
                unreachable: 0,
            },
            batch: Batch::new(),
        })
    }

    /// Sends what is to be sent, waits for packets, at most for `timeout`, and gives every event to
    /// `act`. What comes of the packets of one system call leaves in one.
    ///
    /// # Errors
    /// Those of the socket calls and of `act`.
    pub fn turn(
        &mut self,
        timeout: Duration,
        mut act: impl FnMut(&mut Port, Arrived) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Self { port, batch } = self;
        port.flush()?;
        let due = port.engine.poll_timeout();
        let until = due.map_or(timeout, |at| {
            at.saturating_duration_since(Instant::now()).min(timeout)
        });
        wait(&[&port.socket], None, Some(until))?;
        port.reports()?;
        loop {
            let count = port.receive(batch)?;
            let (read_at, at) = (now(), Instant::now());
            for i in 0..count {
                let Some(packet) = batch.packet(i) else {
                    continue;
                };
                let (remote, local_ip) = (packet.remote, packet.local_ip);
                port.engine
                    .handle_packet(at, remote, local_ip, packet.bytes, packet.stamp);
                port.deliver(read_at, at, &mut act)?;
            }
            port.flush()?;
            if count < Batch::CAPACITY {
                break;
            }
        }
        port.engine.handle_timeout(Instant::now());
        port.deliver(now(), Instant::now(), &mut act)?;
        port.flush()
    }
}

impl Drop for Driver {
    /// Tells the server that nothing more will be asked, on every way out: it would keep the connections until they
    /// have been idle for too long.
    fn drop(&mut self) {
        let Port {
            engine,
            outbox,
            socket,
            ..
        } = &mut self.port;
        engine.close_all(Instant::now(), 0, "done");
        loop {
            let mut packets = 0;
            while packets < CLOSING
                && engine
                    .poll_transmit(Instant::now(), outbox.packet())
                    .is_some()
            {
                packets += 1;
            }
            if packets < CLOSING {
                outbox.undo();
            }
            // What does not arrive is what the server finds out by itself.
            let _ = outbox.send(&*socket);
            if packets < CLOSING {
                return;
            }
            std::thread::sleep(CLOSING_PAUSE);
        }
    }
}

impl Port {
    /// Begins one more connection, to the server under this name.
    ///
    /// # Errors
    /// The name is none that a certificate could carry.
    pub fn connect(&mut self, config: &ClientConfig, name: &str) -> Result<ConnId, Error> {
        let (now, config) = (Instant::now(), config.clone());
        Ok(self.engine.connect(now, config, self.server, name)?)
    }

    /// How often the network said that nobody is there.
    pub fn unreachable(&self) -> u64 {
        self.unreachable
    }

    /// Sends the packet with the message just queued on `conn` by itself, and gives its departure; other
    /// packets go with the next batch. None if QUIC does not let it go now.
    ///
    /// # Errors
    /// Those of [`Socket::send`].
    pub fn send_now(&mut self, conn: ConnId) -> io::Result<Option<Departure>> {
        while let Some(packet) = self.engine.poll_transmit(Instant::now(), &mut self.buffer) {
            let carried = packet.carries.datagrams + packet.carries.stream_frames;
            if packet.conn != Some(conn) || carried == 0 {
                self.outbox.packet().extend_from_slice(&self.buffer);
                continue;
            }
            let options = SendOptions {
                local_ip: packet.local_ip,
                report_departure: true,
            };
            return match self.socket.send(packet.remote, &self.buffer, options) {
                Ok(departure) => Ok(Some(departure)),
                Err(error) => self.forgive(error).map(|()| None),
            };
        }
        Ok(None)
    }

    /// When the kernel says a packet left, if it has said so by now.
    ///
    /// # Errors
    /// Those of [`Socket::departures`].
    pub fn left(&mut self, departure: &Departure) -> io::Result<Option<HostTime>> {
        self.reports()?;
        Ok(departure.id.and_then(|id| self.departed.remove(&id)))
    }

    /// When the kernel says a packet left, or when we handed it over.
    ///
    /// # Errors
    /// Those of [`Socket::departures`].
    pub fn departure(&mut self, departure: &Departure) -> io::Result<Stamp> {
        let kernel = self.left(departure)?;
        Ok(self.socket.departure_stamp(departure, kernel))
    }

    /// Sends all that is waiting.
    ///
    /// # Errors
    /// Those of sendmmsg(2); a packet that the socket did not take is a lost one.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.queue();
        let Self { outbox, socket, .. } = self;
        match outbox.send(socket) {
            Ok(_) => Ok(()),
            Err(error) => Ok(self.forgive(error)?),
        }
    }

    fn queue(&mut self) {
        while self
            .engine
            .poll_transmit(Instant::now(), self.outbox.packet())
            .is_some()
        {}
        self.outbox.undo();
    }

    fn receive(&mut self, batch: &mut Batch) -> io::Result<usize> {
        match self.socket.receive(batch) {
            Ok(count) => Ok(count),
            Err(error) => self.forgive(error).map(|()| 0),
        }
    }

    fn deliver(
        &mut self,
        read_at: HostTime,
        at: Instant,
        act: &mut impl FnMut(&mut Self, Arrived) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while let Some(event) = self.engine.poll_event() {
            act(self, Arrived { event, read_at, at })?;
        }
        self.queue();
        Ok(())
    }

    /// Empties the socket's error queue.
    fn reports(&mut self) -> io::Result<()> {
        while let Some(report) = self.socket.departures()? {
            match report {
                ErrorReport::Departed { id, at } => {
                    if self.departed.len() > UNCLAIMED {
                        self.departed.clear();
                    }
                    self.departed.insert(id, at);
                }
                ErrorReport::Unreachable { .. } => self.unreachable += 1,
            }
        }
        Ok(())
    }

    /// A server that is restarted is away for a moment, and a queue may be full: what was sent then is lost, no more.
    fn forgive(&mut self, error: io::Error) -> io::Result<()> {
        match Trouble::of(&error) {
            Trouble::Refused | Trouble::NoPath => self.unreachable += 1,
            Trouble::Passing => {}
            Trouble::TooLong => {
                let words = format!(
                    "{error}: this path carries no packets of 1200 bytes, and QUIC has no smaller ones"
                );
                return Err(io::Error::new(error.kind(), words));
            }
            Trouble::Final => return Err(error),
        }
        Ok(())
    }
}

/// Connections closed at a time, and the time between: a server's socket holds some 270 small packets.
const CLOSING: usize = 64;
const CLOSING_PAUSE: Duration = Duration::from_millis(1);
/// Departures of requests that were never answered stay here; more are not worth the memory.
const UNCLAIMED: usize = 4096;
