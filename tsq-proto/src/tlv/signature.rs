use core::fmt;

use super::{HEADER_LEN, MAX_VALUE_LEN, Writer, fixed_part, kind};
use crate::error::{EncodeError, Malformed};

/// A signature over every byte of the message before this element. Keys come out of band, found by their id.
// tsq: T13 M4
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignatureBlock<'a> {
    /// How it was made.
    pub algorithm: SignatureAlgorithm,
    /// Which key made it.
    pub key_id: u32,
    /// The signature, at most [`MAX_SIGNATURE_LEN`](Self::MAX_SIGNATURE_LEN) bytes.
    pub signature: &'a [u8],
}

impl<'a> SignatureBlock<'a> {
    /// The longest signature that fits, in bytes.
    pub const MAX_SIGNATURE_LEN: usize = MAX_VALUE_LEN - FIXED_LEN;

    /// Where the signature stands in the element, in bytes from the start of its header.
    pub(crate) const SIGNATURE_AT: usize = HEADER_LEN + FIXED_LEN;

    /// From an element's value.
    ///
    /// # Errors
    ///
    /// [`Malformed::ElementLength`] under 7 bytes, [`Malformed::SignatureLength`] when the two lengths disagree.
    pub fn decode(value: &'a [u8]) -> Result<Self, Malformed> {
        let (&[algorithm, k3, k2, k1, k0, l1, l0], signature) =
            fixed_part::<FIXED_LEN>(kind::SIGNATURE_BLOCK, value)?;
        let stated = usize::from(u16::from_be_bytes([l1, l0]));
        if stated != signature.len() {
            return Err(Malformed::SignatureLength {
                stated,
                have: signature.len(),
            });
        }
        Ok(Self {
            algorithm: SignatureAlgorithm::from_u8(algorithm),
            key_id: u32::from_be_bytes([k3, k2, k1, k0]),
            signature,
        })
    }

    /// Writes the element.
    ///
    /// # Errors
    ///
    /// [`EncodeError::ValueTooLong`] when the signature is over 248 bytes, [`EncodeError::NoRoom`].
    pub fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        let key_id = self.key_id.to_be_bytes();
        // A length that does not fit here does not fit the element either, which is what gets reported.
        let length = u16::try_from(self.signature.len())
            .unwrap_or(u16::MAX)
            .to_be_bytes();
        let parts: [&[u8]; 4] = [&[self.algorithm.as_u8()], &key_id, &length, self.signature];
        writer.element(kind::SIGNATURE_BLOCK, &parts)
    }

    /// Length of the whole element, header included, in bytes.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        HEADER_LEN + FIXED_LEN + self.signature.len()
    }
}

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// 1: Ed25519.
    Ed25519,
    /// 2: HMAC with SHA-256.
    HmacSha256,
    /// An algorithm this version does not know.
    Other(u8),
}

impl SignatureAlgorithm {
    /// From the number on the wire.
    #[must_use]
    pub const fn from_u8(algorithm: u8) -> Self {
        match algorithm {
            1 => Self::Ed25519,
            2 => Self::HmacSha256,
            other => Self::Other(other),
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::HmacSha256 => 2,
            Self::Other(algorithm) => algorithm,
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::HmacSha256 => f.write_str("HMAC-SHA256"),
            Self::Other(algorithm) => write!(f, "algorithm {algorithm}"),
        }
    }
}

const FIXED_LEN: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    // tsq: T13
    #[test]
    fn fields_stand_where_the_draft_puts_them() {
        let block = SignatureBlock {
            algorithm: SignatureAlgorithm::HmacSha256,
            key_id: 0x0102_0304,
            signature: &[7, 8],
        };
        let mut buffer = [9; 11];
        block.encode(&mut Writer::new(&mut buffer)).unwrap();
        assert_eq!(buffer, [255, 9, 2, 1, 2, 3, 4, 0, 2, 7, 8]);
        assert_eq!(SignatureBlock::decode(&buffer[2..]), Ok(block));
        assert_eq!(block.encoded_len(), buffer.len());
    }

    // tsq: T13
    #[test]
    fn length_field_must_agree_with_the_element() {
        for stated in [1, 3] {
            let refused = Err(Malformed::SignatureLength { stated, have: 2 });
            assert_eq!(
                SignatureBlock::decode(&[1, 0, 0, 0, 0, 0, stated as u8, 7, 8]),
                refused
            );
        }
    }

    // tsq: T13
    #[test]
    fn value_without_its_fixed_part_is_malformed() {
        let refused = Err(Malformed::ElementLength {
            kind: 255,
            len: 6,
            expected: 7,
        });
        assert_eq!(SignatureBlock::decode(&[0; 6]), refused);
    }
}
