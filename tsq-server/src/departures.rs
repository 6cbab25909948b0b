//! When answers really left: noted for clients that ask, told in their later answers.
//!
//! The kernel reports the departure of a packet some time after it. Which packet carried an answer is known for sure
//!
//! * of a datagram, if no other was waiting when it was queued: it is whole in the first packet with a datagram;
//! * on a stream, if the packet holds one stream frame and had room left: an answer still waiting, or one that is sent
//!   again, would be in it as well, and ours was not cut.
//!
//! Where that is not so, nothing is noted; a client takes a missing follow-up for what it is.

use tsq_net::{ConnId, Departure, Outgoing};
use tsq_proto::{FollowUp, HostTime, Nonce};

/// The departures of one socket's answers.
///
/// A connection that never asks costs nothing. One that asks keeps the last [`KEPT`] departures not yet told; the
/// socket keeps the last [`UNDER_WAY`] packets whose report has not come. Nothing grows with the requests.
// tsq: M8
#[derive(Debug, Default)]
pub struct Departures {
    /// By the connection's index.
    connections: Vec<Option<Box<Connection>>>,
    /// By the packet's id, modulo its length: 0 until somebody asks.
    under_way: Vec<Option<UnderWay>>,
    /// How many of them there are.
    waiting: usize,
    leaving: Option<Leaving>,
}

/// How an answer travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// In a datagram frame.
    Datagram,
    /// In a stream frame.
    Stream,
}

/// A departure the kernel has reported, to be checked and handed to [`Departures::left`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    conn: ConnId,
    nonce: Nonce,
    /// What [`tsq_net::Socket::send`] returned for the packet.
    pub departure: Departure,
}

#[derive(Debug)]
struct Connection {
    conn: ConnId,
    /// Of its packets, those whose report has not come.
    waiting: usize,
    /// Not told yet, the oldest first.
    known: [Option<FollowUp>; KEPT],
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    id: u32,
    conn: ConnId,
    nonce: Nonce,
    departure: Departure,
}

/// An answer that was queued but not sent yet.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    conn: ConnId,
    nonce: Nonce,
    carrier: Carrier,
}

impl Departures {
    /// A client asks: from now on there is room for its answers' departures. True if there was none before.
    pub fn note(&mut self, conn: ConnId) -> bool {
        let index = conn.index();
        if self.connections.len() <= index {
            self.connections.resize_with(index + 1, || None);
        }
        let place = &mut self.connections[index];
        if place.as_ref().is_some_and(|known| known.conn == conn) {
            return false;
        }
        *place = Some(Box::new(Connection {
            conn,
            waiting: 0,
            known: [None; KEPT],
        }));
        true
    }

    /// Forgets a connection that is over.
    pub fn forget(&mut self, conn: ConnId) {
        if let Some(place) = self.connections.get_mut(conn.index())
            && place.as_ref().is_some_and(|known| known.conn == conn)
        {
            *place = None;
        }
    }

    /// Whether reports are to come, on whichever connection.
    pub fn any_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// Whether reports are to come of answers on this connection.
    pub fn is_waiting(&self, conn: ConnId) -> bool {
        self.connection(conn).is_some_and(|known| known.waiting > 0)
    }

    /// Takes what is to be told on this connection next, the oldest first.
    pub fn tell(&mut self, conn: ConnId) -> ([FollowUp; FollowUp::MAX_TOLD], usize) {
        let mut told = [NOTHING; FollowUp::MAX_TOLD];
        let mut count = 0;
        if let Some(connection) = self.connection_mut(conn) {
            while count < told.len()
                && let Some(follow_up) = connection.known[0].take()
            {
                connection.known.rotate_left(1);
                told[count] = follow_up;
                count += 1;
            }
        }
        (told, count)
    }

    /// The answer to `nonce` was queued and is the next to leave; a datagram, the only one.
    pub fn queued(&mut self, conn: ConnId, nonce: Nonce, carrier: Carrier) {
        self.leaving = Some(Leaving {
            conn,
            nonce,
            carrier,
        });
    }

