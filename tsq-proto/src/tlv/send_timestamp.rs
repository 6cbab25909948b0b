use super::{Writer, exactly, kind};
use crate::error::{EncodeError, Malformed};
use crate::time::NtpTimestamp;

/// T3: when the server sent the answer, by its own clock.
// tsq: T3
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SendTimestamp(pub NtpTimestamp);

impl SendTimestamp {
    /// From an element's value.
    ///
    /// # Errors
    ///
    /// [`Malformed::ElementLength`] unless it has 8 bytes.
    pub fn decode(value: &[u8]) -> Result<Self, Malformed> {
        exactly(kind::SEND_TIMESTAMP, value).map(|bytes| Self(NtpTimestamp::from_be_bytes(bytes)))
    }

    /// Writes the element.
    ///
    /// # Errors
    ///
    /// [`EncodeError::NoRoom`].
    pub fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.element(kind::SEND_TIMESTAMP, &[&self.0.to_be_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // tsq: T3
    #[test]
    fn value_is_8_bytes_and_no_other_length() {
        let stamp = SendTimestamp(NtpTimestamp::from_bits(0x0102_0304_0506_0708));
        let mut buffer = [0; 10];
        stamp.encode(&mut Writer::new(&mut buffer)).unwrap();
        assert_eq!(buffer, [3, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(SendTimestamp::decode(&buffer[2..]), Ok(stamp));
        let refused = Err(Malformed::ElementLength {
            kind: 3,
            len: 7,
            expected: 8,
        });
        assert_eq!(SendTimestamp::decode(&buffer[3..]), refused);
    }
}
