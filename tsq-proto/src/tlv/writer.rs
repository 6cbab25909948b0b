use super::{HEADER_LEN, MAX_VALUE_LEN};
use crate::error::EncodeError;

/// Writes elements one after the other into a buffer. An element is written whole or not at all.
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    len: usize,
}

impl<'b> Writer<'b> {
    /// Starts at the beginning of `buffer`.
    #[must_use]
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// Bytes written so far.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a writer is asked how far it came, not whether it is empty"
    )]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The bytes written.
    #[must_use]
    pub fn finish(self) -> &'b mut [u8] {
        &mut self.buffer[..self.len]
    }

    /// Writes one element; its value is the concatenation of `parts`.
    ///
    /// # Errors
    ///
    /// [`EncodeError::ValueTooLong`] past 255 bytes of value, [`EncodeError::NoRoom`] when the buffer is full.
    pub fn element(&mut self, kind: u8, parts: &[&[u8]]) -> Result<(), EncodeError> {
        self.header(kind, parts.iter().map(|part| part.len()).sum())?;
        for part in parts {
            self.bytes(part);
        }
        Ok(())
    }

    /// Writes a header and makes sure that `len` bytes of value fit after it.
    pub(super) fn header(&mut self, kind: u8, len: usize) -> Result<(), EncodeError> {
        let length = u8::try_from(len).map_err(|_| EncodeError::ValueTooLong { kind, len })?;
        let needed = self.len + HEADER_LEN + len;
        if needed > self.buffer.len() {
            return Err(EncodeError::NoRoom {
                needed,
                have: self.buffer.len(),
            });
        }
        self.bytes(&[kind, length]);
        Ok(())
    }

    /// Continues the value whose room `header` has made sure of.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.buffer[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

const _: () = assert!(MAX_VALUE_LEN == u8::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn element_that_fits_exactly_is_written() {
        let mut buffer = [9; 5];
        let mut writer = Writer::new(&mut buffer);
        writer.element(7, &[&[1], &[2, 3]]).unwrap();
        assert_eq!(writer.finish(), [7, 3, 1, 2, 3]);
    }

    #[test]
    fn element_one_byte_too_long_leaves_the_buffer_alone() {
        let mut buffer = [9; 4];
        let mut writer = Writer::new(&mut buffer);
        assert_eq!(
            writer.element(7, &[&[1, 2, 3]]),
            Err(EncodeError::NoRoom { needed: 5, have: 4 })
        );
        assert_eq!(writer.len(), 0);
        assert_eq!(buffer, [9; 4]);
    }

    #[test]
    fn value_of_255_bytes_is_the_longest() {
        let mut buffer = [0; 300];
        let mut writer = Writer::new(&mut buffer);
        let refused = Err(EncodeError::ValueTooLong { kind: 7, len: 256 });
        assert_eq!(writer.element(7, &[&[1; 255], &[1]]), refused);
        assert_eq!(writer.element(7, &[&[1; 255]]), Ok(()));
    }
}
