use super::{Writer, exactly, kind};
use crate::error::{EncodeError, Malformed};

/// Asks for metadata in the answer.
// tsq: T5
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MetadataQuery;

impl MetadataQuery {
    /// From an element's value.
    ///
    /// # Errors
    ///
    /// [`Malformed::ElementLength`] unless it is empty.
    pub fn decode(value: &[u8]) -> Result<Self, Malformed> {
        exactly::<0>(kind::METADATA_QUERY, value).map(|_| Self)
    }

    /// Writes the element.
    ///
    /// # Errors
    ///
    /// [`EncodeError::NoRoom`].
    pub fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.element(kind::METADATA_QUERY, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // tsq: T5
    #[test]
    fn element_is_a_header_without_a_value() {
        let mut buffer = [9; 2];
        MetadataQuery.encode(&mut Writer::new(&mut buffer)).unwrap();
        assert_eq!(buffer, [247, 0]);
        assert_eq!(MetadataQuery::decode(&[]), Ok(MetadataQuery));
        let refused = Err(Malformed::ElementLength {
            kind: 247,
            len: 1,
            expected: 0,
        });
        assert_eq!(MetadataQuery::decode(&[0]), refused);
    }
}
