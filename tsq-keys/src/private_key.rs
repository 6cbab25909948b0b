use std::fmt;

use data_encoding::HEXLOWER;
use ring::rand::{SecureRandom, SystemRandom};
use tsq_proto::HostTime;

use crate::{Algorithm, NoRandomness, PublicKey, SigningKey, valid_from};

/// What a private key file holds.
#[derive(Clone)]
pub struct PrivateKey {
    /// What answers name the key by; unique among a server's keys.
    pub id: u32,
    /// How it signs.
    pub algorithm: Algorithm,
    /// From when on it signs; `None`: always.
    pub valid_from: Option<HostTime>,
    pub(crate) secret: [u8; 32],
}

impl PrivateKey {
    /// A new key, from the operating system's generator.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`].
    pub fn generate(
        id: u32,
        algorithm: Algorithm,
        valid_from: Option<HostTime>,
    ) -> Result<Self, NoRandomness> {
        let mut secret = [0; 32];
        SystemRandom::new()
            .fill(&mut secret)
            .map_err(|_| NoRandomness)?;
        Ok(Self {
            id,
            algorithm,
            valid_from,
            secret,
        })
    }

    /// The half that verifies; HMAC has none.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey> {
        SigningKey::new(self).public_key()
    }

    /// The text of the private file: secret.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let note = match self.algorithm {
            Algorithm::Ed25519 => "The public half, for those who verify, is in a file of its own.",
            Algorithm::HmacSha256 => "Who verifies needs this file too, and could sign with it.",
        };
        let valid_from = self
            .valid_from
            .map(|moment| format!("valid_from = \"{}\"\n", valid_from::format(moment)))
            .unwrap_or_default();
        format!(
            "# TSQ signing key: secret. {note}\nid = {}\nalgorithm = \"{}\"\nsecret = \"{}\"\n{valid_from}",
            self.id,
            self.algorithm.name(),
            HEXLOWER.encode_display(&self.secret),
        )
    }
}

/// Without the secret: logs are not the place for it.
impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .field("valid_from", &self.valid_from)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_generated_keys_differ() {
        let generate = || PrivateKey::generate(1, Algorithm::HmacSha256, None).unwrap();
        assert_ne!(generate().secret, generate().secret);
    }

    #[test]
    fn debug_output_has_no_secret() {
        for algorithm in [Algorithm::Ed25519, Algorithm::HmacSha256] {
            let key = PrivateKey {
                id: 7,
                algorithm,
                valid_from: None,
                secret: [0xab; 32],
            };
            for shown in [format!("{key:?}"), format!("{:?}", SigningKey::new(&key))] {
                assert!(shown.contains("id: 7"), "{shown}");
                assert!(!shown.contains("abab") && !shown.contains("171"), "{shown}");
            }
        }
    }

    #[test]
    fn only_ed25519_has_a_public_half() {
        let public_of = |algorithm| {
            PrivateKey::generate(7, algorithm, None)
                .unwrap()
                .public_key()
        };
        assert_eq!(public_of(Algorithm::Ed25519).map(|key| key.id), Some(7));
        assert_eq!(public_of(Algorithm::HmacSha256), None);
    }
}
