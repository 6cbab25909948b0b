//! The chance in limits.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// What limits leave to chance: whom a full limit lets through, and which networks share a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seed(u128);

impl Seed {
    /// Limits with this seed do the same each time. Who knows it can get past them.
    pub const fn new(seed: u128) -> Self {
        Self(seed)
    }

    /// One that nobody outside can know.
    pub fn random() -> Self {
        let half = || u128::from(RandomState::new().hash_one(0));
        Self(half() << 64 | half())
    }
}

/// A seed of its own for each shard.
#[derive(Debug)]
pub(super) struct Seeds {
    seed: Seed,
    drawn: AtomicU64,
}

impl Seeds {
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            seed,
            drawn: AtomicU64::new(0),
        }
    }

    /// The next one.
    pub(super) fn draw(&self) -> u64 {
        hash_of((self.seed, self.drawn.fetch_add(1, Ordering::Relaxed)))
    }
}

/// SipHash of something that begins with a seed: without the seed nobody can tell it.
pub(super) fn hash_of(seeded: impl std::hash::Hash) -> u64 {
    use std::hash::{BuildHasherDefault, DefaultHasher};
    BuildHasherDefault::<DefaultHasher>::default().hash_one(seeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_draw_differently_and_the_same_seed_draws_the_same() {
        let draw = |seed| {
            let seeds = Seeds::new(seed);
            [seeds.draw(), seeds.draw()]
        };
        let [first, second] = draw(Seed::new(1));
        assert_ne!(first, second);
        assert_eq!(draw(Seed::new(1)), [first, second]);
        assert_ne!(draw(Seed::new(2)), [first, second]);
        assert_ne!(Seed::random(), Seed::random());
    }
}
