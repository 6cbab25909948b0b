//! Requests that arrive on streams: when is one complete, and what becomes of the stream then?
//!
//! A client should finish its side with the request. The clients in the field finish theirs only when
//! they have read the answer (F2): so a request also counts as complete when its bytes end with a
//! whole element and nothing follows for a few milliseconds. Their side is then left to them: a
//! STOP_SENDING would make their QUIC library fail the exchange that has just succeeded.
//!
//! While a client's side is open, its stream takes a place of its credit and a little memory. So a
//! request has a lifetime, and an answered stream keeps its place only as long as it is not wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tsq_net::{ConnId, Dir, Side, StreamId};
use tsq_proto::time::HostTime;
use tsq_proto::tlv::{Sequence, sequence};

/// The streams whose client has not ended its side yet: of a connection never more than it was granted.
#[derive(Debug)]
pub struct Streams {
    open: BTreeMap<Key, Open>,
    /// When each is due, the soonest first.
    due: BTreeSet<(Instant, Key)>,
    /// Streams a client may have open at once.
    granted: usize,
}

/// A stream of a connection.
pub type Key = (ConnId, StreamId);

/// A request as it came over a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complete {
    /// Its bytes.
    pub bytes: Bytes,
    /// When the packet with its last byte arrived.
    pub arrived: HostTime,
}

/// What came of more bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Answer this.
    Complete(Complete),
    /// More is to come, or it was answered before.
    Nothing,
    /// More bytes than a request may have: refuse it, and read no more.
    TooLong,
    /// As many bytes again behind an answered request: read no more.
    Excess,
}

/// What is to be done with a stream because time has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing followed the request for long enough: answer it.
    Answer(Complete),
    /// The request did not come in time: give up both sides.
    GiveUp,
    /// It was answered, and its place is wanted: read no more.
    Stop,
}

/// What was known of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Its request was not complete.
    Asking,
    /// It was answered, but its client had not ended its side.
    Answered,
    /// Nothing: it was answered and ended, or given up, or never seen.
    No,
}

#[derive(Debug)]
struct Open {
    state: State,
    due: Instant,
}

#[derive(Debug)]
enum State {
    Asking {
        bytes: Vec<u8>,
        arrived: HostTime,
        /// The end of its lifetime.
        ends: Instant,
    },
    Answered {
        at: Instant,
        /// Bytes that came since.
        excess: usize,
    },
}

impl Streams {
    /// None yet; a client may have `granted` open at once.
    pub fn new(granted: u16) -> Self {
        Self {
            open: BTreeMap::new(),
            due: BTreeSet::new(),
            granted: granted.into(),
        }
    }

    /// Takes in the next bytes of a stream; none, if it was merely opened.
    pub fn receive(
        &mut self,
        now: Instant,
        key: Key,
        data: &Bytes,
        finished: bool,
        arrived: HostTime,
    ) -> Progress {
        let Some(open) = self.open.get_mut(&key) else {
            return self.begin(now, key, data, finished, arrived);
        };
        let read = match &mut open.state {
            State::Asking {
                bytes,
                arrived: last,
                ..
            } => {
                if !data.is_empty() {
                    // The end of the stream may come in a later packet: the request did not.
                    *last = arrived;
                    bytes.extend_from_slice(data);
                }
                bytes.len()
            }
            State::Answered { excess, .. } => {
                *excess += data.len();
                *excess
            }
        };
        if !finished && read <= MAX_REQUEST {
            self.await_more(now, key);
            return Progress::Nothing;
        }
        match self.remove(key).map(|open| open.state) {
            Some(State::Asking { .. }) if read > MAX_REQUEST => Progress::TooLong,
            Some(State::Asking { bytes, arrived, .. }) => complete(bytes, arrived),
            Some(State::Answered { .. }) if !finished => Progress::Excess,
            Some(State::Answered { .. }) | None => Progress::Nothing,
        }
    }

    /// The next stream with which something is to be done by now.
    pub fn expire(&mut self, now: Instant) -> Option<(Key, Due)> {
        let &(_, key) = self.due.first().filter(|(due, _)| *due <= now)?;
        match self.remove(key)?.state {
            // tsq: F2
            State::Asking { bytes, arrived, .. } if is_whole(&bytes) => {
                let (at, excess) = (now, 0);
                self.insert(key, State::Answered { at, excess }, now + LINGER);
                let bytes = bytes.into();
                Some((key, Due::Answer(Complete { bytes, arrived })))
            }
            State::Asking { .. } => Some((key, Due::GiveUp)),
            State::Answered { .. } => Some((key, Due::Stop)),
        }
    }

