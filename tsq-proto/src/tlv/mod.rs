//! The elements a message is made of: type (1 byte), length (1 byte), value. One file per element.
//!
//! Each element decodes from its value and encodes itself, header included, into a [`Writer`]. What a message may
//! hold, how often and in which order is the business of [`message`](crate::message).

mod clock_quality;
mod error;
mod metadata;
mod metadata_query;
mod nonce;
mod padding;
mod precision;
mod receive_timestamp;
mod send_timestamp;
mod signature;
mod signature_request;
mod time_source;
mod writer;

use core::fmt;

pub use clock_quality::{ClockClass, ClockQuality};
pub use error::ErrorElement;
pub use metadata::{Metadata, Pairs};
pub use metadata_query::MetadataQuery;
pub use nonce::Nonce;
pub use padding::Padding;
pub use precision::PrecisionMode;
pub use receive_timestamp::ReceiveTimestamp;
pub use send_timestamp::SendTimestamp;
pub use signature::{SignatureAlgorithm, SignatureBlock};
pub use signature_request::SignatureRequest;
pub use time_source::{SourceType, TimeSource};
pub use writer::Writer;

use crate::error::Malformed;

/// The type numbers.
pub mod kind {
    /// Nonce.
    pub const NONCE: u8 = 1; // tsq: T1
    /// Receive Timestamp, the server's T2.
    pub const RECEIVE_TIMESTAMP: u8 = 2; // tsq: T2
    /// Send Timestamp, the server's T3.
    pub const SEND_TIMESTAMP: u8 = 3; // tsq: T3
    /// Metadata Query.
    pub const METADATA_QUERY: u8 = 247; // tsq: T5
    /// Clock Quality.
    pub const CLOCK_QUALITY: u8 = 248; // tsq: T6
    /// Error.
    pub const ERROR: u8 = 249; // tsq: T7
    /// Precision Mode.
    pub const PRECISION_MODE: u8 = 250; // tsq: T8
    /// Time Source.
    pub const TIME_SOURCE: u8 = 251; // tsq: T9
    /// Signature Request.
    pub const SIGNATURE_REQUEST: u8 = 252; // tsq: T10
    /// Metadata.
    pub const METADATA: u8 = 253; // tsq: T11
    /// Padding.
    pub const PADDING: u8 = 254; // tsq: T12
    /// Signature Block.
    pub const SIGNATURE_BLOCK: u8 = 255; // tsq: T13

    /// Whether `kind` is a number the protocol has not given out: never sent, ignored when received.
    // tsq: T0 T4
    #[must_use]
    pub const fn is_reserved(kind: u8) -> bool {
        matches!(kind, 0 | 4..=246)
    }
}

/// Bytes before an element's value: its type and its length.
pub const HEADER_LEN: usize = 2;

/// The longest value an element can hold, in bytes.
pub const MAX_VALUE_LEN: usize = 255;

/// One element as it stands in a message, its value not yet interpreted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// The type number, see [`kind`].
    pub kind: u8,
    /// The value, without the header.
    pub value: &'a [u8],
}

/// The elements of a message, in order. After the first error it yields nothing more.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    message: &'a [u8],
    position: usize,
}

impl<'a> Elements<'a> {
    /// Starts at the beginning of `message`.
    #[must_use]
    pub const fn new(message: &'a [u8]) -> Self {
        Self {
            message,
            position: 0,
        }
    }

    /// Where the next element starts, in bytes from the start of the message.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    fn truncated(&mut self, needed: usize) -> Malformed {
        let at = self.position;
        self.position = self.message.len();
        Malformed::Truncated {
            at,
            needed,
            have: self.message.len() - at,
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Element<'a>, Malformed>;

    // tsq: M1
    fn next(&mut self) -> Option<Self::Item> {
        let (kind, len, rest) = match &self.message[self.position..] {
            [] => return None,
            [_] => return Some(Err(self.truncated(HEADER_LEN))),
            [kind, len, rest @ ..] => (*kind, usize::from(*len), rest),
        };
        let Some(value) = rest.get(..len) else {
            return Some(Err(self.truncated(HEADER_LEN + len)));
        };
        self.position += HEADER_LEN + len;
        Some(Ok(Element { kind, value }))
    }
}

/// Whether bytes of a stream end where an element ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequence {
    /// One element or more, the last one whole: this may be a whole message.
    Complete,
    /// Nothing yet, or the last element is cut off: more must come.
    Partial,
}

