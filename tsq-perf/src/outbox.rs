//! Packets of a load generator that leave together.
//!
//! A system call each would cost the generator as much as the server's answer costs, and the server
//! would wait for it: then its wake-ups are measured and not its work.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};
use tsq_net::Trouble;

/// Packets to send to the peer of a connected socket.
#[derive(Debug, Default)]
pub struct Outbox {
    packets: Vec<Vec<u8>>,
    /// How many of them are to be sent; the others keep their memory for later ones.
    count: usize,
}

impl Outbox {
    /// Memory for the next packet, empty.
    pub fn packet(&mut self) -> &mut Vec<u8> {
        if self.packets.len() == self.count {
            self.packets.push(Vec::with_capacity(PACKET));
        }
        self.count += 1;
        let packet = &mut self.packets[self.count - 1];
        packet.clear();
        packet
    }

    /// Takes the last packet back.
    pub fn undo(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    /// Sends all packets; gives how many of them the system did not take just now ([`Trouble::Passing`]).
    ///
    /// # Errors
    /// Those of sendmmsg(2) that do not pass; the packet that met the first of them and those behind it are not sent.
    pub fn send(&mut self, socket: impl AsFd) -> io::Result<usize> {
        let (mut done, mut unsent) = (0, 0);
        let count = std::mem::take(&mut self.count);
        while done < count {
            let end = count.min(done + BATCH);
            match send_some(&socket, &self.packets[done..end]) {
                Ok(sent) => done += sent,
                Err(Errno::INTR) => {}
                // No room for the others either.
                Err(Errno::AGAIN) => return Ok(unsent + count - done),
                Err(error) if Trouble::of(&error.into()) == Trouble::Passing => {
                    (done, unsent) = (done + 1, unsent + 1);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(unsent)
    }
}

fn send_some(socket: &impl AsFd, packets: &[Vec<u8>]) -> Result<usize, Errno> {
    let parts: [[IoSlice<'_>; 1]; BATCH] =
        std::array::from_fn(|i| [IoSlice::new(packets.get(i).map_or(&[], Vec::as_slice))]);
    let mut control: [SendAncillaryBuffer<'_, '_, '_>; BATCH] =
        std::array::from_fn(|_| SendAncillaryBuffer::default());
    let mut headers: Vec<MMsgHdr<'_>> = parts
        .iter()
        .zip(&mut control)
        .take(packets.len())
        .map(|(part, control)| MMsgHdr::new(part, control))
        .collect();
    sendmmsg(socket, &mut headers, SendFlags::empty())
}

const BATCH: usize = 64;
const PACKET: usize = 1536;

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn all_packets_arrive_in_order_and_only_once() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        let mut outbox = Outbox::default();
        let mut buffer = [0; 16];
        for round in 0..2_u8 {
            for number in 0..100_u8 {
                outbox.packet().extend_from_slice(&[round, number]);
            }
            outbox.packet().push(99);
            outbox.undo();
            assert_eq!(outbox.send(&sender).unwrap(), 0);
            for number in 0..100_u8 {
                let length = receiver.recv(&mut buffer).unwrap();
                assert_eq!(buffer[..length], [round, number]);
            }
        }
        receiver.set_nonblocking(true).unwrap();
        assert!(receiver.recv(&mut buffer).is_err());
    }
}
