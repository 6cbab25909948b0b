use super::{Writer, exactly, kind};
use crate::error::{EncodeError, Malformed};

/// Asks for a signed answer, or none.
// tsq: T10
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignatureRequest;

impl SignatureRequest {
    /// From an element's value.
    ///
    /// # Errors
    ///
    /// [`Malformed::ElementLength`] unless it is empty.
    pub fn decode(value: &[u8]) -> Result<Self, Malformed> {
        exactly::<0>(kind::SIGNATURE_REQUEST, value).map(|_| Self)
    }

    /// Writes the element.
    ///
    /// # Errors
    ///
    /// [`EncodeError::NoRoom`].
    pub fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.element(kind::SIGNATURE_REQUEST, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // tsq: T10
    #[test]
    fn element_is_a_header_without_a_value() {
        let mut buffer = [9; 2];
        SignatureRequest
            .encode(&mut Writer::new(&mut buffer))
            .unwrap();
        assert_eq!(buffer, [252, 0]);
        assert_eq!(SignatureRequest::decode(&[]), Ok(SignatureRequest));
        let refused = Err(Malformed::ElementLength {
            kind: 252,
            len: 1,
            expected: 0,
        });
        assert_eq!(SignatureRequest::decode(&[0]), refused);
    }
}
