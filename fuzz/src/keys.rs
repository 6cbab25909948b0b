//! The keys of `draft/vectors/keys.json`, so that signed vectors are valid seeds.

use std::io::Write;
use std::sync::{Arc, OnceLock};

use data_encoding::HEXLOWER;
use ring::hmac;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use tempfile::NamedTempFile;
use tsq_keys::{SigningKeys, VerifyKeys};

/// One key, ready for both sides.
pub struct Key {
    /// Signs.
    pub signing: Arc<SigningKeys>,
    /// Verifies.
    pub verify: VerifyKeys,
    id: u32,
    algorithm: u8,
    secret: [u8; 32],
}

impl Key {
    /// By which answers name it.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Whether `block`, the value of a Signature Block, signs `message` with this key. Uses `ring` and nothing of ours.
    #[must_use]
    pub fn signed(&self, message: &[u8], block: &[u8]) -> bool {
        let [algorithm, id @ .., l1, l0] = block.first_chunk::<7>().copied().unwrap_or_default();
        let signature = block.get(7..).unwrap_or_default();
        let stated = usize::from(u16::from_be_bytes([l1, l0]));
        let head = (algorithm, u32::from_be_bytes(id), stated);
        head == (self.algorithm, self.id, signature.len()) && self.verifies(message, signature)
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.algorithm {
            1 => {
                let pair = Ed25519KeyPair::from_seed_unchecked(&self.secret)
                    .expect("any 32 bytes are a seed");
                UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref())
                    .verify(message, signature)
                    .is_ok()
            }
            _ => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &self.secret);
                hmac::verify(&key, message, signature).is_ok()
            }
        }
    }
}

/// Ed25519, id 7: TEST 1 of RFC 8032, section 7.1.
pub fn ed25519() -> &'static Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    KEY.get_or_init(|| {
        key(
            7,
            1,
            "ed25519",
            [
                0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec,
                0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03,
                0x1c, 0xae, 0x7f, 0x60,
            ],
        )
    })
}

/// HMAC-SHA256, id 0x01020304, the bytes 0 to 31.
pub fn hmac_sha256() -> &'static Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    KEY.get_or_init(|| {
        key(
            0x0102_0304,
            2,
            "hmac-sha256",
            std::array::from_fn(|i| i as u8),
        )
    })
}

/// By way of a private file, as a server loads it; `tempfile` makes it for its owner alone.
fn key(id: u32, algorithm: u8, name: &str, secret: [u8; 32]) -> Key {
    let digits = HEXLOWER.encode(&secret);
    let mut file = NamedTempFile::new().expect("a place for temporary files");
    writeln!(
        file,
        "id = {id}\nalgorithm = \"{name}\"\nsecret = \"{digits}\""
    )
    .expect("room for a key");
    let signing = SigningKeys::load(&[file.path()]).expect("a valid key file");
    Key {
        verify: signing.verify_keys(),
        signing: Arc::new(signing),
        id,
        algorithm,
        secret,
    }
}
