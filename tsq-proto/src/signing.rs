//! The seam between the protocol and the keys: what signs an answer and what checks one. The cryptography is elsewhere.

use core::fmt;

use crate::tlv::SignatureAlgorithm;

/// A key that signs answers.
// tsq: M4 T13
pub trait Signer {
    /// How it signs.
    fn algorithm(&self) -> SignatureAlgorithm;

    /// By which id clients find its counterpart.
    fn key_id(&self) -> u32;

    /// Length of every signature it makes, in bytes; at most
    /// [`SignatureBlock::MAX_SIGNATURE_LEN`](crate::tlv::SignatureBlock::MAX_SIGNATURE_LEN).
    fn signature_len(&self) -> usize;

    /// Signs `message`. `out` has [`signature_len`](Self::signature_len) bytes, all of which are to be written.
    fn sign(&self, message: &[u8], out: &mut [u8]);
}

/// The keys a client trusts, found by their id.
// tsq: M4 M5
pub trait Verifier {
    /// Whether `signature` was made over `message` by the key with this id.
    ///
    /// # Errors
    ///
    /// [`SignatureRefusal::UnknownKey`], [`SignatureRefusal::WrongAlgorithm`] or [`SignatureRefusal::BadSignature`].
    fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        key_id: u32,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureRefusal>;
}

/// Id and algorithm only: what is secret stays so.
impl fmt::Debug for dyn Signer + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("algorithm", &self.algorithm())
            .field("key_id", &self.key_id())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for dyn Verifier + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

/// Why a signature is not valid.
// tsq: M5
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureRefusal {
    /// The protocol has no algorithm of this number. Found before a [`Verifier`] is asked.
    UnknownAlgorithm {
        /// The number on the wire.
        number: u8,
    },
    /// No key has this id.
    UnknownKey {
        /// The id on the wire.
        id: u32,
    },
    /// The key is one for another algorithm.
    WrongAlgorithm {
        /// The key's id.
        id: u32,
        /// What the Signature Block says.
        stated: SignatureAlgorithm,
        /// What the key is for.
        expected: SignatureAlgorithm,
    },
    /// The key did not make this signature over these bytes.
    BadSignature,
}

impl fmt::Display for SignatureRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownAlgorithm { number } => write!(f, "there is no algorithm {number}"),
            Self::UnknownKey { id } => write!(f, "no key has the id {id}"),
            Self::WrongAlgorithm {
                id,
                stated,
                expected,
            } => write!(f, "key {id} is for {expected}, not for {stated}"),
            Self::BadSignature => write!(f, "the key did not sign this answer"),
        }
    }
}

impl core::error::Error for SignatureRefusal {}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::ToString;

    use super::*;

    struct Key;

    impl Signer for Key {
        fn algorithm(&self) -> SignatureAlgorithm {
            SignatureAlgorithm::Ed25519
        }

        fn key_id(&self) -> u32 {
            7
        }

        fn signature_len(&self) -> usize {
            64
        }

        fn sign(&self, _message: &[u8], _out: &mut [u8]) {}
    }

    #[test]
    fn debug_of_a_signer_tells_id_and_algorithm_only() {
        let signer: &dyn Signer = &Key;
        assert_eq!(
            format!("{signer:?}"),
            "Signer { algorithm: Ed25519, key_id: 7, .. }"
        );
    }

    #[test]
    fn messages_carry_the_numbers() {
        let wrong = SignatureRefusal::WrongAlgorithm {
            id: 7,
            stated: SignatureAlgorithm::HmacSha256,
            expected: SignatureAlgorithm::Ed25519,
        };
        assert_eq!(
            wrong.to_string(),
            "key 7 is for Ed25519, not for HMAC-SHA256"
        );
        let unknown = SignatureRefusal::UnknownKey { id: 9 };
        assert_eq!(unknown.to_string(), "no key has the id 9");
    }
}
