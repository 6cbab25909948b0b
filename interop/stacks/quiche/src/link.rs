//! A client's connection with its sockets.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use peer_common::options::{Client, Transport};
use peer_common::{RESEND, unix_ns};
use quiche::{Config, Connection};

use crate::config::{config, connection_id};
use crate::udp::{PACKET, Udp, flush, wait};

/// A connection and what it runs over.
pub(crate) struct Link {
    pub(crate) conn: Connection,
    sockets: Vec<Udp>,
    peer: SocketAddr,
    deadline: Instant,
    /// When the last packet was read: T4 of what it carried.
    pub(crate) received_ns: i64,
    /// Where to, while the path from there is not validated.
    migrating: Option<SocketAddr>,
}

impl Link {
    /// Begins a connection, with a session of an earlier one if there is one.
    pub(crate) fn open(
        options: &Client,
        session: Option<&[u8]>,
        deadline: Instant,
    ) -> Result<Self, String> {
        let sockets = vec![bind(options.server).map_err(|error| format!("socket: {error}"))?];
        let mut config = client_config(options).map_err(words)?;
        let mut conn = quiche::connect(
            Some(&options.server_name),
            &connection_id(),
            sockets[0].local,
            options.server,
            &mut config,
        )
        .map_err(words)?;
        if let Some(session) = session {
            conn.set_session(session).map_err(words)?;
        }
        Ok(Self {
            conn,
            sockets,
            peer: options.server,
            deadline,
            received_ns: 0,
            migrating: None,
        })
    }

    /// Runs until `done`.
    pub(crate) fn run_until(
        &mut self,
        what: &str,
        done: impl Fn(&Connection) -> bool,
    ) -> Result<(), String> {
        while !done(&self.conn) {
            self.step(what)?;
        }
        Ok(())
    }

    /// Sends what there is to send; the first call makes the session's keys for 0-RTT.
    pub(crate) fn flush(&mut self) -> Result<(), String> {
        flush(&mut self.conn, &self.sockets).map_err(words)
    }

    /// Sends what there is to send and takes in what comes next, waiting for it if need be.
    pub(crate) fn step(&mut self, what: &str) -> Result<(), String> {
        self.flush()?;
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("no {what} in time"));
        }
        let timer = self.conn.timeout().unwrap_or(left);
        // Now and then the caller asks a lost datagram anew.
        wait(&self.sockets, timer.min(left).min(RESEND)).map_err(|error| error.to_string())?;
        if timer.is_zero() || self.conn.timeout().is_some_and(|timer| timer.is_zero()) {
            self.conn.on_timeout();
        }
        self.receive().map_err(|error| error.to_string())?;
        self.finish_migration()?;
        self.check_open()
    }

    /// Goes to another port as soon as the path from there is validated.
    // tsq: C6
    pub(crate) fn migrate(&mut self) -> Result<(), String> {
        // The server may use a fresh connection id for the new path, and wants one for it.
        self.conn
            .new_scid(&connection_id(), 7, false)
            .map_err(words)?;
        self.run_until("spare connection id", |conn| conn.available_dcids() > 0)?;
        let udp = bind(self.peer).map_err(|error| error.to_string())?;
        let local = udp.local;
        self.sockets.push(udp);
        self.conn.probe_path(local, self.peer).map_err(words)?;
        self.migrating = Some(local);
        while self.migrating.is_some() {
            self.step("validation of the new path")?;
        }
        // What still comes to the old port is not for us any more.
        self.sockets.remove(0);
        Ok(())
    }

    /// Tells the server that we are done; does not wait for it.
    pub(crate) fn close(&mut self) {
        // Fails only when it is closed already.
        let _ = self.conn.close(true, 0, b"");
        let _ = self.flush();
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut buffer = [0; PACKET];
        for udp in &self.sockets {
            while let Some((length, info)) = udp.receive(&mut buffer)? {
                self.received_ns = unix_ns();
                // What is wrong with a packet shows in the connection, or does not matter.
                let _ = self.conn.recv(&mut buffer[..length], info);
            }
        }
        Ok(())
    }

    fn finish_migration(&mut self) -> Result<(), String> {
        let Some(local) = self.migrating else {
            return Ok(());
        };
        if self.conn.is_path_validated(local, self.peer) == Ok(true) {
            self.conn.migrate(local, self.peer).map_err(words)?;
            self.migrating = None;
        }
        Ok(())
    }

    fn check_open(&self) -> Result<(), String> {
        if !self.conn.is_closed() && !self.conn.is_draining() {
            return Ok(());
        }
        let said = |error: &quiche::ConnectionError| {
            let reason = String::from_utf8_lossy(&error.reason).into_owned();
            format!("code {:#x} {reason}", error.error_code)
        };
        Err(match (self.conn.peer_error(), self.conn.local_error()) {
            (Some(error), _) => format!("closed by the server: {}", said(error)),
            (None, Some(error)) => format!("closed by quiche: {}", said(error)),
            (None, None) => "the connection timed out".into(),
        })
    }
}

fn bind(peer: SocketAddr) -> io::Result<Udp> {
    let any = match peer {
        SocketAddr::V4(_) => [127, 0, 0, 1].into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    Udp::bind(SocketAddr::new(any, 0))
}

fn client_config(options: &Client) -> Result<Config, quiche::Error> {
    let datagrams = options.transport == Transport::Datagram;
    let mut config = config(&options.alpn, datagrams, 0)?;
    if options.early {
        config.enable_early_data();
    }
    config.verify_peer(true);
    config.load_verify_locations_from_file(&options.ca.to_string_lossy())?;
    // Without this a lost first packet costs a second.
    config.set_initial_rtt(Duration::from_millis(50));
    Ok(config)
}

/// An error of quiche in words.
pub(crate) fn words(error: quiche::Error) -> String {
    format!("quiche: {error}")
}
