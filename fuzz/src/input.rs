//! Reads numbers and byte strings off the front of the fuzzer's input, and writes seeds the same way.

/// What is left of an input. Everything missing at the end reads as zero or empty: every input means something.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// The whole of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.take(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        u8::from_be_bytes(self.array())
    }

    /// The lowest bit of the next byte.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// The next two bytes.
    pub fn number(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    /// Bytes with their number before them (2 bytes).
    pub fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.number());
        self.take(len)
    }

    /// A text, with its length in bytes before it (1 byte); not UTF-8 reads as empty.
    pub fn text(&mut self) -> &'a str {
        let len = usize::from(self.byte());
        std::str::from_utf8(self.take(len)).unwrap_or_default()
    }

    /// All that is left.
    #[must_use]
    pub const fn rest(self) -> &'a [u8] {
        self.0
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// The counterpart of [`Input::bytes`].
///
/// # Panics
///
/// Over 65535 bytes.
pub fn put_bytes(seed: &mut Vec<u8>, bytes: &[u8]) {
    let len = u16::try_from(bytes.len()).expect("seeds are short");
    seed.extend_from_slice(&len.to_be_bytes());
    seed.extend_from_slice(bytes);
}

/// The counterpart of [`Input::text`].
///
/// # Panics
///
/// Over 255 bytes.
pub fn put_text(seed: &mut Vec<u8>, text: &str) {
    seed.push(u8::try_from(text.len()).expect("seeds are short"));
    seed.extend_from_slice(text.as_bytes());
}
