//! What QUIC leaves to chance, drawn from a seed.

use std::sync::Arc;

use quinn_proto::{
    ClientConfig, ConnectionId, ConnectionIdGenerator, EndpointConfig, InvalidCid, ServerConfig,
};
use ring::hmac;

use crate::shard::ServerSecret;

/// From the same seed come the same connection IDs, keys of resets and tokens, skipped packet numbers and padding.
pub(super) struct Chance {
    secret: ServerSecret,
    first_ids: SeededIds,
}

impl Chance {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        let secret = ServerSecret::from_bytes(seed);
        let first_ids = SeededIds::new(&secret, b"tsq first connection IDs");
        Self { secret, first_ids }
    }

    pub(super) fn endpoint(&self) -> EndpointConfig {
        let mut config = EndpointConfig::new(self.secret.reset_key());
        config.rng_seed(Some(self.secret.derive(&[b"tsq QUIC randomness"])));
        let secret = self.secret.clone();
        config.cid_generator(move || Box::new(SeededIds::new(&secret, b"tsq connection IDs")));
        config
    }

    pub(super) fn server(&self, mut config: ServerConfig) -> ServerConfig {
        config.token_key(self.secret.token_key());
        config
    }

    /// For one connection: the server's first ID is the client's to choose (RFC 9000, section 7.2).
    pub(super) fn client(&mut self, mut config: ClientConfig) -> ClientConfig {
        let id = self.first_ids.generate_cid();
        config.initial_dst_cid_provider(Arc::new(move || id));
        config
    }
}

/// The beginning of a keyed hash of a counter: nobody can tell two of them from random ones, or guess the next.
struct SeededIds {
    key: hmac::Key,
    given: u64,
}

impl SeededIds {
    fn new(secret: &ServerSecret, purpose: &[u8]) -> Self {
        let key: [u8; 32] = secret.derive(&[purpose]);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            given: 0,
        }
    }
}

impl ConnectionIdGenerator for SeededIds {
    fn generate_cid(&mut self) -> ConnectionId {
        self.given += 1;
        let tag = hmac::sign(&self.key, &self.given.to_be_bytes());
        ConnectionId::new(&tag.as_ref()[..ID_LENGTH])
    }

    fn validate(&self, _: &ConnectionId) -> Result<(), InvalidCid> {
        Ok(())
    }

    fn cid_len(&self) -> usize {
        ID_LENGTH
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

const ID_LENGTH: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_gives_the_same_ids_another_others_and_none_comes_twice() {
        let ids = |seed| {
            let mut ids = SeededIds::new(&ServerSecret::from_bytes([seed; 32]), b"x");
            (0..1000)
                .map(|_| ids.generate_cid().to_vec())
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(1), ids(1));
        let (mut both, more) = (ids(1), ids(2));
        both.extend(more);
        both.sort();
        both.dedup();
        assert_eq!(both.len(), 2000);
    }
}
