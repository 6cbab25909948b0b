use super::{Writer, exactly, kind};
use crate::error::{EncodeError, Malformed};

/// Asks for, and acknowledges, messages of the same length both ways.
// tsq: T8
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PrecisionMode;

impl PrecisionMode {
    /// From an element's value.
    ///
    /// # Errors
    ///
    /// [`Malformed::ElementLength`] unless it is empty.
    pub fn decode(value: &[u8]) -> Result<Self, Malformed> {
        exactly::<0>(kind::PRECISION_MODE, value).map(|_| Self)
    }

    /// Writes the element.
    ///
    /// # Errors
    ///
    /// [`EncodeError::NoRoom`].
    pub fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.element(kind::PRECISION_MODE, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // tsq: T8
    #[test]
    fn element_is_a_header_without_a_value() {
        let mut buffer = [9; 2];
        PrecisionMode.encode(&mut Writer::new(&mut buffer)).unwrap();
        assert_eq!(buffer, [250, 0]);
        assert_eq!(PrecisionMode::decode(&[]), Ok(PrecisionMode));
        let refused = Err(Malformed::ElementLength {
            kind: 250,
            len: 1,
            expected: 0,
        });
        assert_eq!(PrecisionMode::decode(&[0]), refused);
    }
}
