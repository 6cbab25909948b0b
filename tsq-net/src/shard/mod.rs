//! Several sockets and engines for one address, each on a thread of its own.
//!
//! The kernel spreads packets over the sockets of a group by a filter ([`steering`]) that reads the
//! first byte of the connection ID; each shard's engine gives out IDs ([`ids`]) that lead back to it.
//! So a connection stays with its shard whatever address its client comes from, and shards share
//! nothing but what never changes: configuration and keys.
//!
//! [`steering`]: self::steering
//! [`ids`]: self::ids

mod group;
mod ids;
mod secret;
mod steering;

pub use group::Group;
pub(crate) use ids::ShardIds;
pub use secret::ServerSecret;

/// Shards one address can have at most.
///
/// Twice as many slots, for two generations, must fit one byte many times over: the shards' shares
/// of new connections differ by less than one in four at this limit.
pub const MAX_SHARDS: usize = 64;

/// One of the shards of an address: what its connection IDs say, and the filter reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u8,
    count: u8,
    generation: Generation,
}

/// Which of two processes a connection belongs to, while one takes over from the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Generation {
    /// That of a process that took nothing over.
    #[default]
    Even,
    /// That of the process which took over from an even one.
    Odd,
}

impl Generation {
    /// The generation that takes over from this one.
    pub fn next(self) -> Self {
        match self {
            Self::Even => Self::Odd,
            Self::Odd => Self::Even,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Even => 0,
            Self::Odd => 1,
        }
    }
}

impl Shard {
    /// The only shard of an address.
    pub const ALONE: Self = Self {
        index: 0,
        count: 1,
        generation: Generation::Even,
    };

    /// All shards of an address; None unless `count` is 1 to [`MAX_SHARDS`].
    pub fn all(count: usize, generation: Generation) -> Option<impl Iterator<Item = Self>> {
        let count = u8::try_from(count)
            .ok()
            .filter(|&count| count > 0 && usize::from(count) <= MAX_SHARDS)?;
        Some((0..count).map(move |index| Self {
            index,
            count,
            generation,
        }))
    }

    /// Its place among the shards, from 0.
    pub fn index(self) -> usize {
        self.index.into()
    }

    /// Its place among the shards of both generations.
    fn slot(self) -> u8 {
        self.generation.number() * self.count + self.index
    }

    /// The number of places for both generations.
    fn slots(self) -> u8 {
        2 * self.count
    }
}
