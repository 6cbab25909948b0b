//! Requests that arrive on streams: when is one complete?
//!
//! A client should finish its side after the request. The clients in the field do not (F2): so a
//! request also counts as complete when its bytes end with a whole element and nothing follows for
//! a few milliseconds.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tsq_net::{ConnId, StreamId};
use tsq_proto::time::HostTime;
use tsq_proto::tlv::{Sequence, sequence};

/// The streams whose request is not complete yet.
#[derive(Debug, Default)]
pub struct Streams {
    open: BTreeMap<(ConnId, u64), Partial>,
    /// Every wait is equally long, so the order of beginning is the order of ending.
    waits: VecDeque<(Instant, ConnId, StreamId)>,
}

/// A request as it came over a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complete {
    /// Its bytes.
    pub bytes: Bytes,
    /// When the packet with its last byte arrived.
    pub arrived: HostTime,
    /// Whether the client has finished its side; if not, tell it that no more will be read.
    pub finished: bool,
}

/// What came of more bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Answer this.
    Complete(Complete),
    /// Wait.
    Incomplete,
    /// More bytes than a request may have.
    TooLong,
}

#[derive(Debug)]
struct Partial {
    bytes: Vec<u8>,
    arrived: HostTime,
    deadline: Option<Instant>,
}

impl Streams {
    /// Takes in the next bytes of a stream.
    pub fn receive(
        &mut self,
        now: Instant,
        (conn, stream): (ConnId, StreamId),
        data: &Bytes,
        finished: bool,
        arrived: HostTime,
    ) -> Progress {
        let key = (conn, u64::from(stream));
        if finished && !self.open.contains_key(&key) {
            return whole(data.clone(), arrived);
        }
        let partial = self.open.entry(key).or_insert_with(|| Partial {
            bytes: Vec::new(),
            arrived,
            deadline: None,
        });
        if partial.bytes.len() + data.len() > MAX_REQUEST {
            self.open.remove(&key);
            return Progress::TooLong;
        }
        if !data.is_empty() {
            // The end of the stream may come in a later packet: the request did not.
            partial.arrived = arrived;
            partial.bytes.extend_from_slice(data);
        }
        if finished {
            return self
                .open
                .remove(&key)
                .map_or(Progress::Incomplete, |partial| {
                    whole(Bytes::from(partial.bytes), partial.arrived)
                });
        }
        // tsq: F2
        partial.deadline =
            matches!(sequence(&partial.bytes), Sequence::Complete).then(|| now + QUIET);
        if let Some(deadline) = partial.deadline {
            self.waits.push_back((deadline, conn, stream));
        }
        Progress::Incomplete
    }

    /// The next request that was followed by nothing for long enough.
    pub fn expire(&mut self, now: Instant) -> Option<((ConnId, StreamId), Complete)> {
        while let Some(&(deadline, conn, stream)) = self.waits.front() {
            if deadline > now {
                return None;
            }
            self.waits.pop_front();
            let key = (conn, u64::from(stream));
            // Bytes that came since then have moved the deadline.
            if self
                .open
                .get(&key)
                .is_some_and(|partial| partial.deadline == Some(deadline))
            {
                let partial = self.open.remove(&key)?;
                let bytes = Bytes::from(partial.bytes);
                return Some((
                    (conn, stream),
                    Complete {
                        bytes,
                        arrived: partial.arrived,
                        finished: false,
                    },
                ));
            }
        }
        None
    }

    /// When to call [`Self::expire`] next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.waits.front().map(|(deadline, ..)| *deadline)
    }

    /// Forgets a stream the client gave up.
    pub fn forget(&mut self, conn: ConnId, stream: StreamId) {
        self.open.remove(&(conn, u64::from(stream)));
    }

    /// Forgets the streams of a connection that is over.
    pub fn forget_connection(&mut self, conn: ConnId) {
        while let Some((&key, _)) = self.open.range((conn, 0)..=(conn, u64::MAX)).next() {
            self.open.remove(&key);
        }
    }

    /// Streams that are waiting for the rest of their request.
    pub fn waiting(&self) -> usize {
        self.open.len()
    }
}

fn whole(bytes: Bytes, arrived: HostTime) -> Progress {
    Progress::Complete(Complete {
        bytes,
        arrived,
        finished: true,
    })
}

/// How long a request without an end must be followed by nothing.
const QUIET: Duration = Duration::from_millis(3);

/// The longest request: one that fits the stream window and, as a datagram, a packet.
const MAX_REQUEST: usize = 1024;