/// Tells a stream's reader whether `bytes` may be a whole message, so that a request can be answered though its
/// sender never ends the stream.
// tsq: F2
#[must_use]
pub fn sequence(bytes: &[u8]) -> Sequence {
    if !bytes.is_empty() && Elements::new(bytes).all(|element| element.is_ok()) {
        Sequence::Complete
    } else {
        Sequence::Partial
    }
}

/// An element's name and number, for messages to people.
pub(crate) struct KindName(pub(crate) u8);

impl fmt::Display for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            kind::NONCE => "Nonce",
            kind::RECEIVE_TIMESTAMP => "Receive Timestamp",
            kind::SEND_TIMESTAMP => "Send Timestamp",
            kind::METADATA_QUERY => "Metadata Query",
            kind::CLOCK_QUALITY => "Clock Quality",
            kind::ERROR => "Error",
            kind::PRECISION_MODE => "Precision Mode",
            kind::TIME_SOURCE => "Time Source",
            kind::SIGNATURE_REQUEST => "Signature Request",
            kind::METADATA => "Metadata",
            kind::PADDING => "Padding",
            kind::SIGNATURE_BLOCK => "Signature Block",
            _ => "reserved element",
        };
        write!(f, "{name} ({})", self.0)
    }
}

/// The value of an element whose length is fixed.
fn exactly<const N: usize>(kind: u8, value: &[u8]) -> Result<[u8; N], Malformed> {
    value.try_into().map_err(|_| Malformed::ElementLength {
        kind,
        len: value.len(),
        expected: N,
    })
}

/// The fixed part of a value and what follows it.
fn fixed_part<const N: usize>(kind: u8, value: &[u8]) -> Result<(&[u8; N], &[u8]), Malformed> {
    value.split_first_chunk().ok_or(Malformed::ElementLength {
        kind,
        len: value.len(),
        expected: N,
    })
}

fn text(kind: u8, bytes: &[u8]) -> Result<&str, Malformed> {
    core::str::from_utf8(bytes).map_err(|_| Malformed::BadUtf8 { kind })
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn elements_come_in_order_with_their_values() {
        let elements: Vec<_> = Elements::new(&[1, 2, 7, 8, 200, 0]).collect();
        assert_eq!(
            elements,
            [
                Ok(Element {
                    kind: 1,
                    value: &[7, 8]
                }),
                Ok(Element {
                    kind: 200,
                    value: &[]
                })
            ]
        );
    }

    // tsq: M1
    #[test]
    fn truncated_element_is_an_error_and_the_last_item() {
        let mut elements = Elements::new(&[250, 0, 1, 16, 9]);
        assert!(elements.next().unwrap().is_ok());
        assert_eq!(
            elements.next(),
            Some(Err(Malformed::Truncated {
                at: 2,
                needed: 18,
                have: 3
            }))
        );
        assert_eq!(elements.next(), None);
    }

    // tsq: M1
    #[test]
    fn half_a_header_is_truncated() {
        assert_eq!(
            Elements::new(&[1]).next(),
            Some(Err(Malformed::Truncated {
                at: 0,
                needed: 2,
                have: 1
            }))
        );
    }

    // tsq: F2
    #[test]
    fn sequence_is_complete_only_at_an_element_boundary() {
        let mut request = [0; 20];
        request[..2].copy_from_slice(&[1, 16]);
        request[18] = 250;
        for len in 0..=20 {
            let expected = if len == 18 || len == 20 {
                Sequence::Complete
            } else {
                Sequence::Partial
            };
            assert_eq!(sequence(&request[..len]), expected, "{len} bytes");
        }
    }

    // tsq: T0 T4
    #[test]
    fn reserved_numbers_are_those_without_an_element() {
        let known: Vec<u8> = (0..=255)
            .filter(|&number| !kind::is_reserved(number))
            .collect();
        assert_eq!(
            known,
            [1, 2, 3, 247, 248, 249, 250, 251, 252, 253, 254, 255]
        );
    }
}