    /// When to call [`Self::expire`] next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Forgets a stream that one of the sides gave up.
    pub fn forget(&mut self, key: Key) -> Known {
        match self.remove(key).map(|open| open.state) {
            Some(State::Asking { .. }) => Known::Asking,
            Some(State::Answered { .. }) => Known::Answered,
            None => Known::No,
        }
    }

    /// Forgets the streams of a connection that is over.
    pub fn forget_connection(&mut self, conn: ConnId) {
        loop {
            let first = self.of(conn).next().map(|(key, _)| *key);
            let Some(key) = first else { break };
            self.remove(key);
        }
    }

    /// Streams whose client has not ended its side.
    pub fn waiting(&self) -> usize {
        self.open.len()
    }

    fn begin(
        &mut self,
        now: Instant,
        key: Key,
        data: &Bytes,
        finished: bool,
        arrived: HostTime,
    ) -> Progress {
        if data.len() > MAX_REQUEST {
            return Progress::TooLong;
        }
        if finished {
            return complete(data.clone(), arrived);
        }
        let ends = now + LIFETIME;
        let bytes = data.to_vec();
        let state = State::Asking {
            bytes,
            arrived,
            ends,
        };
        self.insert(key, state, ends);
        self.await_more(now, key);
        Progress::Nothing
    }

    /// A whole request is answered unless more comes soon; one that is not has what is left of its lifetime.
    fn await_more(&mut self, now: Instant, key: Key) {
        if let Some(State::Asking { bytes, ends, .. }) = self.open.get(&key).map(|open| &open.state)
        {
            let quiet = is_whole(bytes).then(|| now + QUIET);
            let due = quiet.map_or(*ends, |quiet| quiet.min(*ends));
            self.schedule(key, due);
        }
    }

    fn insert(&mut self, key: Key, state: State, due: Instant) {
        self.open.insert(key, Open { state, due });
        self.due.insert((due, key));
        self.make_room(key.0);
    }

    /// As soon as half of a client's streams are in use, it can have answered ones for a moment only.
    fn make_room(&mut self, conn: ConnId) {
        if self.of(conn).count() * 2 < self.granted {
            return;
        }
        let lingering = |(key, open): (&Key, &Open)| match open.state {
            State::Answered { at, .. } if open.due > at + GRACE => Some((*key, at + GRACE)),
            State::Answered { .. } | State::Asking { .. } => None,
        };
        loop {
            let next = self.of(conn).find_map(lingering);
            let Some((key, due)) = next else { break };
            self.schedule(key, due);
        }
    }

    fn schedule(&mut self, key: Key, due: Instant) {
        if let Some(open) = self.open.get_mut(&key) {
            self.due.remove(&(open.due, key));
            open.due = due;
            self.due.insert((due, key));
        }
    }

    fn remove(&mut self, key: Key) -> Option<Open> {
        let open = self.open.remove(&key)?;
        self.due.remove(&(open.due, key));
        Some(open)
    }

    fn of(&self, conn: ConnId) -> impl Iterator<Item = (&Key, &Open)> {
        let first = (conn, StreamId::new(Side::Client, Dir::Bi, 0));
        let all = self.open.range(first..);
        all.take_while(move |((of, _), _)| *of == conn)
    }
}

fn complete(bytes: impl Into<Bytes>, arrived: HostTime) -> Progress {
    let bytes = bytes.into();
    Progress::Complete(Complete { bytes, arrived })
}

fn is_whole(bytes: &[u8]) -> bool {
    matches!(sequence(bytes), Sequence::Complete)
}

/// How long a request without an end must be followed by nothing.
const QUIET: Duration = Duration::from_millis(3);

/// How long a request may take from its first byte to its last: many repetitions of a lost packet.
const LIFETIME: Duration = Duration::from_secs(5);

/// How long the client's side of an answered stream may stay open: as long as a silent connection.
const LINGER: Duration = Duration::from_secs(30);

/// The same where half of the client's streams are in use. A client that ends its side when it has
/// read the answer does so well within this, however long the path is: what stops it travels as long.
const GRACE: Duration = Duration::from_millis(250);

/// The longest request: one that fits the stream window and, as a datagram, a packet.
const MAX_REQUEST: usize = 1024;

#[cfg(test)]
mod tests;
