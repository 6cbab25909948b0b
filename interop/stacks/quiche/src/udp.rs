//! Sockets that quiche is driven by.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use quiche::{Connection, Error, RecvInfo};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A bound socket and where it is bound.
#[derive(Debug)]
pub(crate) struct Udp {
    socket: UdpSocket,
    pub(crate) local: SocketAddr,
}

impl Udp {
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        Ok(Self { socket, local })
    }

    /// The next packet; none when there is none now.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, RecvInfo)>> {
        match self.socket.recv_from(buffer) {
            Ok((length, from)) => {
                let to = self.local;
                Ok(Some((length, RecvInfo { from, to })))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn send(&self, packet: &[u8], to: SocketAddr) {
        // A packet that cannot leave is a packet lost, and QUIC lives with those.
        let _ = self.socket.send_to(packet, to);
    }
}

/// Waits until a packet is there or the time is over.
pub(crate) fn wait(sockets: &[Udp], limit: Duration) -> io::Result<()> {
    let mut polled: Vec<_> = sockets
        .iter()
        .map(|udp| PollFd::new(&udp.socket, PollFlags::IN))
        .collect();
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    match poll(&mut polled, Some(&limit)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Sends all that a connection has to send, from the socket of each packet's path.
pub(crate) fn flush(conn: &mut Connection, sockets: &[Udp]) -> Result<(), Error> {
    let mut packet = [0; PACKET];
    loop {
        match conn.send(&mut packet) {
            Ok((length, info)) => {
                if let Some(udp) = sockets.iter().find(|udp| udp.local == info.from) {
                    udp.send(&packet[..length], info.to);
                }
            }
            Err(Error::Done) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// More than any packet here has.
pub(crate) const PACKET: usize = 2048;
