use super::{Writer, kind};
use crate::error::{EncodeError, Malformed};

/// 16 random bytes that tie an answer to its request; drawn afresh for each request and echoed verbatim.
// tsq: T1
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nonce([u8; 16]);

impl Nonce {
    /// From 16 bytes out of a cryptographically secure generator.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// From an element's value.
    ///
    /// # Errors
    ///
    /// [`Malformed::NonceLength`] unless it has 16 bytes.
    pub fn decode(value: &[u8]) -> Result<Self, Malformed> {
        value
            .try_into()
            .map(Self)
            .map_err(|_| Malformed::NonceLength { len: value.len() })
    }

    /// Writes the element.
    ///
    /// # Errors
    ///
    /// [`EncodeError::NoRoom`].
    pub fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.element(kind::NONCE, &[&self.0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // tsq: T1
    #[test]
    fn nonce_has_16_bytes_and_no_other_length() {
        assert_eq!(Nonce::decode(&[5; 16]), Ok(Nonce::new([5; 16])));
        for len in [0, 15, 17] {
            assert_eq!(
                Nonce::decode(&[5; 17][..len]),
                Err(Malformed::NonceLength { len })
            );
        }
    }

    // tsq: T1
    #[test]
    fn nonce_is_element_1() {
        let mut buffer = [0; 18];
        Nonce::new([5; 16])
            .encode(&mut Writer::new(&mut buffer))
            .unwrap();
        assert_eq!(buffer[..3], [1, 16, 5]);
    }
}
