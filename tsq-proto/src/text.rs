//! Short text in a fixed place, for a crate that does not allocate.

use core::fmt;

/// At most `N` bytes of UTF-8; what does not fit is cut off at a character boundary.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct FixedText<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> FixedText<N> {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }

    pub(crate) fn push(&mut self, text: &str) {
        let text = cut(text, N - self.len);
        self.bytes[self.len..self.len + text.len()].copy_from_slice(text.as_bytes());
        self.len += text.len();
    }

    pub(crate) fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).expect("only whole characters are pushed")
    }
}

impl<const N: usize> fmt::Write for FixedText<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

/// The longest start of `text` that has at most `max` bytes and ends between two characters.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_fits_exactly_is_kept_whole() {
        assert_eq!(cut("zeit", 4), "zeit");
        assert_eq!(cut("zeit", 3), "zei");
    }

    #[test]
    fn a_character_across_the_limit_is_left_out_whole() {
        let mut text = FixedText::<4>::new();
        text.push("abc\u{e9}");
        assert_eq!(text.as_str(), "abc");
    }
}
