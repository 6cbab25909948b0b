use core::fmt;

use super::{Element, Elements, HEADER_LEN, MAX_VALUE_LEN, Writer, kind, text};
use crate::error::{EncodeError, Malformed};

/// Key and value pairs, spread over as many Metadata elements as it takes. Unknown keys are for the reader to ignore.
///
/// Within an element the keys are sorted by their bytes; equal keys may follow one another.
// tsq: T11 M10
#[derive(Clone, Copy, Default)]
pub struct Metadata<'a> {
    /// Whole elements of which those of kind Metadata have been checked; others may stand between them.
    elements: &'a [u8],
}

impl<'a> Metadata<'a> {
    /// No pairs.
    pub const EMPTY: Self = Self { elements: &[] };

    /// From pairs sorted by the bytes of their keys. They are laid out in `storage`, as on the wire.
    ///
    /// # Errors
    ///
    /// [`EncodeError::MetadataUnsorted`]; [`EncodeError::ValueTooLong`] when one pair has more than 253 bytes of
    /// text; [`EncodeError::NoRoom`] when `storage` is too small.
    pub fn new(pairs: &[(&str, &str)], storage: &'a mut [u8]) -> Result<Self, EncodeError> {
        Self::from_sorted(pairs.iter().copied(), storage)
    }

    pub(crate) fn from_sorted<'p>(
        pairs: impl Iterator<Item = (&'p str, &'p str)> + Clone,
        storage: &'a mut [u8],
    ) -> Result<Self, EncodeError> {
        if !pairs.clone().is_sorted_by_key(|(key, _)| key.as_bytes()) {
            return Err(EncodeError::MetadataUnsorted);
        }
        let mut writer = Writer::new(storage);
        let mut left = pairs.peekable();
        while left.peek().is_some() {
            let count = fitting(left.clone());
            write_element(left.clone().take(count), &mut writer)?;
            left.nth(count - 1);
        }
        Ok(Self {
            elements: writer.finish(),
        })
    }

    /// Checks one element's value.
    ///
    /// # Errors
    ///
    /// [`Malformed::MetadataTruncated`], [`Malformed::MetadataUnsorted`], [`Malformed::BadUtf8`].
    pub fn check(value: &[u8]) -> Result<(), Malformed> {
        let (mut at, mut rest, mut last_key) = (0, value, "");
        while !rest.is_empty() {
            let (key, after_key) = string(at, rest)?;
            let (pair_value, after_pair) = string(at + 1 + key.len(), after_key)?;
            if key.as_bytes() < last_key.as_bytes() {
                return Err(Malformed::MetadataUnsorted { at });
            }
            at += pair_len((key, pair_value));
            (rest, last_key) = (after_pair, key);
        }
        Ok(())
    }

    /// From elements laid out as on the wire, such as those a [`Metadata::new`] left in its storage.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when they are not whole, or a Metadata element among them does not hold.
    pub fn from_elements(elements: &'a [u8]) -> Result<Self, Malformed> {
        for element in Elements::new(elements) {
            let element = element?;
            if is_metadata(&element) {
                Self::check(element.value)?;
            }
        }
        Ok(Self { elements })
    }

    /// The elements as they are on the wire.
    #[must_use]
    pub const fn as_elements(&self) -> &'a [u8] {
        self.elements
    }

    /// `elements` are whole, and every Metadata element in them went through [`check`](Self::check).
    pub(crate) const fn from_checked(elements: &'a [u8]) -> Self {
        Self { elements }
    }

    /// Writes the elements.
    ///
    /// # Errors
    ///
    /// [`EncodeError::NoRoom`].
    pub fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        self.values()
            .try_for_each(|value| writer.element(kind::METADATA, &[value]))
    }

    /// The pairs, in the order of the message.
    #[must_use]
    pub const fn pairs(&self) -> Pairs<'a> {
        Pairs {
            elements: Elements::new(self.elements),
            value: &[],
        }
    }

    /// The first value under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.pairs()
            .find(|(candidate, _)| *candidate == key)
            .map(|(_, value)| value)
    }

    /// Whether there is no pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty() || self.pairs().next().is_none()
    }

    /// Length of all the elements, headers included, in bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.values().map(|value| HEADER_LEN + value.len()).sum()
    }

    fn values(&self) -> impl Iterator<Item = &'a [u8]> {
        Elements::new(self.elements)
            .flatten()
            .filter(is_metadata)
            .map(|element| element.value)
    }
}

/// Equal when the pairs are: how they are spread over elements does not matter.
impl PartialEq for Metadata<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.pairs().eq(other.pairs())
    }
}

impl Eq for Metadata<'_> {}

impl fmt::Debug for Metadata<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.pairs()).finish()
    }
}

