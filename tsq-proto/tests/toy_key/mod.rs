//! A key for tests: it keeps no secret, but any changed byte of a message changes its signature.

use tsq_proto::{SignatureAlgorithm, SignatureRefusal, Signer, Verifier};

/// Signs and verifies under one id.
#[derive(Clone, Copy)]
pub(crate) struct ToyKey {
    pub(crate) id: u32,
    /// Of its signatures, in bytes.
    pub(crate) len: usize,
}

impl Signer for ToyKey {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::HmacSha256
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn signature_len(&self) -> usize {
        self.len
    }

    fn sign(&self, message: &[u8], out: &mut [u8]) {
        assert_eq!(out.len(), self.len, "the contract of `sign`");
        for (byte, mark) in out.iter_mut().zip(self.marks(message)) {
            *byte = mark;
        }
    }
}

impl Verifier for ToyKey {
    fn verify(
        &self,
        stated: SignatureAlgorithm,
        id: u32,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureRefusal> {
        let expected = self.algorithm();
        if id != self.id {
            return Err(SignatureRefusal::UnknownKey { id });
        }
        if stated != expected {
            return Err(SignatureRefusal::WrongAlgorithm {
                id,
                stated,
                expected,
            });
        }
        let valid = signature.len() == self.len
            && self
                .marks(message)
                .zip(signature)
                .all(|(mark, &byte)| mark == byte);
        valid.then_some(()).ok_or(SignatureRefusal::BadSignature)
    }
}

impl ToyKey {
    /// FNV-1a of the message, over and over: each of its steps can be undone, so no changed byte is lost.
    fn marks(&self, message: &[u8]) -> impl Iterator<Item = u8> {
        let start = 0xcbf2_9ce4_8422_2325 ^ u64::from(self.id);
        let hash = message.iter().fold(start, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        hash.to_be_bytes().into_iter().cycle()
    }
}
