//! Connection IDs that lead back to the shard that gave them out.

use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid, RandomConnectionIdGenerator};

use super::Shard;

/// Gives out IDs whose first byte modulo the number of slots is the shard's slot.
///
/// The second byte follows from the first, so that the filter can tell our IDs from the random ones
/// of a client's first packet; the other six are random.
pub(crate) struct ShardIds {
    shard: Shard,
    random: RandomConnectionIdGenerator,
}

impl ShardIds {
    pub(crate) fn new(shard: Shard) -> Self {
        Self {
            shard,
            random: RandomConnectionIdGenerator::new(ID_LENGTH.into()),
        }
    }
}

impl ConnectionIdGenerator for ShardIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let random = self.random.generate_cid();
        let mut id = [0; ID_LENGTH as usize];
        id.copy_from_slice(&random);
        id[0] = steered(id[0], self.shard);
        id[1] = id[0] ^ ID_MARK;
        ConnectionId::new(&id)
    }

    /// A packet that was steered wrong is dropped; a stateless reset would end the connection that
    /// another shard knows. The generation does not count: after a take-over, clients of the
    /// process before are to be told that their connection is gone.
    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        match **id {
            [first, second, ..]
                if second == first ^ ID_MARK && first % self.shard.count == self.shard.index =>
            {
                Ok(())
            }
            _ => Err(InvalidCid),
        }
    }

    fn cid_len(&self) -> usize {
        ID_LENGTH.into()
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

/// The byte nearest below `random` (mostly) that is the shard's slot modulo the number of slots.
fn steered(random: u8, shard: Shard) -> u8 {
    let slots = shard.slots();
    // Only whole rounds of slots: no slot is likelier than another to be past 255.
    let rounds = u8::MAX / slots;
    (random % rounds) * slots + shard.slot()
}

/// Bytes of our connection IDs.
pub(super) const ID_LENGTH: u8 = 8;

/// The second byte of an ID of ours is its first one, exclusively or-ed with this.
pub(super) const ID_MARK: u8 = 0x5a;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::{Generation, MAX_SHARDS};

    #[test]
    fn every_id_names_its_shard_and_generation() {
        for count in 1..=MAX_SHARDS {
            for generation in [Generation::Even, Generation::Odd] {
                for shard in Shard::all(count, generation).unwrap() {
                    for random in 0..=u8::MAX {
                        let first = steered(random, shard);
                        assert_eq!(first % shard.slots(), shard.slot(), "{shard:?} {random}");
                        assert_eq!(first % shard.count, shard.index, "{shard:?} {random}");
                    }
                }
            }
        }
    }

    #[test]
    fn ids_are_taken_by_their_own_shard_of_either_generation_only() {
        let [even, odd] = [Generation::Even, Generation::Odd]
            .map(|generation| Shard::all(3, generation).unwrap().collect::<Vec<_>>());
        for &giver in even.iter().chain(&odd) {
            let id = ShardIds::new(giver).generate_cid();
            for &taker in even.iter().chain(&odd) {
                let taken = ShardIds::new(taker).validate(&id).is_ok();
                assert_eq!(taken, giver.index == taker.index, "{giver:?} {taker:?}");
            }
        }
    }

    #[test]
    fn ids_of_one_shard_differ() {
        let mut ids = ShardIds::new(Shard::ALONE);
        let mut seen: Vec<_> = (0..1000).map(|_| ids.generate_cid().to_vec()).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 1000);
    }

    #[test]
    fn foreign_id_is_not_taken() {
        let ids = ShardIds::new(Shard::ALONE);
        assert!(ids.validate(&ConnectionId::new(&[0; 8])).is_err());
        assert!(ids.validate(&ConnectionId::new(&[0])).is_err());
        assert!(ids.validate(&ConnectionId::new(&[])).is_err());
    }
}