    /// Whether this packet of `size` bytes is sure to carry the queued answer, whole; and to which nonce.
    pub fn carried_by(&mut self, packet: &Outgoing, size: usize) -> Option<Nonce> {
        let leaving = self.leaving?;
        let carries = packet.carries;
        if packet.conn != Some(leaving.conn) || carries.datagrams + carries.stream_frames == 0 {
            return None;
        }
        self.leaving = None;
        let sure = match leaving.carrier {
            Carrier::Datagram => carries.datagrams == 1,
            Carrier::Stream => carries.stream_frames == 1 && size + ROOM <= PACKET,
        };
        sure.then_some(leaving.nonce)
    }

    /// Nothing more is sent now: an answer still queued will leave unnoticed.
    pub fn flushed(&mut self) {
        self.leaving = None;
    }

    /// The packet with the answer to `nonce` was handed to the kernel.
    pub fn sent(&mut self, conn: ConnId, nonce: Nonce, departure: Departure) {
        let Some(id) = departure.id else { return };
        if self.under_way.is_empty() {
            self.under_way = vec![None; UNDER_WAY];
        }
        let Some(connection) = self.connection_mut(conn) else {
            return;
        };
        connection.waiting += 1;
        let place = self.place(id);
        let new = UnderWay {
            id,
            conn,
            nonce,
            departure,
        };
        self.waiting += 1;
        // A report that has not come by now will not.
        if let Some(old) = self.under_way[place].replace(new) {
            self.no_longer_waiting(old.conn);
        }
    }

    /// The kernel reports the departure of the packet with this id: None if it is not noted here.
    pub fn reported(&mut self, id: u32) -> Option<Reported> {
        if self.under_way.is_empty() {
            return None;
        }
        let place = self.place(id);
        let UnderWay {
            conn,
            nonce,
            departure,
            ..
        } = self.under_way[place].take_if(|under_way| under_way.id == id)?;
        self.no_longer_waiting(conn);
        Some(Reported {
            conn,
            nonce,
            departure,
        })
    }

    /// The answer left at this time, which can be told from now on.
    pub fn left(&mut self, reported: &Reported, at: HostTime) {
        if let Some(connection) = self.connection_mut(reported.conn) {
            let known = &mut connection.known;
            let free = known.iter().position(Option::is_none);
            let place = free.unwrap_or_else(|| {
                known.rotate_left(1);
                KEPT - 1
            });
            known[place] = Some(FollowUp {
                nonce: reported.nonce,
                departure: at.to_ntp(),
            });
        }
    }

    fn no_longer_waiting(&mut self, conn: ConnId) {
        self.waiting -= 1;
        if let Some(connection) = self.connection_mut(conn) {
            connection.waiting = connection.waiting.saturating_sub(1);
        }
    }

    fn place(&self, id: u32) -> usize {
        id as usize % self.under_way.len()
    }

    fn connection(&self, conn: ConnId) -> Option<&Connection> {
        let known = self.connections.get(conn.index())?.as_deref()?;
        (known.conn == conn).then_some(known)
    }

    fn connection_mut(&mut self, conn: ConnId) -> Option<&mut Connection> {
        let known = self.connections.get_mut(conn.index())?.as_deref_mut()?;
        (known.conn == conn).then_some(known)
    }
}

const NOTHING: FollowUp = FollowUp {
    nonce: Nonce::new([0; 16]),
    departure: tsq_proto::NtpTimestamp::from_bits(0),
};

/// Departures kept for a connection until they are told: what a client that asks at once waits for.
pub const KEPT: usize = 8;

/// Packets whose report is waited for: some milliseconds of the most a core can answer.
pub const UNDER_WAY: usize = 1024;

/// The longest packet: path MTU discovery is off.
const PACKET: usize = 1200;

/// Where so many bytes are left, quinn-proto begins another stream frame if there is one to send (it wants 25, and 16
/// for the packet's tag).
const ROOM: usize = 64;

#[cfg(test)]
mod tests;
