//! A QUIC client endpoint on one socket, moved by hand: the loop of [`Engine`]'s documentation.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tsq_net::{Batch, ConnId, Departure, Engine, Event, SendOptions, Socket, now, wait};
use tsq_proto::HostTime;

use crate::outbox::Outbox;
use crate::{Error, trust};

/// Engine, socket and buffers of a client.
pub(crate) struct Driver {
    pub(crate) engine: Engine,
    pub(crate) socket: Socket,
    batch: Batch,
    buffer: Vec<u8>,
    outbox: Outbox,
    server: SocketAddr,
    pin: String,
}

/// An event, and when this process came to know of its packet.
pub(crate) struct Arrived {
    pub(crate) event: Event,
    pub(crate) read_at: HostTime,
}

impl Driver {
    /// A client of the server at `server` with the certificate of `pin`.
    pub(crate) fn new(server: SocketAddr, pin: &str) -> Result<Self, Error> {
        Ok(Self {
            engine: Engine::client(),
            socket: Socket::connect(server)?,
            batch: Batch::new(),
            buffer: Vec::with_capacity(2048),
            outbox: Outbox::default(),
            server,
            pin: pin.to_owned(),
        })
    }

    /// Begins one more connection.
    pub(crate) fn connect(&mut self) -> Result<ConnId, Error> {
        let config = trust::pinned(&self.pin)?;
        let name = self.server.ip().to_string();
        Ok(self
            .engine
            .connect(Instant::now(), config, self.server, &name)?)
    }

    /// Sends what is to be sent, waits for packets, at most for `timeout`, and gives every event to
    /// `act`. What comes of the packets of one system call leaves in one.
    pub(crate) fn turn(
        &mut self,
        timeout: Duration,
        mut act: impl FnMut(&mut Engine, Arrived) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.queue();
        self.outbox.send(&self.socket)?;
        let due = self.engine.poll_timeout();
        let until = due.map_or(timeout, |at| {
            at.saturating_duration_since(Instant::now()).min(timeout)
        });
        wait(&[&self.socket], None, Some(until))?;
        loop {
            let count = self.socket.receive(&mut self.batch)?;
            let read_at = now();
            for i in 0..count {
                let Some(packet) = self.batch.packet(i) else {
                    continue;
                };
                let (remote, local_ip) = (packet.remote, packet.local_ip);
                self.engine.handle_packet(
                    Instant::now(),
                    remote,
                    local_ip,
                    packet.bytes,
                    packet.stamp,
                );
                self.deliver(read_at, &mut act)?;
            }
            self.outbox.send(&self.socket)?;
            if count < Batch::CAPACITY {
                break;
            }
        }
        self.engine.handle_timeout(Instant::now());
        self.deliver(now(), &mut act)?;
        self.outbox.send(&self.socket)?;
        Ok(())
    }

    fn deliver(
        &mut self,
        read_at: HostTime,
        act: &mut impl FnMut(&mut Engine, Arrived) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while let Some(event) = self.engine.poll_event() {
            act(&mut self.engine, Arrived { event, read_at })?;
        }
        self.queue();
        Ok(())
    }

    fn queue(&mut self) {
        while self
            .engine
            .poll_transmit(Instant::now(), self.outbox.next())
            .is_some()
        {}
        self.outbox.undo();
    }

    /// Sends at once what is to be sent, and gives the departure of the packet with a datagram.
    ///
    /// # Errors
    /// Those of [`Socket::send`].
    pub(crate) fn send_now(&mut self) -> io::Result<Option<Departure>> {
        let mut departure = None;
        while let Some(packet) = self.engine.poll_transmit(Instant::now(), &mut self.buffer) {
            let options = SendOptions {
                local_ip: packet.local_ip,
                report_departure: packet.carries.datagrams > 0,
            };
            let sent = self.socket.send(packet.remote, &self.buffer, options)?;
            if options.report_departure {
                departure = Some(sent);
            }
        }
        Ok(departure)
    }
}
