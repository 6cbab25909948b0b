//! Keys that sign answers, given on the command line as `ALGORITHM:ID:HEX`.

use std::str::FromStr;

use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// A key and its number.
#[derive(Clone, Debug)]
pub struct Key {
    id: u32,
    secret: Secret,
}

#[derive(Clone, Debug)]
enum Secret {
    /// Signs and verifies.
    Ed25519(Box<SigningKey>),
    /// Verifies only.
    Ed25519Public(Box<VerifyingKey>),
    /// Signs and verifies.
    Hmac(Vec<u8>),
}

impl Key {
    /// The value of a Signature Block over these bytes.
    ///
    /// # Panics
    /// When this is a public key.
    // tsq: T13 M4
    pub(crate) fn block(&self, message: &[u8]) -> Vec<u8> {
        let signature = match &self.secret {
            Secret::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
            Secret::Hmac(key) => mac(key, message).finalize().into_bytes().to_vec(),
            Secret::Ed25519Public(_) => panic!("a public key cannot sign"),
        };
        let mut block = vec![self.algorithm()];
        block.extend(self.id.to_be_bytes());
        block.extend(u16::try_from(signature.len()).unwrap_or(0).to_be_bytes());
        block.extend(signature);
        block
    }

    /// Whether a Signature Block is this key's over these bytes, or why not.
    // tsq: T13 M4 M5
    pub(crate) fn check(&self, message: &[u8], block: &[u8]) -> Result<(), String> {
        let Some((head, signature)) = block.split_at_checked(7) else {
            return Err(format!("a Signature Block of {} bytes", block.len()));
        };
        let mut expected = vec![self.algorithm()];
        expected.extend(self.id.to_be_bytes());
        expected.extend(u16::try_from(signature.len()).unwrap_or(0).to_be_bytes());
        if head != expected {
            return Err(format!("Signature Block begins {head:?}, not {expected:?}"));
        }
        let good = match &self.secret {
            Secret::Ed25519(key) => verifies(&key.verifying_key(), message, signature),
            Secret::Ed25519Public(key) => verifies(key, message, signature),
            Secret::Hmac(key) => mac(key, message).verify_slice(signature).is_ok(),
        };
        if good {
            Ok(())
        } else {
            Err("the signature is wrong".into())
        }
    }

    /// How long a message grows by its signature.
    pub(crate) fn growth(&self) -> usize {
        2 + self.block(&[]).len()
    }

    fn algorithm(&self) -> u8 {
        match self.secret {
            Secret::Ed25519(_) | Secret::Ed25519Public(_) => 1,
            Secret::Hmac(_) => 2,
        }
    }
}

fn verifies(key: &VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
}

fn mac(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac
}

impl FromStr for Key {
    type Err = String;

    /// `ed25519:7:SEED`, `ed25519-public:7:KEY` or `hmac-sha256:7:KEY`, the last part in hex.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, ':');
        let (Some(algorithm), Some(id), Some(hex)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err("not ALGORITHM:ID:HEX".into());
        };
        let bytes = bytes_of(hex).ok_or("not hexadecimal")?;
        let fixed = || <[u8; 32]>::try_from(&bytes[..]).map_err(|_| "not 32 bytes");
        let secret = match algorithm {
            "ed25519" => Secret::Ed25519(Box::new(SigningKey::from_bytes(&fixed()?))),
            "ed25519-public" => VerifyingKey::from_bytes(&fixed()?)
                .map(|key| Secret::Ed25519Public(Box::new(key)))
                .map_err(|error| error.to_string())?,
            "hmac-sha256" => Secret::Hmac(bytes),
            _ => return Err("no such algorithm".into()),
        };
        let id = id.parse().map_err(|_| "the id is not a number")?;
        Ok(Self { id, secret })
    }
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    hex.len()
        .is_multiple_of(2)
        .then(|| hex.as_bytes().chunks(2).map(pair).collect())?
}
