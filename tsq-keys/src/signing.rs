use std::path::Path;

use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};
use tsq_proto::{HostTime, SignatureAlgorithm, Signer};

use crate::file::KeyFile;
use crate::ids::Ids;
use crate::verify::VerifyKey;
use crate::{Algorithm, Error, PrivateKey, Problem, PublicKey, VerifyKeys};

/// A server's keys, at most one of which is active at a time.
#[derive(Debug, Default)]
pub struct SigningKeys {
    /// In the order in which they become active.
    keys: Vec<SigningKey>,
}

impl SigningKeys {
    /// The keys in these private files, one each.
    ///
    /// # Errors
    ///
    /// The first file that cannot be used, with the [`Problem`].
    pub fn load<P: AsRef<Path>>(paths: &[P]) -> Result<Self, Error> {
        let mut ids = Ids::default();
        let keys = paths
            .iter()
            .map(AsRef::as_ref)
            .map(|path| {
                let key = load(path)?;
                ids.claim(key.id, path)?;
                Ok(key)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self::in_order(keys))
    }

    /// The key to sign with at `now`: the one with the latest `valid_from` that is not in the future; of several
    /// with the same, that with the highest id. `None` when there is none yet.
    #[must_use]
    pub fn active(&self, now: HostTime) -> Option<&SigningKey> {
        let begun = self.keys.partition_point(|key| key.valid_from <= Some(now));
        self.keys[..begun].last()
    }

    /// All keys in the order in which they become active.
    pub fn iter(&self) -> impl Iterator<Item = &SigningKey> {
        self.keys.iter()
    }

    /// What verifies the signatures of all these keys.
    #[must_use]
    pub fn verify_keys(&self) -> VerifyKeys {
        VerifyKeys(self.keys.iter().map(SigningKey::verify_key).collect())
    }

    fn in_order(mut keys: Vec<SigningKey>) -> Self {
        // `None` comes before every moment: such a key was always valid.
        keys.sort_by_key(|key| (key.valid_from, key.id));
        Self { keys }
    }
}

/// A set of one.
impl From<SigningKey> for SigningKeys {
    fn from(key: SigningKey) -> Self {
        Self { keys: vec![key] }
    }
}

fn load(path: &Path) -> Result<SigningKey, Error> {
    match KeyFile::read(path)? {
        KeyFile::Private(key) => Ok(SigningKey::new(&key)),
        KeyFile::Public(PublicKey { id, .. }) => Err(Error {
            path: path.into(),
            problem: Problem::CannotSign { id },
        }),
    }
}

/// A key that is ready to sign.
#[derive(Debug)]
pub struct SigningKey {
    id: u32,
    valid_from: Option<HostTime>,
    secret: Secret,
}

/// Neither kind shows its secret in debug output; ring sees to that.
#[derive(Debug)]
enum Secret {
    Ed25519(Ed25519KeyPair),
    HmacSha256(hmac::Key),
}

impl SigningKey {
    /// Makes `key` ready.
    #[must_use]
    pub fn new(key: &PrivateKey) -> Self {
        let secret = match key.algorithm {
            Algorithm::Ed25519 => Secret::Ed25519(
                Ed25519KeyPair::from_seed_unchecked(&key.secret)
                    .expect("any 32 bytes are an Ed25519 seed"),
            ),
            Algorithm::HmacSha256 => {
                Secret::HmacSha256(hmac::Key::new(hmac::HMAC_SHA256, &key.secret))
            }
        };
        Self {
            id: key.id,
            valid_from: key.valid_from,
            secret,
        }
    }

    /// How it signs.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.secret {
            Secret::Ed25519(_) => Algorithm::Ed25519,
            Secret::HmacSha256(_) => Algorithm::HmacSha256,
        }
    }

    /// From when on it signs; `None`: always.
    #[must_use]
    pub const fn valid_from(&self) -> Option<HostTime> {
        self.valid_from
    }

    /// The half that verifies; HMAC has none.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey> {
        match &self.secret {
            Secret::Ed25519(pair) => Some(public_half(self.id, pair)),
            Secret::HmacSha256(_) => None,
        }
    }

    fn verify_key(&self) -> (u32, VerifyKey) {
        let key = match &self.secret {
            Secret::Ed25519(pair) => VerifyKey::public(&public_half(self.id, pair)),
            Secret::HmacSha256(key) => VerifyKey::HmacSha256(key.clone()),
        };
        (self.id, key)
    }
}

// tsq: M4 T13
impl Signer for SigningKey {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm().into()
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn signature_len(&self) -> usize {
        self.algorithm().signature_len()
    }

    /// # Panics
    ///
    /// When `out` has not exactly [`signature_len`](Signer::signature_len) bytes, as the trait demands.
    fn sign(&self, message: &[u8], out: &mut [u8]) {
        match &self.secret {
            Secret::Ed25519(pair) => out.copy_from_slice(pair.sign(message).as_ref()),
            Secret::HmacSha256(key) => out.copy_from_slice(hmac::sign(key, message).as_ref()),
        }
    }
}

fn public_half(id: u32, pair: &Ed25519KeyPair) -> PublicKey {
    let public = pair
        .public_key()
        .as_ref()
        .try_into()
        .expect("an Ed25519 public key has 32 bytes");
    PublicKey { id, public }
}
