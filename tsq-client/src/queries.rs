//! The queries of one association: which are out, which to repeat, what an answer is worth.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tsq_net::{ClockPair, Departure, ErrorReport, Socket, Stamp, StampSource, StreamId};
use tsq_proto::{Nonce, Refusal};

use crate::report::{Answer, Rejection, SampleReport, Transport};
use crate::terms::{STRANGER, Terms};

/// A fixed number of samples to get, each by as many queries as that takes.
///
/// A query that stays unanswered is repeated under a new nonce and T1; the answer to the older
/// one, should it still come, is refused as superseded. Each query leaves in a packet of its own:
/// two in one packet would share T1 and T2 and be one sample counted twice.
// tsq: C4 F4
#[derive(Debug)]
pub(crate) struct Queries {
    terms: Terms,
    slots: Vec<Slot>,
    /// Queries handed to QUIC but not yet on their way, oldest first.
    leaving: VecDeque<usize>,
    /// Nonces of queries that were repeated or answered.
    old: VecDeque<Nonce>,
    patience: Duration,
    pub(crate) samples: Vec<SampleReport>,
    pub(crate) sent: u32,
    pub(crate) superseded: u32,
}

#[derive(Debug)]
enum Slot {
    Unasked { tries: u32 },
    Waiting(Box<Waiting>),
    Done,
}

#[derive(Debug)]
struct Waiting {
    nonce: Nonce,
    request: Vec<u8>,
    transport: Transport,
    departed: Option<Departed>,
    stream: Option<StreamId>,
    /// What came on the stream so far, and when its last byte did.
    received: Vec<u8>,
    arrived: Option<Stamp>,
    repeat_at: Instant,
    tries: u32,
}

/// A query on its way: what is needed to judge its answer.
#[derive(Debug)]
struct Departed {
    departure: Departure,
    t1: Stamp,
    clocks: ClockPair,
}

/// A query to be sent.
#[derive(Debug)]
pub(crate) struct Ask {
    slot: usize,
    /// The request's bytes.
    pub(crate) request: Vec<u8>,
    nonce: Nonce,
}

impl Queries {
    /// `wanted` samples; a query is repeated after `patience`, from the fourth time on after twice as
    /// long each: a lossy path gets nine tries in three seconds, and a server that takes half a second
    /// for its answers is waited for within the first one and a half.
    pub(crate) fn new(wanted: u32, patience: Duration, terms: Terms) -> Self {
        Self {
            terms,
            slots: (0..wanted).map(|_| Slot::Unasked { tries: 0 }).collect(),
            leaving: VecDeque::new(),
            old: VecDeque::new(),
            patience,
            samples: Vec::new(),
            sent: 0,
            superseded: 0,
        }
    }

    /// The next query to send, with this nonce.
    pub(crate) fn next_ask(&self, nonce: Nonce) -> Option<Ask> {
        let waiting = self
            .slots
            .iter()
            .filter(|slot| matches!(slot, Slot::Waiting(_)));
        if waiting.count() >= IN_FLIGHT {
            return None;
        }
        let slot = self
            .slots
            .iter()
            .position(|slot| matches!(slot, Slot::Unasked { .. }))?;
        let request = self.terms.request(nonce);
        Some(Ask {
            slot,
            request,
            nonce,
        })
    }

    /// The query was handed to QUIC.
    pub(crate) fn asked(
        &mut self,
        ask: &Ask,
        transport: Transport,
        stream: Option<StreamId>,
        now: Instant,
    ) {
        let Slot::Unasked { tries } = self.slots[ask.slot] else {
            return;
        };
        let wait = self.patience * (1 << tries.saturating_sub(2).min(MAX_DOUBLINGS));
        self.slots[ask.slot] = Slot::Waiting(Box::new(Waiting {
            nonce: ask.nonce,
            request: ask.request.clone(),
            transport,
            departed: None,
            stream,
            received: Vec::new(),
            arrived: None,
            repeat_at: now + wait,
            tries: tries + 1,
        }));
        self.leaving.push_back(ask.slot);
        self.sent += 1;
    }

    /// A packet with the `count` oldest leaving queries was sent.
    pub(crate) fn departed(&mut self, count: u64, departure: Departure) {
        for _ in 0..count {
            let Some(index) = self.leaving.pop_front() else {
                return;
            };
            if let Slot::Waiting(waiting) = &mut self.slots[index] {
                let t1 = Stamp::user(departure.before);
                waiting.departed.get_or_insert(Departed {
                    departure,
                    t1,
                    clocks: ClockPair::read(),
                });
            }
        }
    }

