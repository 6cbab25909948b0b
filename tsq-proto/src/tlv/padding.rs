use super::{HEADER_LEN, MAX_VALUE_LEN, Writer, kind};
use crate::error::{EncodeError, Malformed};

/// Zero bytes that make a message longer; one element holds up to 255 of them, so several may follow one another.
// tsq: T12
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Padding {
    /// Length of all padding elements together, headers included, in bytes. Never 1: a header has two.
    pub total: usize,
}

impl Padding {
    /// Checks an element's value.
    ///
    /// # Errors
    ///
    /// [`Malformed::PaddingNotZero`].
    pub fn check(value: &[u8]) -> Result<(), Malformed> {
        value
            .iter()
            .position(|&byte| byte != 0)
            .map_or(Ok(()), |at| Err(Malformed::PaddingNotZero { at }))
    }

    /// Writes as many elements as it takes.
    ///
    /// # Errors
    ///
    /// [`EncodeError::PaddingOfOneByte`], [`EncodeError::NoRoom`].
    pub fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        if self.total == 1 {
            return Err(EncodeError::PaddingOfOneByte);
        }
        let mut left = self.total;
        while left > 0 {
            let element = next_element(left);
            writer.element(
                kind::PADDING,
                &[&[0; MAX_VALUE_LEN][..element - HEADER_LEN]],
            )?;
            left -= element;
        }
        Ok(())
    }
}

/// The length of the next element when `left` bytes are to be filled; it never leaves a single byte over.
const fn next_element(left: usize) -> usize {
    const LONGEST: usize = HEADER_LEN + MAX_VALUE_LEN;
    match left {
        ..=LONGEST => left,
        left if left == LONGEST + 1 => LONGEST - 1,
        _ => LONGEST,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Elements;
    use super::*;

    // tsq: T12
    #[test]
    fn every_length_but_one_can_be_padded() {
        let mut buffer = [9; 1000];
        for total in (0..=1000).filter(|&total| total != 1) {
            let mut writer = Writer::new(&mut buffer);
            Padding { total }.encode(&mut writer).unwrap();
            let written = writer.finish();
            assert_eq!(written.len(), total);
            for element in Elements::new(written) {
                let element = element.unwrap();
                assert_eq!(
                    (element.kind, Padding::check(element.value)),
                    (kind::PADDING, Ok(()))
                );
            }
        }
    }

    // tsq: T12
    #[test]
    fn single_byte_of_padding_is_refused() {
        let mut buffer = [0; 8];
        let refused = Padding { total: 1 }.encode(&mut Writer::new(&mut buffer));
        assert_eq!(refused, Err(EncodeError::PaddingOfOneByte));
    }

    // tsq: T12
    #[test]
    fn padding_with_anything_but_zeros_is_malformed() {
        assert_eq!(
            Padding::check(&[0, 0, 1]),
            Err(Malformed::PaddingNotZero { at: 2 })
        );
    }
}
