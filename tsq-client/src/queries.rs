//! The queries of one association: which are out, which to repeat, what an answer is worth.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tsq_net::{ClockPair, Departure, Stamp, StampSource, StreamId};
use tsq_proto::{FollowUp, HostTime, Nonce, Refusal};

use crate::follow_ups::{self, FollowUps, Known};
use crate::nonce::nonce_of;
use crate::report::{Answer, Rejection, SampleReport, Timestamps, Transport};
use crate::terms::{STRANGER, Terms};

/// A fixed number of samples to get, each by as many queries as that takes.
///
/// A query that stays unanswered is repeated under a new nonce and T1; the answer to the older
/// one, should it still come, is refused as superseded. Each query leaves in a packet of its own:
/// two in one packet would share T1 and T2 and be one sample counted twice.
///
/// Where follow-ups are asked for, one query more goes out right behind the last one, so that its
/// answer brings the last sample's. It gives no sample itself and is not repeated.
// tsq: C4 F4
#[derive(Debug)]
pub(crate) struct Queries {
    terms: Terms,
    /// One for each sample wanted, and then the closing one, if there is one.
    slots: Vec<Slot>,
    wanted: usize,
    /// Queries handed to QUIC but not yet on their way, oldest first.
    leaving: VecDeque<usize>,
    /// Nonces of queries that were repeated or answered.
    old: VecDeque<Nonce>,
    patience: Duration,
    pub(crate) follow_ups: FollowUps,
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
        let wanted = wanted as usize;
        let closing = usize::from(terms.follow_up && wanted > 0);
        Self {
            terms,
            slots: (0..wanted + closing)
                .map(|_| Slot::Unasked { tries: 0 })
                .collect(),
            wanted,
            leaving: VecDeque::new(),
            old: VecDeque::new(),
            patience,
            follow_ups: FollowUps::default(),
            samples: Vec::new(),
            sent: 0,
            superseded: 0,
        }
    }

    /// Begins anew on the same connection: what still comes of the queries so far is known as late.
    pub(crate) fn renew(&mut self, wanted: u32, patience: Duration, terms: Terms) {
        let waiting: Vec<Nonce> = self.waiting_mut().map(|waiting| waiting.nonce).collect();
        for nonce in waiting {
            self.retire(nonce);
        }
        let old = std::mem::take(&mut self.old);
        *self = Self {
            old,
            ..Self::new(wanted, patience, terms)
        };
    }

    /// Goes on over another connection to the same server: what is not answered yet is asked again there.
    pub(crate) fn move_over(&mut self, patience: Duration, terms: Terms) {
        let waiting: Vec<Nonce> = self.waiting_mut().map(|waiting| waiting.nonce).collect();
        for nonce in waiting {
            self.retire(nonce);
        }
        for slot in &mut self.slots {
            if matches!(slot, Slot::Waiting(_)) {
                *slot = Slot::Unasked { tries: 0 };
            }
        }
        self.leaving.clear();
        self.patience = patience;
        self.terms = terms;
    }

    /// Whether there is a query to send.
    pub(crate) fn any_unasked(&self) -> bool {
        let unasked = |slot: &Slot| matches!(slot, Slot::Unasked { .. });
        self.slots.iter().any(unasked)
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
        self.sent += u32::from(ask.slot < self.wanted);
    }

    /// A packet with the `count` oldest leaving queries was sent.
    pub(crate) fn departed(&mut self, count: u64, departure: Departure, clocks: ClockPair) {
        for _ in 0..count {
            let Some(index) = self.leaving.pop_front() else {
                return;
            };
            if let Slot::Waiting(waiting) = &mut self.slots[index] {
                let t1 = Stamp::user(departure.before);
                waiting.departed.get_or_insert(Departed {
                    departure,
                    t1,
                    clocks,
                });
            }
        }
    }

    /// A packet with the `count` oldest leaving queries was not sent. Datagrams are lost with it; QUIC sends what a
    /// stream carries again, at a time that is not told, so that T1 can be no later than now.
    pub(crate) fn unsent(&mut self, count: u64, transport: Transport, clocks: ClockPair) {
        if transport == Transport::Stream {
            let (id, before) = (None, clocks.real);
            return self.departed(count, Departure { id, before }, clocks);
        }
        for _ in 0..count {
            self.leaving.pop_front();
        }
    }

    /// The kernel told that the packet of this number left at `at`.
    pub(crate) fn departure_told(&mut self, id: u32, at: HostTime, now: HostTime) {
        for waiting in self.waiting_mut() {
            if let Some(departed) = &mut waiting.departed
                && departed.departure.id == Some(id)
            {
                departed.t1 = departed.departure.stamp(Some(at), now);
            }
        }
    }

    /// A datagram came.
    pub(crate) fn datagram(&mut self, message: &[u8], arrived: Stamp, clocks: ClockPair) {
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
                judge(terms, waiting, message, arrived, clocks)
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
        clocks: ClockPair,
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
        if !finished && !self.terms.is_settled(&waiting.received) {
            return false;
        }
        self.conclude(index, |terms, waiting| {
            judge(
                terms,
                waiting,
                &waiting.received,
                waiting.arrived.unwrap_or(arrived),
                clocks,
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
            self.slots[index] = if index < self.wanted {
                Slot::Unasked { tries }
            } else {
                Slot::Done
            };
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

    /// Whether a query was handed to QUIC that is not on its way yet.
    pub(crate) fn any_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Whether every sample was got or refused, and no follow-up is to be waited for.
    pub(crate) fn all_done(&self) -> bool {
        let is_done = |slot: &Slot| matches!(slot, Slot::Done);
        let (wanted, closing) = self.slots.split_at(self.wanted);
        wanted.iter().all(is_done)
            && (closing.iter().all(is_done) || !follow_ups::any_missing(&self.samples))
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
        let Slot::Waiting(waiting) = std::mem::replace(&mut self.slots[index], Slot::Done) else {
            return;
        };
        let result = verdict(&self.terms, &waiting);
        self.leaving.retain(|leaving| *leaving != index);
        self.retire(waiting.nonce);
        // What it tells of others counts only if it passed every check itself.
        let told = result.as_ref().map(follow_ups::told_in).unwrap_or_default();
        if index < self.wanted {
            self.samples.push(SampleReport {
                transport: waiting.transport,
                result,
            });
        }
        self.take_follow_ups(waiting.nonce, told);
    }

    /// Corrects samples: by what came before `answered` did, and by what its answer tells.
    fn take_follow_ups(&mut self, answered: Nonce, told: Vec<FollowUp>) {
        let limit = self.terms.offset_limit;
        for follow_up in self.follow_ups.early_for(answered).into_iter().chain(told) {
            let known = if self.waiting_mut().any(|w| w.nonce == follow_up.nonce) {
                Known::Waiting
            } else if self.old.contains(&follow_up.nonce) {
                Known::Over
            } else {
                Known::No
            };
            self.follow_ups
                .take(follow_up, known, &mut self.samples, limit);
        }
    }

    fn retire(&mut self, nonce: Nonce) {
        if self.old.len() == REMEMBERED {
            self.old.pop_front();
        }
        self.old.push_back(nonce);
    }
}

/// The verdict on an answer to `waiting` that arrived at `t4` and is looked at by these clocks.
fn judge(
    terms: &Terms,
    waiting: &Waiting,
    message: &[u8],
    t4: Stamp,
    clocks: ClockPair,
) -> Result<Answer, Rejection> {
    // An answer to a query that never left can only be a stranger's.
    let departed = waiting.departed.as_ref().ok_or(STRANGER)?;
    if let Some(by) = clocks.stepped_since(&departed.clocks) {
        return Err(Rejection::Refused(Refusal::ClockStepped { by }));
    }
    let length = waiting.request.len();
    let sample = terms.judge(waiting.nonce, length, departed.t1.time, message, t4.time)?;
    let both_kernel = departed.t1.source == StampSource::Kernel && t4.source == StampSource::Kernel;
    let timestamps = if both_kernel {
        Timestamps::Kernel
    } else {
        Timestamps::User
    };
    Ok(Answer {
        sample,
        timestamps,
        request: waiting.request.clone(),
        response: message.to_vec(),
    })
}

/// No answer is longer than this: one packet.
const MAX_ANSWER: usize = 1500;

/// A query waits at most 2^6 times the first patience: longer than any run.
const MAX_DOUBLINGS: u32 = 6;

/// Old nonces kept to know late answers by.
const REMEMBERED: usize = 1024;

/// Queries under way at once: more would queue in our own buffers, and be repeated for nothing.
const IN_FLIGHT: usize = 16;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
