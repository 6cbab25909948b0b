//! A bare NTP client with kernel stamps: what it finds is the error of the server's stamps and of the path.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tsq_net::{Batch, ErrorReport, SendOptions, Socket, StampSource, wait};
use tsq_proto::{HostTime, NtpTimestamp, Offset};

use super::{Offsets, SPACING, microseconds};
use crate::Error;
use crate::load::plain::{Ntp, Protocol as _};

/// Asks this server for so long, one request after the other. An exchange without both kernel stamps is not counted.
///
/// # Errors
/// The server cannot be reached.
pub(super) fn ask(server: SocketAddr, slice: Duration) -> Result<Offsets, Error> {
    let mut client = Client {
        socket: Socket::connect(server)?,
        batch: Batch::new(),
    };
    let end = Instant::now() + slice;
    let mut offsets = Offsets::default();
    let mut number = 0;
    while Instant::now() < end {
        number += 1;
        let next = Instant::now() + SPACING;
        match client.exchange(number)? {
            Exchange::Lost => offsets.lost += 1,
            Exchange::Unstamped => {}
            Exchange::Offset(us) => offsets.us.push(us),
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(offsets)
}

struct Client {
    socket: Socket,
    batch: Batch,
}

enum Exchange {
    Lost,
    Unstamped,
    Offset(f64),
}

impl Client {
    fn exchange(&mut self, number: u64) -> Result<Exchange, Error> {
        let mut request = Vec::new();
        Ntp.request(number, &mut request);
        let options = SendOptions {
            report_departure: true,
            ..SendOptions::default()
        };
        // It is connected: the address is not used.
        let to = self.socket.local_addr();
        let departure = self.socket.send(to, &request, options)?;
        let deadline = Instant::now() + PATIENCE;
        let (mut left, mut answer) = (None, None);
        while left.is_none() || answer.is_none() {
            let Some(rest) = deadline.checked_duration_since(Instant::now()) else {
                break;
            };
            wait(&[&self.socket], None, Some(rest))?;
            left = left.or(self.departure_of(departure.id)?);
            answer = answer.or(self.answer_to(number)?);
        }
        let Some((t2, t3, t4)) = answer else {
            return Ok(Exchange::Lost);
        };
        let t1 = self.socket.departure_stamp(&departure, left);
        let (StampSource::Kernel, Some(t4)) = (t1.source, t4) else {
            return Ok(Exchange::Unstamped);
        };
        let [there, back] = [t2 - t1.time, t3 - t4].map(Offset::as_nanos);
        Ok(Exchange::Offset(microseconds(there + back) / 2.0))
    }

    fn departure_of(&mut self, wanted: Option<u32>) -> Result<Option<HostTime>, Error> {
        let mut found = None;
        while let Some(report) = self.socket.departures()? {
            match report {
                ErrorReport::Departed { id, at } if Some(id) == wanted => found = Some(at),
                ErrorReport::Departed { .. } => {}
                ErrorReport::Unreachable { .. } => return Err("nobody answers there".into()),
            }
        }
        Ok(found)
    }

    /// T2, T3, and T4 if the kernel took it.
    fn answer_to(
        &mut self,
        number: u64,
    ) -> Result<Option<(HostTime, HostTime, Option<HostTime>)>, Error> {
        let count = self.socket.receive(&mut self.batch)?;
        let packets = (0..count).filter_map(|i| self.batch.packet(i));
        let mut answers = packets.filter(|packet| Ntp.check(packet.bytes) == Some(number));
        Ok(answers.next().and_then(|packet| {
            let time = |at: usize| {
                let field = packet.bytes.get(at..at + 8)?.first_chunk().copied()?;
                Some(NtpTimestamp::from_be_bytes(field).resolve(packet.stamp.time))
            };
            let t4 = (packet.stamp.source == StampSource::Kernel).then_some(packet.stamp.time);
            Some((time(32)?, time(40)?, t4))
        }))
    }
}

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_millis(200);