    /// The kernel told when a packet left.
    pub(crate) fn departure_report(&mut self, report: &ErrorReport, socket: &Socket) {
        let ErrorReport::Departed { id, at } = *report else {
            return;
        };
        for waiting in self.waiting_mut() {
            if let Some(departed) = &mut waiting.departed
                && departed.departure.id == Some(id)
            {
                departed.t1 = socket.departure_stamp(&departed.departure, Some(at));
            }
        }
    }

    /// A datagram came.
    pub(crate) fn datagram(&mut self, message: &[u8], arrived: Stamp) {
        let echoed = nonce_of(message);
        if let Some(nonce) = echoed
            && self.old.contains(&nonce)
        {
            self.superseded += 1;
            return;
        }
        // A stranger's answer spends the oldest query: the server is wrong, not the network.
        let index = self
            .position(|waiting| {
                waiting.transport == Transport::Datagram && Some(waiting.nonce) == echoed
            })
            .or_else(|| self.position(|waiting| waiting.transport == Transport::Datagram));
        if let Some(index) = index {
            self.conclude(index, |terms, waiting| {
                judge(terms, waiting, message, arrived)
            });
        }
    }

    /// Bytes came on a stream; true if that settled its query.
    pub(crate) fn stream(
        &mut self,
        stream: StreamId,
        data: &[u8],
        finished: bool,
        arrived: Stamp,
    ) -> bool {
        let Some(index) = self.position(|waiting| waiting.stream == Some(stream)) else {
            self.superseded += u32::from(finished);
            return false;
        };
        let Slot::Waiting(waiting) = &mut self.slots[index] else {
            return false;
        };
        if waiting.received.len() + data.len() > MAX_ANSWER {
            self.conclude(index, |_, _| Err(Rejection::TooLong));
            return true;
        }
        if !data.is_empty() {
            waiting.received.extend_from_slice(data);
            waiting.arrived = Some(arrived);
        }
        let asked = waiting.request.len();
        if !finished && !self.terms.is_whole(asked, &waiting.received) {
            return false;
        }
        self.conclude(index, |terms, waiting| {
            judge(
                terms,
                waiting,
                &waiting.received,
                waiting.arrived.unwrap_or(arrived),
            )
        });
        true
    }

    /// The server gave up a stream.
    pub(crate) fn stream_aborted(&mut self, stream: StreamId, code: u64) {
        if let Some(index) = self.position(|waiting| waiting.stream == Some(stream)) {
            self.conclude(index, |_, _| Err(Rejection::StreamAborted { code }));
        }
    }

    /// Makes overdue queries unasked again; returns the streams of those given up.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<StreamId> {
        let mut abandoned = Vec::new();
        for index in 0..self.slots.len() {
            let Slot::Waiting(waiting) = &self.slots[index] else {
                continue;
            };
            if waiting.repeat_at > now {
                continue;
            }
            let (nonce, tries) = (waiting.nonce, waiting.tries);
            abandoned.extend(waiting.stream);
            self.retire(nonce);
            self.leaving.retain(|leaving| *leaving != index);
            self.slots[index] = Slot::Unasked { tries };
        }
        abandoned
    }

    /// When the next query is overdue.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.slots
            .iter()
            .filter_map(|slot| match slot {
                Slot::Waiting(waiting) => Some(waiting.repeat_at),
                Slot::Unasked { .. } | Slot::Done => None,
            })
            .min()
    }

    /// Whether every sample was got or refused.
    pub(crate) fn all_done(&self) -> bool {
        self.slots.iter().all(|slot| matches!(slot, Slot::Done))
    }

    /// How often the most repeated query was sent.
    pub(crate) fn most_tries(&self) -> u32 {
        self.slots
            .iter()
            .map(|slot| match slot {
                Slot::Unasked { tries } => *tries,
                Slot::Waiting(waiting) => waiting.tries,
                Slot::Done => 0,
            })
            .max()
            .unwrap_or(0)
    }

    fn waiting_mut(&mut self) -> impl Iterator<Item = &mut Waiting> {
        self.slots.iter_mut().filter_map(|slot| match slot {
            Slot::Waiting(waiting) => Some(waiting.as_mut()),
            Slot::Unasked { .. } | Slot::Done => None,
        })
    }

    fn position(&self, wanted: impl Fn(&Waiting) -> bool) -> Option<usize> {
        self.slots
            .iter()
            .position(|slot| matches!(slot, Slot::Waiting(waiting) if wanted(waiting)))
    }

    fn conclude(
        &mut self,
        index: usize,
        verdict: impl FnOnce(&Terms, &Waiting) -> Result<Answer, Rejection>,
    ) {
        if let Slot::Waiting(waiting) = std::mem::replace(&mut self.slots[index], Slot::Done) {
            self.samples.push(SampleReport {
                transport: waiting.transport,
                result: verdict(&self.terms, &waiting),
            });
            self.leaving.retain(|leaving| *leaving != index);
            self.retire(waiting.nonce);
        }
    }

    fn retire(&mut self, nonce: Nonce) {
        if self.old.len() == REMEMBERED {
            self.old.pop_front();
        }
        self.old.push_back(nonce);
    }
}