#[cfg(test)]
mod tests {
    use tsq_net::{Dir, Side};

    use super::*;

    const REQUEST: [u8; 18] = [1, 16, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];

    fn at(nanos: i64) -> HostTime {
        HostTime::from_unix_nanos(nanos)
    }

    fn key(keys: &mut TestKeys) -> (ConnId, StreamId) {
        keys.next()
    }

    /// Hands out distinct streams of one connection.
    struct TestKeys {
        conn: ConnId,
        index: u64,
    }

    impl TestKeys {
        fn new() -> Self {
            Self {
                conn: ConnId::for_tests(1),
                index: 0,
            }
        }

        fn next(&mut self) -> (ConnId, StreamId) {
            self.index += 1;
            (self.conn, StreamId::new(Side::Client, Dir::Bi, self.index))
        }
    }

    #[test]
    fn finished_request_is_complete_at_once() {
        let mut streams = Streams::default();
        let data = Bytes::copy_from_slice(&REQUEST);
        let key = key(&mut TestKeys::new());
        let progress = streams.receive(Instant::now(), key, &data, true, at(7));
        assert_eq!(progress, whole(data, at(7)));
        assert_eq!(streams.waiting(), 0);
    }

    // tsq: F2
    #[test]
    fn unfinished_request_is_complete_after_a_quiet_while() {
        let mut streams = Streams::default();
        let (start, data) = (Instant::now(), Bytes::copy_from_slice(&REQUEST));
        let key = key(&mut TestKeys::new());
        assert_eq!(
            streams.receive(start, key, &data, false, at(7)),
            Progress::Incomplete
        );
        assert_eq!(
            streams.expire(start + QUIET - Duration::from_nanos(1)),
            None
        );
        let complete = Complete {
            bytes: data,
            arrived: at(7),
            finished: false,
        };
        assert_eq!(streams.expire(start + QUIET), Some((key, complete)));
        assert_eq!(streams.waiting(), 0);
    }

    #[test]
    fn bytes_that_follow_put_the_answer_off() {
        let mut streams = Streams::default();
        let start = Instant::now();
        let key = key(&mut TestKeys::new());
        let _ = streams.receive(start, key, &Bytes::copy_from_slice(&REQUEST), false, at(7));
        // Half an element: incomplete until the rest comes.
        let _ = streams.receive(
            start + QUIET / 2,
            key,
            &Bytes::from_static(&[254, 2, 0]),
            false,
            at(8),
        );
        assert_eq!(streams.expire(start + QUIET * 9), None);
        let later = start + QUIET * 10;
        let _ = streams.receive(later, key, &Bytes::from_static(&[0]), false, at(9));
        let (_, complete) = streams.expire(later + QUIET).unwrap();
        assert_eq!((complete.bytes.len(), complete.arrived), (22, at(9)));
    }

    #[test]
    fn an_end_in_a_later_packet_does_not_move_the_arrival() {
        let mut streams = Streams::default();
        let data = Bytes::copy_from_slice(&REQUEST);
        let key = key(&mut TestKeys::new());
        let _ = streams.receive(Instant::now(), key, &data, false, at(7));
        let progress = streams.receive(Instant::now(), key, &Bytes::new(), true, at(999));
        assert_eq!(progress, whole(data, at(7)));
    }

    #[test]
    fn request_without_end_is_cut_off_at_the_limit() {
        let mut streams = Streams::default();
        let key = key(&mut TestKeys::new());
        let exactly = Bytes::from(vec![0; MAX_REQUEST]);
        assert_eq!(
            streams.receive(Instant::now(), key, &exactly, false, at(1)),
            Progress::Incomplete
        );
        let more = Bytes::from_static(&[0]);
        assert_eq!(
            streams.receive(Instant::now(), key, &more, false, at(1)),
            Progress::TooLong
        );
        assert_eq!(streams.waiting(), 0);
    }

    #[test]
    fn closed_connection_leaves_nothing_behind() {
        let mut streams = Streams::default();
        let mut keys = TestKeys::new();
        for _ in 0..3 {
            let _ = streams.receive(
                Instant::now(),
                keys.next(),
                &Bytes::from_static(&[1]),
                false,
                at(1),
            );
        }
        let other = (
            ConnId::for_tests(2),
            StreamId::new(Side::Client, Dir::Bi, 0),
        );
        let _ = streams.receive(
            Instant::now(),
            other,
            &Bytes::from_static(&[1]),
            false,
            at(1),
        );
        streams.forget_connection(keys.conn);
        assert_eq!(streams.waiting(), 1);
    }
}
