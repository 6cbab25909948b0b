//! What a relay does to packets, and the seeded chance that decides it.

use std::time::Duration;

/// What a relay does to the packets of each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Impairment {
    /// How long each packet is held; the round trip grows by twice that.
    pub delay_each_way: Duration,
    /// Packets lost each way, 0 to 100.
    pub loss_percent_each_way: f64,
    /// Packets that are held for [`REORDER_HOLD`] longer, 0 to 100, so that later ones overtake them.
    pub reorder_percent: f64,
    /// Packets that arrive otherwise than they were sent, 0 to 100: bits turned, cut short, or another
    /// first byte.
    pub corrupt_percent: f64,
    /// Where chance starts. Client number N (in order of appearance) has its own sequence each
    /// way: its nth packet meets the same fate in every run, whatever the other clients do.
    pub seed: u64,
}

impl Impairment {
    /// Delay alone: `round_trip` in all, half of it each way.
    #[must_use]
    pub fn round_trip(round_trip: Duration) -> Self {
        Self {
            delay_each_way: round_trip / 2,
            ..Self::default()
        }
    }
}

/// The additional delay of a packet that is to be overtaken.
pub const REORDER_HOLD: Duration = Duration::from_millis(3);

/// What becomes of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    After(Duration),
}

/// A seeded source of fates: Marsaglia's xorshift64.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// `stream` tells apart the dice that share a seed.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        // Neighbouring seeds must not give similar sequences: mix them first (the finaliser of
        // SplitMix64). Zero is the one state that xorshift never leaves.
        let mut mixed = seed ^ stream.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((mixed ^ (mixed >> 31)).max(1))
    }

    /// The fate of the next packet. Always draws twice, so that changing one percentage leaves the
    /// choices of the other as they were.
    pub(super) fn roll(&mut self, impairment: &Impairment) -> Fate {
        let lost = self.percent() < impairment.loss_percent_each_way;
        let held = self.percent() < impairment.reorder_percent;
        match (lost, held) {
            (true, _) => Fate::Lost,
            (false, true) => Fate::After(impairment.delay_each_way + REORDER_HOLD),
            (false, false) => Fate::After(impairment.delay_each_way),
        }
    }

    /// Spoils some packets: gives how many of the bytes are left, or None for one that goes on as it came.
    pub(super) fn spoil(&mut self, impairment: &Impairment, bytes: &mut [u8]) -> Option<usize> {
        if self.percent() >= impairment.corrupt_percent || bytes.is_empty() {
            return None;
        }
        match self.below(3) {
            0 => {
                for _ in 0..=self.below(8) {
                    let at = self.below(bytes.len());
                    bytes[at] ^= 1 << self.below(8);
                }
            }
            1 => return Some(self.below(bytes.len())),
            _ => bytes[0] ^= u8::try_from(1 + self.below(255)).expect("at most 255"),
        }
        Some(bytes.len())
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a positive number below `limit`, the length of a packet"
    )]
    fn below(&mut self, limit: usize) -> usize {
        (self.percent() / 100.0 * limit as f64) as usize
    }

    /// Uniform, from 0 to just below 100.
    fn percent(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let high = u32::try_from(self.0 >> 32).expect("32 bits are left");
        f64::from(high) * 100.0 / 4_294_967_296.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost_of(dice: &mut Dice, impairment: &Impairment, rolls: usize) -> Vec<usize> {
        (0..rolls)
            .filter(|_| dice.roll(impairment) == Fate::Lost)
            .collect()
    }

    #[test]
    fn loss_percentage_is_met() {
        let impairment = Impairment {
            loss_percent_each_way: 20.0,
            ..Impairment::default()
        };
        for seed in 0..10 {
            let lost = lost_of(&mut Dice::new(seed, 0), &impairment, 10_000).len();
            assert!(
                (1850..=2150).contains(&lost),
                "{lost} of 10000 lost with seed {seed}"
            );
        }
    }

    #[test]
    fn extremes_lose_nothing_and_everything() {
        let none = Impairment::default();
        let all = Impairment {
            loss_percent_each_way: 100.0,
            ..none
        };
        assert_eq!(lost_of(&mut Dice::new(0, 0), &none, 1000).len(), 0);
        assert_eq!(lost_of(&mut Dice::new(0, 0), &all, 1000).len(), 1000);
    }

    #[test]
    fn same_seed_gives_the_same_fates_and_another_gives_others() {
        let half = Impairment {
            loss_percent_each_way: 50.0,
            ..Impairment::default()
        };
        let fates = |seed, stream| lost_of(&mut Dice::new(seed, stream), &half, 64);
        assert_eq!(fates(1, 0), fates(1, 0));
        assert_ne!(fates(1, 0), fates(2, 0));
        assert_ne!(fates(1, 0), fates(1, 1));
    }

    #[test]
    fn spoiled_packets_differ_and_the_others_do_not() {
        let some = Impairment {
            corrupt_percent: 30.0,
            ..Impairment::default()
        };
        let mut dice = Dice::new(1, 0);
        let (mut spoiled, mut cut) = (0, 0);
        for _ in 0..10_000 {
            let mut bytes = [7; 40];
            match dice.spoil(&some, &mut bytes) {
                None => assert_eq!(bytes, [7; 40]),
                Some(40) => spoiled += 1,
                Some(_) => cut += 1,
            }
        }
        assert!((2850..=3150).contains(&(spoiled + cut)), "{spoiled} {cut}");
        assert!((850..=1150).contains(&cut), "{cut}");
        assert_eq!(dice.spoil(&Impairment::default(), &mut [7; 40]), None);
    }

    #[test]
    fn reordered_packet_is_held_longer() {
        let delay = Duration::from_millis(5);
        let all = Impairment {
            delay_each_way: delay,
            reorder_percent: 100.0,
            ..Impairment::default()
        };
        assert_eq!(
            Dice::new(0, 0).roll(&all),
            Fate::After(delay + REORDER_HOLD)
        );
    }
}