/// The verdict on an answer to `waiting` that arrived at `t4`.
fn judge(terms: &Terms, waiting: &Waiting, message: &[u8], t4: Stamp) -> Result<Answer, Rejection> {
    // An answer to a query that never left can only be a stranger's.
    let departed = waiting.departed.as_ref().ok_or(STRANGER)?;
    if let Some(by) = ClockPair::read().stepped_since(&departed.clocks) {
        return Err(Rejection::Refused(Refusal::ClockStepped { by }));
    }
    let length = waiting.request.len();
    let sample = terms.judge(waiting.nonce, length, departed.t1.time, message, t4.time)?;
    let both_kernel = departed.t1.source == StampSource::Kernel && t4.source == StampSource::Kernel;
    let timestamps = if both_kernel {
        StampSource::Kernel
    } else {
        StampSource::User
    };
    Ok(Answer {
        sample,
        timestamps,
        request: waiting.request.clone(),
        response: message.to_vec(),
    })
}

/// The nonce a message begins with, however malformed the rest.
fn nonce_of(message: &[u8]) -> Option<Nonce> {
    let rest = message.strip_prefix(&NONCE_HEADER)?;
    rest.first_chunk().copied().map(Nonce::new)
}

/// Type and length of a Nonce element (T1).
const NONCE_HEADER: [u8; 2] = [1, 16];

/// No answer is longer than this: one packet.
const MAX_ANSWER: usize = 1500;

/// A query waits at most 2^6 times the first patience: longer than any run.
const MAX_DOUBLINGS: u32 = 6;

/// Old nonces kept to know late answers by.
const REMEMBERED: usize = 1024;

/// Queries under way at once: more would queue in our own buffers, and be repeated for nothing.
const IN_FLIGHT: usize = 16;

#[cfg(test)]
mod tests {
    use tsq_proto::{HostTime, Response};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(20);
    fn terms() -> Terms {
        Terms {
            metadata: false,
            precision: false,
            keys: None,
            offset_limit: Duration::from_secs(86_400),
        }
    }

    fn nonce(byte: u8) -> Nonce {
        Nonce::new([byte; 16])
    }

    /// Asks the next query and lets it leave at once.
    fn ask(queries: &mut Queries, byte: u8, now: Instant) {
        let ask = queries.next_ask(nonce(byte)).expect("a query to send");
        queries.asked(&ask, Transport::Datagram, None, now);
        let before = tsq_net::now();
        queries.departed(1, Departure { id: None, before });
    }

    /// An answer of a server whose clock agrees with ours.
    fn answer(byte: u8, t2: HostTime) -> [u8; Response::MIN_LEN] {
        let mut bytes = [0; Response::MIN_LEN];
        Response::new(nonce(byte), t2.to_ntp(), t2.to_ntp())
            .encode(&mut bytes)
            .unwrap();
        bytes
    }

    fn arrived_now() -> Stamp {
        std::thread::sleep(Duration::from_micros(10));
        Stamp::user(tsq_net::now())
    }

