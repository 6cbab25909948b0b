//! What attackers do with packets.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::forged;
use super::middle::{Act, Attacker};

/// Leaves everything alone.
pub(super) struct Nobody;

impl Attacker for Nobody {}

/// Lets nothing through.
pub(super) struct Wall;

impl Attacker for Wall {
    fn asked(&mut self, _: &[u8]) -> Vec<Act> {
        Vec::new()
    }
}

/// Holds back what the server sends.
pub(super) struct Holder(pub(super) Duration);

impl Attacker for Holder {
    fn answered(&mut self, packet: &[u8]) -> Vec<Act> {
        vec![Act::to_client(packet).after(self.0)]
    }
}

/// Answers each packet with one that it makes itself; what it leaves alone comes a millisecond later.
pub(super) struct Forger(pub(super) fn(&[u8]) -> Option<Vec<u8>>);

impl Attacker for Forger {
    fn asked(&mut self, packet: &[u8]) -> Vec<Act> {
        let forged = (self.0)(packet).map(|forged| Act::to_client(&forged));
        let real = Act::to_server(packet).after(Duration::from_millis(1));
        forged.into_iter().chain([real]).collect()
    }
}

pub(super) fn time_blind(request: &[u8]) -> Option<Vec<u8>> {
    forged::ntp_answer(request, LIE, false)
}

pub(super) fn time_seen(request: &[u8]) -> Option<Vec<u8>> {
    forged::ntp_answer(request, LIE, true)
}

pub(super) fn ntp_refusal(request: &[u8]) -> Option<Vec<u8>> {
    forged::ntp_refusal(request)
}

pub(super) fn other_versions(packet: &[u8]) -> Option<Vec<u8>> {
    Some(forged::Ids::of(packet)?.other_versions())
}

pub(super) fn retry(packet: &[u8]) -> Option<Vec<u8>> {
    Some(forged::Ids::of(packet)?.retry())
}

pub(super) fn unreadable(packet: &[u8]) -> Option<Vec<u8>> {
    Some(forged::Ids::of(packet)?.unreadable())
}

/// Of what nobody has the key for there is only noise to send.
pub(super) fn noise(packet: &[u8]) -> Option<Vec<u8>> {
    Some(vec![0x5a; packet.len()])
}

/// How far off every forged or lying time is: a whole number of seconds, for one program tells no less.
pub(super) const LIE: Duration = Duration::from_secs(10);

/// Records what a server answers, and later answers with that, packet by packet, in the server's stead.
#[derive(Clone, Default)]
pub(super) struct Recorder {
    answers: Arc<Mutex<Vec<Vec<u8>>>>,
    replays: Arc<AtomicBool>,
    next: usize,
}

impl Recorder {
    /// From now on it replays.
    pub(super) fn replay(&self) {
        self.replays.store(true, Ordering::Relaxed);
    }

    fn replaying(&self) -> bool {
        self.replays.load(Ordering::Relaxed)
    }
}

impl Attacker for Recorder {
    fn asked(&mut self, packet: &[u8]) -> Vec<Act> {
        if !self.replaying() {
            return vec![Act::to_server(packet)];
        }
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = answers.get(self.next).map(|answer| Act::to_client(answer));
        self.next += 1;
        answer.into_iter().collect()
    }

    fn answered(&mut self, packet: &[u8]) -> Vec<Act> {
        if self.replaying() {
            return Vec::new();
        }
        self.answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(packet.into());
        vec![Act::to_client(packet)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_answers_are_replayed_in_their_order_to_each_client() {
        let recorder = Recorder::default();
        let mut first = recorder.clone();
        assert_eq!(first.asked(b"ask"), [Act::to_server(b"ask")]);
        for answer in [b"one", b"two"] {
            assert_eq!(first.answered(answer), [Act::to_client(answer)]);
        }
        recorder.replay();
        let mut second = recorder.clone();
        assert_eq!(second.asked(b"ask"), [Act::to_client(b"one")]);
        assert_eq!(second.asked(b"ask"), [Act::to_client(b"two")]);
        assert_eq!(second.asked(b"ask"), []);
        assert_eq!(second.answered(b"late"), []);
    }

    #[test]
    fn forged_packet_comes_before_the_real_one_is_even_asked_for() {
        let acts = Forger(noise).asked(b"ask");
        assert_eq!(acts[0], Act::to_client(b"ZZZ"));
        assert_eq!(acts.len(), 2);
        assert_eq!(Forger(|_| None).asked(b"ask").len(), 1);
    }
}
