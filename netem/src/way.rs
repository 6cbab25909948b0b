//! One direction of a path: when each of its packets is to leave.

use std::time::{Duration, Instant};

use crate::impairment::{Bottleneck, Dice, Fate, Impairment, REORDER_HOLD};

/// What one client's packets meet in one direction.
#[derive(Debug)]
pub struct Way {
    fates: Dice,
    /// Its own, so that jitter leaves the fates as they were.
    jitter: Dice,
    delay: Duration,
    /// When the last one left that kept its place.
    last: Option<Instant>,
}

impl Way {
    /// From client number `client` to the server.
    pub fn up(impairment: &Impairment, client: u64) -> Self {
        Self::new(impairment, 2 * client, impairment.delay_each_way)
    }

    /// And back.
    pub fn down(impairment: &Impairment, client: u64) -> Self {
        let delay = impairment.delay_each_way + impairment.more_on_the_way_back;
        Self::new(impairment, 2 * client + 1, delay)
    }

    fn new(impairment: &Impairment, stream: u64, delay: Duration) -> Self {
        Self {
            fates: Dice::new(impairment.seed, stream),
            jitter: Dice::new(impairment.seed.rotate_left(32) ^ JITTER, stream),
            delay,
            last: None,
        }
    }

    /// When a packet leaves that is past the bottleneck `at` that time; None when it is lost.
    pub fn departure(&mut self, impairment: &Impairment, at: Instant) -> Option<Instant> {
        let fate = self.fates.roll(impairment);
        let due = at + self.delay + self.jitter.up_to(impairment.jitter);
        match fate {
            Fate::Lost => None,
            Fate::Held => Some(due + REORDER_HOLD),
            Fate::InOrder => {
                let in_turn = self.last.map_or(due, |last| due.max(last));
                self.last = Some(in_turn);
                Some(in_turn)
            }
        }
    }
}

/// Tells the seeds of jitter from those of fates.
const JITTER: u64 = 0x6a69_7474_6572;

/// The bottleneck that all clients share.
#[derive(Debug)]
pub struct Link {
    bottleneck: Bottleneck,
    /// When a period of the other sender began.
    epoch: Instant,
    free_at: Instant,
}

impl Link {
    /// An idle link, `now`.
    pub fn new(bottleneck: Bottleneck, seed: u64, now: Instant) -> Self {
        let phase = Dice::new(seed, u64::MAX - 1).up_to(bottleneck.period);
        Self {
            bottleneck,
            // The monotonic clock may be younger than that.
            epoch: now.checked_sub(phase).unwrap_or(now),
            free_at: now,
        }
    }

    /// When a packet that comes `now` is through.
    pub fn pass(&mut self, now: Instant, payload: usize) -> Instant {
        let wait = self.bottleneck.queue_at(now.duration_since(self.epoch));
        let begins = self.free_at.max(now + wait);
        self.free_at = begins + self.bottleneck.transmission(payload);
        self.free_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn departures(impairment: &Impairment, way: fn(&Impairment, u64) -> Way) -> Vec<Duration> {
        let begun = Instant::now();
        let mut way = way(impairment, 0);
        (0..100)
            .filter_map(|number| way.departure(impairment, begun + number * MS))
            .map(|at| at - begun)
            .collect()
    }

    #[test]
    fn way_back_is_longer_by_what_was_asked() {
        let impairment = Impairment {
            more_on_the_way_back: 8 * MS,
            ..Impairment::round_trip(10 * MS)
        };
        assert_eq!(departures(&impairment, Way::up)[0], 5 * MS);
        assert_eq!(departures(&impairment, Way::down)[0], 13 * MS);
    }

    #[test]
    fn jitter_stays_within_its_limit_and_keeps_the_order() {
        let impairment = Impairment {
            jitter: 10 * MS,
            ..Impairment::default()
        };
        let at = departures(&impairment, Way::up);
        assert!(at.is_sorted(), "{at:?}");
        let held: Vec<Duration> = (0..).zip(&at).map(|(n, at)| *at - n * MS).collect();
        assert!(held.iter().all(|held| *held <= 10 * MS), "{held:?}");
        let (least, most) = (held.iter().min().unwrap(), held.iter().max().unwrap());
        assert!(*least < 8 * MS && *most > 8 * MS, "{held:?}");
    }

    #[test]
    fn jitter_leaves_the_losses_as_they_were() {
        let lossy = Impairment {
            loss_percent_each_way: 30.0,
            ..Impairment::default()
        };
        let jittery = Impairment {
            jitter: MS / 2,
            ..lossy
        };
        let lost = |impairment| {
            let mut way = Way::up(impairment, 0);
            let now = Instant::now();
            (0..100)
                .map(|_| way.departure(impairment, now).is_none())
                .collect::<Vec<_>>()
        };
        assert_eq!(lost(&lossy), lost(&jittery));
        assert!(lost(&lossy).contains(&true));
    }

    #[test]
    fn held_packet_leaves_later_and_nobody_waits_for_it() {
        let all = Impairment {
            reorder_percent: 100.0,
            ..Impairment::default()
        };
        let now = Instant::now();
        let mut way = Way::up(&all, 0);
        assert_eq!(way.departure(&all, now), Some(now + REORDER_HOLD));
        assert_eq!(way.departure(&Impairment::default(), now), Some(now));
    }

    #[test]
    fn packets_wait_for_the_other_sender_and_for_each_other() {
        let bottleneck = Bottleneck {
            bits_per_second: 1_000_000,
            least_queue: 100 * MS,
            most_queue: 100 * MS,
            period: 1000 * MS,
        };
        let now = Instant::now();
        let mut link = Link::new(bottleneck, 3, now);
        assert_eq!(link.pass(now, 97), now + 101 * MS);
        assert_eq!(link.pass(now, 97), now + 102 * MS);
        assert_eq!(link.pass(now + 50 * MS, 97), now + 151 * MS);
    }
}