    fn reasons(queries: &Queries) -> Vec<&'static str> {
        let name = |sample: &SampleReport| {
            sample
                .result
                .as_ref()
                .map_or_else(Rejection::name, |_| "ok")
        };
        queries.samples.iter().map(name).collect()
    }

    #[test]
    fn answered_queries_become_samples() {
        let mut queries = Queries::new(2, PATIENCE, terms());
        let now = Instant::now();
        ask(&mut queries, 1, now);
        ask(&mut queries, 2, now);
        assert!(queries.next_ask(nonce(3)).is_none());
        for byte in [2, 1] {
            let message = answer(byte, tsq_net::now());
            queries.datagram(&message, arrived_now());
        }
        assert_eq!(reasons(&queries), ["ok", "ok"]);
        assert!(queries.all_done());
    }

    #[test]
    fn unanswered_query_is_repeated_later_and_later_and_its_old_answer_refused() {
        let mut queries = Queries::new(1, PATIENCE, terms());
        let start = Instant::now();
        ask(&mut queries, 1, start);
        assert_eq!(queries.next_deadline(), Some(start + PATIENCE));
        queries.expire(start + PATIENCE - Duration::from_nanos(1));
        assert!(queries.next_ask(nonce(2)).is_none());
        queries.expire(start + PATIENCE);
        ask(&mut queries, 2, start + PATIENCE);
        assert_eq!(queries.next_deadline(), Some(start + PATIENCE * 2));
        // tsq: E4
        queries.datagram(&answer(1, tsq_net::now()), arrived_now());
        assert_eq!((queries.superseded, queries.samples.len()), (1, 0));
        queries.expire(start + PATIENCE * 2);
        ask(&mut queries, 3, start + PATIENCE * 2);
        assert_eq!(queries.next_deadline(), Some(start + PATIENCE * 3));
        queries.datagram(&answer(3, tsq_net::now()), arrived_now());
        assert_eq!(reasons(&queries), ["ok"]);
        assert_eq!(queries.sent, 3);
    }

    #[test]
    fn second_copy_of_an_answer_counts_once() {
        let mut queries = Queries::new(2, PATIENCE, terms());
        let now = Instant::now();
        ask(&mut queries, 1, now);
        ask(&mut queries, 2, now);
        let message = answer(1, tsq_net::now());
        queries.datagram(&message, arrived_now());
        queries.datagram(&message, arrived_now());
        assert_eq!((queries.samples.len(), queries.superseded), (1, 1));
    }

    // tsq: E4
    #[test]
    fn strangers_answer_spends_a_query_and_says_why() {
        let mut queries = Queries::new(3, PATIENCE, terms());
        let now = Instant::now();
        for byte in 1..=3 {
            ask(&mut queries, byte, now);
        }
        queries.datagram(&answer(99, tsq_net::now()), arrived_now());
        queries.datagram(&[1, 16, 2], arrived_now());
        queries.datagram(&answer(3, tsq_net::now())[..37], arrived_now());
        assert_eq!(
            reasons(&queries),
            ["nonce_mismatch", "malformed", "malformed"]
        );
        assert!(queries.all_done());
    }

    #[test]
    fn stream_answer_is_whole_with_its_last_element_not_with_its_end() {
        let mut queries = Queries::new(1, PATIENCE, terms());
        let stream = StreamId::new(tsq_net::Side::Client, tsq_net::Dir::Bi, 0);
        let asked = queries.next_ask(nonce(1)).unwrap();
        queries.asked(&asked, Transport::Stream, Some(stream), Instant::now());
        queries.departed(
            1,
            Departure {
                id: None,
                before: tsq_net::now(),
            },
        );
        let message = answer(1, tsq_net::now());
        let arrived = arrived_now();
        assert!(
            !queries.stream(stream, &message[..18], false, arrived),
            "a nonce is no answer"
        );
        assert!(!queries.stream(stream, &message[18..30], false, arrived));
        assert!(queries.stream(stream, &message[30..], false, arrived));
        assert_eq!(reasons(&queries), ["ok"]);
    }

    // tsq: M6
    #[test]
    fn precise_stream_answer_is_whole_at_the_length_of_its_request() {
        let precise = Terms {
            precision: true,
            ..terms()
        };
        let mut queries = Queries::new(1, PATIENCE, precise);
        let stream = StreamId::new(tsq_net::Side::Client, tsq_net::Dir::Bi, 0);
        let asked = queries.next_ask(nonce(1)).unwrap();
        queries.asked(&asked, Transport::Stream, Some(stream), Instant::now());
        let before = tsq_net::now();
        queries.departed(1, Departure { id: None, before });
        let now = tsq_net::now().to_ntp();
        let mut message = vec![0; asked.request.len()];
        let response = Response::new(nonce(1), now, now).with_precision();
        response
            .padded_to(message.len())
            .encode(&mut message)
            .unwrap();
        let arrived = arrived_now();
        assert!(!queries.stream(stream, &message[..40], false, arrived));
        assert!(queries.stream(stream, &message[40..], false, arrived));
        assert_eq!(reasons(&queries), ["ok"]);
    }

    // tsq: M6
    #[test]
    fn precise_answer_of_another_length_is_refused() {
        let precise = Terms {
            precision: true,
            ..terms()
        };
        let mut queries = Queries::new(1, PATIENCE, precise);
        ask(&mut queries, 1, Instant::now());
        let now = tsq_net::now().to_ntp();
        let mut message = [0; 40];
        let response = Response::new(nonce(1), now, now).with_precision();
        response.encode(&mut message).unwrap();
        queries.datagram(&message, arrived_now());
        assert_eq!(reasons(&queries), ["precision_length"]);
    }

    #[test]
    fn endless_stream_answer_is_cut_off() {
        let mut queries = Queries::new(1, PATIENCE, terms());
        let stream = StreamId::new(tsq_net::Side::Client, tsq_net::Dir::Bi, 0);
        let asked = queries.next_ask(nonce(1)).unwrap();
        queries.asked(&asked, Transport::Stream, Some(stream), Instant::now());
        assert!(!queries.stream(stream, &[200, 255], false, arrived_now()));
        assert!(queries.stream(stream, &[0; MAX_ANSWER], false, arrived_now()));
        assert_eq!(
            queries.samples[0].result.as_ref().unwrap_err(),
            &Rejection::TooLong
        );
    }
}
