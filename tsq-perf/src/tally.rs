//! How requests ended.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::histogram::{Offsets, Times};

/// How requests ended, and how long they took.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Handed to QUIC.
    pub sent: u64,
    /// Answered in time and right.
    pub answered: u64,
    /// Given up.
    pub lost: u64,
    /// Answered right after they were given up.
    pub late: u64,
    /// Not sent: no stream was free, or too much was under way.
    pub blocked: u64,
    /// Answers that no client should take, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Connections that ended, by reason.
    pub closed: BTreeMap<String, u64>,
    /// From the instant a request was due to its answer.
    pub latency: Times,
    /// Of those requests that were sent by themselves, with a stamp.
    pub offsets: Offsets,
    /// Stamped requests that are not among the offsets: follow-ups were asked for, and theirs did not come, or
    /// the kernel gave no stamp here.
    pub unfollowed: u64,
}

impl Tally {
    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.lost += other.lost;
        self.late += other.late;
        self.blocked += other.blocked;
        for (name, count) in &other.refused {
            *self.refused.entry(name).or_default() += count;
        }
        for (reason, count) in &other.closed {
            *self.closed.entry(reason.clone()).or_default() += count;
        }
        self.latency.merge(&other.latency);
        self.offsets.merge(&other.offsets);
        self.unfollowed += other.unfollowed;
    }

    /// The part of what should have been answered and was not: 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn loss(&self) -> f64 {
        let refused: u64 = self.refused.values().sum();
        let wanted = self.sent + self.blocked;
        let missed = self.lost + self.blocked + refused;
        if wanted == 0 {
            0.0
        } else {
            missed as f64 / wanted as f64
        }
    }

    /// All of it, times in microseconds.
    pub fn json(&self) -> Value {
        json!({
            "sent": self.sent,
            "answered": self.answered,
            "lost": self.lost,
            "late": self.late,
            "blocked": self.blocked,
            "loss": self.loss(),
            "refused": self.refused,
            "closed": self.closed,
            "latency_us": self.latency.json(),
            "offset_us": self.offsets.json(),
            "unfollowed": self.unfollowed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_or_never_sent_is_lost_as_well() {
        let mut tally = Tally {
            sent: 90,
            answered: 80,
            lost: 6,
            blocked: 10,
            ..Tally::default()
        };
        tally.refused.insert("nonce_mismatch", 4);
        assert!((tally.loss() - 0.2).abs() < 1e-9);
        let mut both = Tally::default();
        assert_eq!(both.loss(), 0.0);
        both.merge(&tally);
        both.merge(&tally);
        assert_eq!((both.sent, both.refused["nonce_mismatch"]), (180, 8));
    }
}
