//! Requests under way.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tsq_net::Departure;
use tsq_proto::{HostTime, Nonce, Query};

/// Requests in the order they were made, which is the order they are given up in.
#[derive(Debug)]
pub(crate) struct Pending {
    /// The same in all nonces of a run.
    salt: [u8; 8],
    /// Number of the first in `queue`.
    base: u64,
    /// None where the answer came already.
    queue: VecDeque<Option<Waiting>>,
    under_way: usize,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// Who asked.
    pub(crate) client: usize,
    /// What the answer is judged by.
    pub(crate) query: Query,
    /// When it should have been sent; its latency counts from here.
    pub(crate) intended: Instant,
    /// When it was sent.
    pub(crate) asked: Instant,
    /// Of its packet, if it was sent by itself.
    pub(crate) departure: Option<Departure>,
}

/// What an answer answers.
#[derive(Debug)]
pub(crate) enum Found {
    /// This request.
    Waiting(Waiting),
    /// One given up.
    Late,
    /// None that was made, or one answered already.
    Nothing,
}

impl Pending {
    pub(crate) fn new(salt: u64) -> Self {
        Self {
            salt: salt.to_be_bytes(),
            base: 0,
            queue: VecDeque::new(),
            under_way: 0,
        }
    }

    pub(crate) fn under_way(&self) -> usize {
        self.under_way
    }

    /// Unique in the run, which is all a load generator needs; a client that sets clocks draws its
    /// nonces at random.
    pub(crate) fn next_nonce(&self) -> Nonce {
        let mut bytes = [0; 16];
        let number = self.base + self.queue.len() as u64;
        bytes[..8].copy_from_slice(&self.salt);
        bytes[8..].copy_from_slice(&number.to_be_bytes());
        Nonce::new(bytes)
    }

    /// Notes a request that carries [`Self::next_nonce`].
    pub(crate) fn push(&mut self, client: usize, t1: HostTime, intended: Instant, asked: Instant) {
        self.under_way += 1;
        self.queue.push_back(Some(Waiting {
            client,
            query: Query::new(self.next_nonce(), t1),
            intended,
            asked,
            departure: None,
        }));
    }

    /// How the last request left.
    pub(crate) fn departed(&mut self, departure: Departure) {
        if let Some(Some(last)) = self.queue.back_mut() {
            last.departure = Some(departure);
        }
    }

    /// Takes back the last request: it could not be sent.
    pub(crate) fn undo(&mut self) {
        if let Some(Some(_)) = self.queue.pop_back() {
            self.under_way -= 1;
        }
    }

    /// What the message answers, by its first element.
    pub(crate) fn take(&mut self, answer: &[u8]) -> Found {
        let number = answer
            .get(2..18)
            .and_then(|nonce| nonce.strip_prefix(&self.salt))
            .and_then(|number| number.first_chunk().copied())
            .map(u64::from_be_bytes);
        match number {
            Some(number) if number < self.base => Found::Late,
            Some(number) => self.take_at(number - self.base),
            None => Found::Nothing,
        }
    }

    /// Takes the oldest request of this client, whose answer tells no nonce.
    pub(crate) fn take_of(&mut self, client: usize) -> Found {
        let of_client = |waiting: &Option<Waiting>| waiting.is_some_and(|it| it.client == client);
        match self.queue.iter().position(of_client) {
            Some(index) => self.take_at(index as u64),
            None => Found::Nothing,
        }
    }

    fn take_at(&mut self, index: u64) -> Found {
        let slot = usize::try_from(index)
            .ok()
            .and_then(|index| self.queue.get_mut(index));
        let found = slot.and_then(Option::take);
        self.under_way -= usize::from(found.is_some());
        while let Some(None) = self.queue.front() {
            self.queue.pop_front();
            self.base += 1;
        }
        found.map_or(Found::Nothing, Found::Waiting)
    }

    /// The next request that has waited longer than `patience`, given up with this.
    pub(crate) fn expire(&mut self, now: Instant, patience: Duration) -> Option<Waiting> {
        loop {
            match *self.queue.front()? {
                Some(waiting) if now.saturating_duration_since(waiting.asked) <= patience => {
                    return None;
                }
                found => {
                    self.queue.pop_front();
                    self.base += 1;
                    if let Some(waiting) = found {
                        self.under_way -= 1;
                        return Some(waiting);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(pending: &mut Pending, client: usize, at: Instant) -> Vec<u8> {
        let nonce = pending.next_nonce();
        pending.push(client, HostTime::from_unix_nanos(0), at, at);
        [&[1, 16], &nonce.as_bytes()[..]].concat()
    }

    #[test]
    fn answers_in_any_order_find_their_requests_once() {
        let (mut pending, now) = (Pending::new(7), Instant::now());
        let answers: Vec<_> = (0..4).map(|i| ask(&mut pending, i, now)).collect();
        for index in [2, 0, 3, 1] {
            let Found::Waiting(waiting) = pending.take(&answers[index]) else {
                panic!("request {index} was not found");
            };
            assert_eq!(waiting.client, index);
            assert!(!matches!(pending.take(&answers[index]), Found::Waiting(_)));
        }
        assert_eq!(pending.under_way(), 0);
        assert!(pending.queue.is_empty());
    }

    #[test]
    fn answer_to_a_request_given_up_is_late() {
        let (mut pending, now) = (Pending::new(7), Instant::now());
        let old = ask(&mut pending, 0, now);
        let patience = Duration::from_millis(500);
        assert!(pending.expire(now + patience, patience).is_none());
        let new = ask(&mut pending, 1, now + patience);
        let late = now + patience + Duration::from_nanos(1);
        assert_eq!(pending.expire(late, patience).map(|it| it.client), Some(0));
        assert!(pending.expire(late, patience).is_none());
        assert!(matches!(pending.take(&old), Found::Late));
        assert!(matches!(pending.take(&new), Found::Waiting(_)));
    }

    #[test]
    fn what_answers_nothing_is_told_apart() {
        let (mut pending, now) = (Pending::new(7), Instant::now());
        let mut other_run = ask(&mut pending, 0, now);
        other_run[2] ^= 1;
        assert!(matches!(pending.take(&other_run), Found::Nothing));
        assert!(matches!(pending.take(b"short"), Found::Nothing));
        assert!(matches!(pending.take_of(3), Found::Nothing));
        assert!(matches!(pending.take_of(0), Found::Waiting(_)));
        assert_eq!(pending.under_way(), 0);
    }

    #[test]
    fn request_that_could_not_be_sent_leaves_no_trace() {
        let (mut pending, now) = (Pending::new(7), Instant::now());
        let before = pending.next_nonce();
        ask(&mut pending, 0, now);
        pending.undo();
        assert_eq!((pending.next_nonce(), pending.under_way()), (before, 0));
    }
}
