//! What a network does to packets, and the seeded chance that decides it.

use std::time::Duration;

/// What a network does to the packets of each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Impairment {
    /// How long each packet is held; the round trip grows by twice that.
    pub delay_each_way: Duration,
    /// How much longer those to the client are held: half of it is an error no client can see.
    pub more_on_the_way_back: Duration,
    /// The most that a packet is held beyond that, by chance, all delays alike often. It overtakes none before
    /// it: jitter comes from queues.
    pub jitter: Duration,
    /// A queue that somebody else fills, on the way to the server.
    pub bottleneck: Option<Bottleneck>,
    /// Packets lost each way, 0 to 100.
    pub loss_percent_each_way: f64,
    /// Packets that are held for [`REORDER_HOLD`] longer, 0 to 100, so that later ones overtake them.
    pub reorder_percent: f64,
    /// Packets that arrive otherwise than they were sent, 0 to 100: bits turned, cut short, or another
    /// first byte.
    pub corrupt_percent: f64,
    /// After so many packets of the first client, the rest of its packets leave from another port, as behind a NAT
    /// that has forgotten it: what comes to the old port is lost.
    pub rebind_after: Option<u64>,
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

/// A slow link with a deep queue, and in it the packets of one other sender (bufferbloat).
///
/// That sender is a TCP transfer, and a model: its window grows until the queue is full, loses one packet, shrinks,
/// and grows again, so that the queue's length is a sawtooth. A real one would take the processor that the
/// measured programs need, and would be another one in each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bottleneck {
    /// Of the link. Our own packets wait for each other, too.
    pub bits_per_second: u64,
    /// How long a packet waits behind the other sender's: the least.
    pub least_queue: Duration,
    /// And the most.
    pub most_queue: Duration,
    /// From one loss of the other sender to the next. Where in it the network starts is up to the seed.
    pub period: Duration,
}

impl Bottleneck {
    /// How long a packet waits that comes so long after the beginning of a period.
    pub fn queue_at(&self, time: Duration) -> Duration {
        let period = self.period.max(Duration::from_nanos(1)).as_nanos();
        let phase = time.as_nanos() % period;
        let swing = self.most_queue.saturating_sub(self.least_queue);
        let grown = swing.as_nanos() * phase / period;
        self.least_queue + Duration::from_nanos(u64::try_from(grown).unwrap_or(u64::MAX))
    }

    /// How long the link takes for one packet with so much payload.
    pub fn transmission(&self, payload: usize) -> Duration {
        let bits = 8 * (payload as u64 + IP_AND_UDP);
        Duration::from_nanos(bits * 1_000_000_000 / self.bits_per_second.max(1))
    }
}

/// Bytes of the headers of IPv4 and UDP.
const IP_AND_UDP: u64 = 28;

/// What becomes of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Never arrives.
    Lost,
    /// Goes on in its turn.
    InOrder,
    /// Is held, so that others may overtake it.
    Held,
}

/// A seeded source of fates: Marsaglia's xorshift64.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// `stream` tells apart the dice that share a seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        // Neighbouring seeds must not give similar sequences: mix them first (the finaliser of
        // SplitMix64). Zero is the one state that xorshift never leaves.
        let mut mixed = seed ^ stream.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((mixed ^ (mixed >> 31)).max(1))
    }

    /// The fate of the next packet. Always draws twice, so that changing one percentage leaves the
    /// choices of the other as they were.
    pub fn roll(&mut self, impairment: &Impairment) -> Fate {
        let lost = self.percent() < impairment.loss_percent_each_way;
        let held = self.percent() < impairment.reorder_percent;
        match (lost, held) {
            (true, _) => Fate::Lost,
            (false, true) => Fate::Held,
            (false, false) => Fate::InOrder,
        }
    }

    /// Spoils some packets: gives how many of the bytes are left, or None for one that goes on as it came.
    pub fn spoil(&mut self, impairment: &Impairment, bytes: &mut [u8]) -> Option<usize> {
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

    /// Up to `most`, all alike often.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.percent() / 100.0)
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
    fn queue_grows_for_a_period_and_is_short_again() {
        let ms = Duration::from_millis;
        let link = Bottleneck {
            bits_per_second: 1_000_000,
            least_queue: ms(100),
            most_queue: ms(200),
            period: ms(8000),
        };
        let waits = [0, 4000, 7999, 8000, 12_000].map(|at| link.queue_at(ms(at)).as_millis());
        assert_eq!(waits, [100, 150, 199, 100, 150]);
        assert_eq!(link.transmission(97), ms(1));
    }
}