/// The pairs of a [`Metadata`].
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    elements: Elements<'a>,
    value: &'a [u8],
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    // The bytes were checked when the `Metadata` was made; an error here would only end the iteration.
    fn next(&mut self) -> Option<Self::Item> {
        while self.value.is_empty() {
            self.value = self.elements.by_ref().flatten().find(is_metadata)?.value;
        }
        let (key, rest) = string(0, self.value).ok()?;
        let (value, rest) = string(0, rest).ok()?;
        self.value = rest;
        Some((key, value))
    }
}

fn is_metadata(element: &Element<'_>) -> bool {
    element.kind == kind::METADATA
}

/// A string with its length before it, and what follows; `at` is where it stands, for the error.
fn string(at: usize, bytes: &[u8]) -> Result<(&str, &[u8]), Malformed> {
    let cut_off = Malformed::MetadataTruncated { at };
    let (&len, rest) = bytes.split_first().ok_or(cut_off)?;
    let (string, rest) = rest.split_at_checked(usize::from(len)).ok_or(cut_off)?;
    Ok((text(kind::METADATA, string)?, rest))
}

/// How many of `pairs` fit into one element; at least one, so that a pair which never fits is reported.
fn fitting<'p>(pairs: impl Iterator<Item = (&'p str, &'p str)>) -> usize {
    let mut total = 0;
    let fit = pairs.take_while(|&pair| {
        total += pair_len(pair);
        total <= MAX_VALUE_LEN
    });
    fit.count().max(1)
}

fn write_element<'p>(
    pairs: impl Iterator<Item = (&'p str, &'p str)> + Clone,
    writer: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    writer.header(kind::METADATA, pairs.clone().map(pair_len).sum())?;
    for (key, value) in pairs {
        for string in [key, value] {
            let len = u8::try_from(string.len()).expect("an element of at most 255 bytes holds it");
            writer.bytes(&[len]);
            writer.bytes(string.as_bytes());
        }
    }
    Ok(())
}

const fn pair_len((key, value): (&str, &str)) -> usize {
    1 + key.len() + 1 + value.len()
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    // tsq: T11
    #[test]
    fn example_of_the_draft_is_written_byte_for_byte() {
        let mut storage = [0; 64];
        let metadata = Metadata::new(&[("site", "us-east")], &mut storage).unwrap();
        assert_eq!(metadata.elements, b"\xfd\x0d\x04site\x07us-east");
        assert_eq!(metadata.get("site"), Some("us-east"));
        assert_eq!(metadata.get("rack"), None);
    }

    // tsq: T11
    #[test]
    fn unsorted_pairs_are_not_encoded() {
        let mut storage = [0; 64];
        let refused = Metadata::new(&[("b", "1"), ("a", "2")], &mut storage);
        assert_eq!(refused, Err(EncodeError::MetadataUnsorted));
    }

    // tsq: T11
    #[test]
    fn unsorted_keys_are_malformed() {
        assert_eq!(
            Metadata::check(b"\x01b\x01x\x01a\x01x"),
            Err(Malformed::MetadataUnsorted { at: 4 })
        );
        assert_eq!(Metadata::check(b"\x01a\x01x\x01a\x01x\x01b\x00"), Ok(()));
    }

    // tsq: T11
    #[test]
    fn pairs_past_one_element_continue_in_the_next() {
        let long: String = "v".repeat(200);
        let pairs = [("a", long.as_str()), ("b", long.as_str()), ("c", "")];
        let mut storage = [0; 600];
        let metadata = Metadata::new(&pairs, &mut storage).unwrap();
        assert_eq!(metadata.values().count(), 2);
        assert_eq!(metadata.pairs().collect::<Vec<_>>(), pairs);
        assert_eq!(metadata.encoded_len(), metadata.elements.len());
    }

    // tsq: T11
    #[test]
    fn pair_of_253_bytes_of_text_is_the_longest() {
        let mut storage = [0; 600];
        let text: String = "v".repeat(253);
        assert!(Metadata::new(&[("", &text[..253])], &mut storage).is_ok());
        let refused = Metadata::new(&[("k", &text)], &mut storage);
        assert_eq!(
            refused,
            Err(EncodeError::ValueTooLong {
                kind: 253,
                len: 256
            })
        );
    }

    // tsq: T11
    #[test]
    fn strings_that_run_past_the_element_are_malformed() {
        assert_eq!(
            Metadata::check(b"\x04sit"),
            Err(Malformed::MetadataTruncated { at: 0 })
        );
        assert_eq!(
            Metadata::check(b"\x04site"),
            Err(Malformed::MetadataTruncated { at: 5 })
        );
        assert_eq!(
            Metadata::check(b"\x04site\x02u"),
            Err(Malformed::MetadataTruncated { at: 5 })
        );
    }

    // tsq: T11
    #[test]
    fn strings_that_are_not_utf8_are_malformed() {
        assert_eq!(
            Metadata::check(b"\x01\xff\x00"),
            Err(Malformed::BadUtf8 { kind: 253 })
        );
        assert_eq!(
            Metadata::check(b"\x01a\x01\xff"),
            Err(Malformed::BadUtf8 { kind: 253 })
        );
    }
}
