use std::collections::BTreeMap;
use std::path::Path;

use ring::hmac;
use ring::signature::{ED25519, UnparsedPublicKey};
use tsq_proto::{SignatureAlgorithm, SignatureRefusal, Verifier};

use crate::file::KeyFile;
use crate::ids::Ids;
use crate::{Algorithm, Error, PrivateKey, Problem, PublicKey};

/// The keys a client trusts, found by their id.
#[derive(Debug, Default)]
pub struct VerifyKeys(pub(crate) BTreeMap<u32, VerifyKey>);

impl VerifyKeys {
    /// The keys in these files, one each: public ones of Ed25519, private ones of HMAC.
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
                let (id, key) = load(path)?;
                ids.claim(id, path)?;
                Ok((id, key))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self(keys))
    }

    /// The ids of all keys, ascending.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.0.keys().copied()
    }
}

// tsq: M4 M5
impl Verifier for VerifyKeys {
    fn verify(
        &self,
        stated: SignatureAlgorithm,
        id: u32,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureRefusal> {
        let key = self.0.get(&id).ok_or(SignatureRefusal::UnknownKey { id })?;
        // The key decides, not the message: a public key must never be taken for the secret of an HMAC.
        let expected = key.algorithm().into();
        if stated != expected {
            return Err(SignatureRefusal::WrongAlgorithm {
                id,
                stated,
                expected,
            });
        }
        key.verify(message, signature)
    }
}

/// A set of one.
impl From<PublicKey> for VerifyKeys {
    fn from(key: PublicKey) -> Self {
        Self([(key.id, VerifyKey::public(&key))].into())
    }
}

fn load(path: &Path) -> Result<(u32, VerifyKey), Error> {
    match KeyFile::read(path)? {
        KeyFile::Public(key) => Ok((key.id, VerifyKey::public(&key))),
        KeyFile::Private(PrivateKey {
            id,
            algorithm: Algorithm::HmacSha256,
            secret,
            ..
        }) => Ok((
            id,
            VerifyKey::HmacSha256(hmac::Key::new(hmac::HMAC_SHA256, &secret)),
        )),
        KeyFile::Private(PrivateKey {
            id,
            algorithm: Algorithm::Ed25519,
            ..
        }) => Err(Error {
            path: path.into(),
            problem: Problem::SecretNotNeeded { id },
        }),
    }
}

#[derive(Debug)]
pub(crate) enum VerifyKey {
    Ed25519(UnparsedPublicKey<[u8; 32]>),
    HmacSha256(hmac::Key),
}

impl VerifyKey {
    pub(crate) fn public(key: &PublicKey) -> Self {
        Self::Ed25519(UnparsedPublicKey::new(&ED25519, *key.as_bytes()))
    }

    const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::Ed25519,
            Self::HmacSha256(_) => Algorithm::HmacSha256,
        }
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureRefusal> {
        match self {
            Self::Ed25519(key) => key.verify(message, signature),
            // Compares in constant time: how long a wrong tag takes must not tell how much of it is right.
            Self::HmacSha256(key) => hmac::verify(key, message, signature),
        }
        .map_err(|_| SignatureRefusal::BadSignature)
    }
}
