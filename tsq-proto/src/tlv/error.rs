use super::{Writer, fixed_part, kind, text};
use crate::error::{EncodeError, ErrorCode, Malformed};

/// A server's refusal to answer. It stands alone in its message, and is sent on streams only.
// tsq: T7
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorElement<'a> {
    /// What is wrong.
    pub code: ErrorCode,
    /// The same for people. A peer's text: escape it before it reaches a terminal.
    pub reason: &'a str,
}

impl<'a> ErrorElement<'a> {
    /// The longest reason that fits, in bytes.
    pub const MAX_REASON_LEN: usize = super::MAX_VALUE_LEN - FIXED_LEN;

    /// From an element's value; the reserved byte is ignored.
    ///
    /// # Errors
    ///
    /// [`Malformed::ElementLength`] under 2 bytes, [`Malformed::BadUtf8`].
    pub fn decode(value: &'a [u8]) -> Result<Self, Malformed> {
        let (&[code, _reserved], reason) = fixed_part::<FIXED_LEN>(kind::ERROR, value)?;
        Ok(Self {
            code: ErrorCode::from_u8(code),
            reason: text(kind::ERROR, reason)?,
        })
    }

    /// Writes the element.
    ///
    /// # Errors
    ///
    /// [`EncodeError::ValueTooLong`] when the reason is over 253 bytes, [`EncodeError::NoRoom`].
    pub fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.element(
            kind::ERROR,
            &[&[self.code.as_u8(), 0], self.reason.as_bytes()],
        )
    }
}

const FIXED_LEN: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    // tsq: T7
    #[test]
    fn fields_stand_where_the_draft_puts_them() {
        let error = ErrorElement {
            code: ErrorCode::AuthenticationRequired,
            reason: "no",
        };
        let mut buffer = [9; 6];
        error.encode(&mut Writer::new(&mut buffer)).unwrap();
        assert_eq!(buffer, [249, 4, 3, 0, b'n', b'o']);
        assert_eq!(ErrorElement::decode(&buffer[2..]), Ok(error));
    }

    // tsq: T7
    #[test]
    fn value_without_its_fixed_part_is_malformed() {
        let refused = Err(Malformed::ElementLength {
            kind: 249,
            len: 1,
            expected: 2,
        });
        assert_eq!(ErrorElement::decode(&[1]), refused);
    }

    // tsq: T7
    #[test]
    fn reason_that_is_not_utf8_is_malformed() {
        assert_eq!(
            ErrorElement::decode(&[1, 0, 0x80]),
            Err(Malformed::BadUtf8 { kind: 249 })
        );
    }
}
