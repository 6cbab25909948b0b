use super::{Writer, exactly, kind};
use crate::error::{EncodeError, Malformed};
use crate::time::NtpTimestamp;

/// T2: when the server received the request, by its own clock.
// tsq: T2
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReceiveTimestamp(pub NtpTimestamp);

impl ReceiveTimestamp {
    /// From an element's value.
    ///
    /// # Errors
    ///
    /// [`Malformed::ElementLength`] unless it has 8 bytes.
    pub fn decode(value: &[u8]) -> Result<Self, Malformed> {
        exactly(kind::RECEIVE_TIMESTAMP, value)
            .map(|bytes| Self(NtpTimestamp::from_be_bytes(bytes)))
    }

    /// Writes the element.
    ///
    /// # Errors
    ///
    /// [`EncodeError::NoRoom`].
    pub fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.element(kind::RECEIVE_TIMESTAMP, &[&self.0.to_be_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // tsq: T2
    #[test]
    fn value_is_8_bytes_and_no_other_length() {
        let stamp = ReceiveTimestamp(NtpTimestamp::from_bits(0x0102_0304_0506_0708));
        let mut buffer = [0; 10];
        stamp.encode(&mut Writer::new(&mut buffer)).unwrap();
        assert_eq!(buffer, [2, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(ReceiveTimestamp::decode(&buffer[2..]), Ok(stamp));
        let refused = Err(Malformed::ElementLength {
            kind: 2,
            len: 7,
            expected: 8,
        });
        assert_eq!(ReceiveTimestamp::decode(&buffer[3..]), refused);
    }
}
