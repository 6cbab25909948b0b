//! What can be wrong with a message: the peer's ([`Malformed`]), ours ([`EncodeError`]), and what a server says of
//! it ([`ErrorCode`]).

use core::fmt;

use crate::tlv;

/// Why received bytes are not a message. The peer's fault, or an attacker's.
///
/// `kind` is an element's type number, see [`tlv::kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// An element says it is longer than what is left.
    Truncated {
        /// Where the element starts, in bytes from the start of the message.
        at: usize,
        /// Bytes the element needs, its header included.
        needed: usize,
        /// Bytes there are from `at` on.
        have: usize,
    },
    /// The message is empty.
    NonceMissing,
    /// The message starts with something else than its nonce.
    NonceNotFirst {
        /// The element in the nonce's place.
        kind: u8,
    },
    /// The nonce is not 16 bytes long.
    NonceLength {
        /// Its length in bytes.
        len: usize,
    },
    /// An element that may stand once stands twice.
    DuplicateElement {
        /// The element.
        kind: u8,
    },
    /// A mandatory element is not there.
    MissingElement {
        /// The element.
        kind: u8,
    },
    /// An element stands where it must not.
    OutOfOrder {
        /// The element.
        kind: u8,
        /// The element it must not follow.
        after: u8,
    },
    /// A value is shorter than its fixed part, or longer than the element allows.
    ElementLength {
        /// The element.
        kind: u8,
        /// The value's length in bytes.
        len: usize,
        /// The length it must have, or at least have when text follows, in bytes.
        expected: usize,
    },
    /// Padding holds something else than zeros.
    PaddingNotZero {
        /// Index of the first other byte in the padding's value.
        at: usize,
    },
    /// Text is not UTF-8.
    BadUtf8 {
        /// The element that holds the text.
        kind: u8,
    },
    /// A metadata string says it is longer than what is left of its element, or a key has no value.
    MetadataTruncated {
        /// Where the string starts, in bytes from the start of the element's value.
        at: usize,
    },
    /// Metadata keys are not sorted.
    MetadataUnsorted {
        /// Where the smaller key's pair starts, in bytes from the start of the element's value.
        at: usize,
    },
    /// A signature's length field disagrees with the element's.
    SignatureLength {
        /// What the field says, in bytes.
        stated: usize,
        /// Bytes there are.
        have: usize,
    },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use tlv::KindName as Name;
        match *self {
            Self::Truncated { at, needed, have } => {
                write!(
                    f,
                    "the element at byte {at} needs {needed} bytes, but {have} are left"
                )
            }
            Self::NonceMissing => write!(f, "the message is empty, so it has no nonce"),
            Self::NonceNotFirst { kind } => write!(
                f,
                "the message starts with {}, not with its nonce",
                Name(kind)
            ),
            Self::NonceLength { len } => write!(f, "the nonce has {len} bytes instead of 16"),
            Self::DuplicateElement { kind } => write!(f, "{} stands twice", Name(kind)),
            Self::MissingElement { kind } => write!(f, "{} is missing", Name(kind)),
            Self::OutOfOrder { kind, after } => {
                write!(f, "{} must not follow {}", Name(kind), Name(after))
            }
            Self::ElementLength {
                kind,
                len,
                expected,
            } => {
                write!(
                    f,
                    "{} has {len} bytes where it needs {expected}",
                    Name(kind)
                )
            }
            Self::PaddingNotZero { at } => write!(f, "byte {at} of the padding is not zero"),
            Self::BadUtf8 { kind } => write!(f, "the text in {} is not UTF-8", Name(kind)),
            Self::MetadataTruncated { at } => {
                write!(f, "the metadata string at byte {at} is cut off")
            }
            Self::MetadataUnsorted { at } => {
                write!(f, "the metadata key at byte {at} is out of order")
            }
            Self::SignatureLength { stated, have } => {
                write!(
                    f,
                    "the signature says it has {stated} bytes, but {have} are there"
                )
            }
        }
    }
}

impl core::error::Error for Malformed {}

/// Why a message could not be written. The caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The buffer is too small.
    NoRoom {
        /// Bytes needed up to and including the element that did not fit.
        needed: usize,
        /// Bytes the buffer has.
        have: usize,
    },
    /// A value is longer than the 255 bytes an element can hold.
    ValueTooLong {
        /// The element.
        kind: u8,
        /// The value's length in bytes.
        len: usize,
    },
    /// Metadata pairs were not given in the order of their keys' bytes.
    MetadataUnsorted,
    /// An annotation uses a key to which the profile gives a meaning (see [`Profile`](crate::profile::Profile)).
    ProfileKey {
        /// The key.
        key: &'static str,
    },
    /// A text of the profile is empty or has other characters than printable ASCII.
    ProfileText {
        /// Its key.
        key: &'static str,
    },
    /// A message would have to grow by one byte, and an element has at least two.
    PaddingOfOneByte,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoRoom { needed, have } => {
                write!(f, "the message needs {needed} bytes, the buffer has {have}")
            }
            Self::ValueTooLong { kind, len } => {
                write!(
                    f,
                    "a value of {len} bytes does not fit into {}, which holds 255",
                    tlv::KindName(kind)
                )
            }
            Self::MetadataUnsorted => write!(f, "metadata pairs are not sorted by key"),
            Self::ProfileKey { key } => {
                write!(f, "the metadata key \"{key}\" has a meaning of its own")
            }
            Self::ProfileText { key } => {
                write!(
                    f,
                    "the metadata text under \"{key}\" is not printable ASCII"
                )
            }
            Self::PaddingOfOneByte => write!(f, "a message cannot be padded by a single byte"),
        }
    }
}

impl core::error::Error for EncodeError {}

/// What a server says is wrong with a request (Error element).
// tsq: T7
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// 1: the request was malformed.
    Malformed,
    /// 2: the request asks for an element the server does not support.
    UnsupportedElement,
    /// 3: the server answers authenticated clients only.
    AuthenticationRequired,
    /// A code this version does not know.
    Other(u8),
}

impl ErrorCode {
    /// From the number on the wire.
    #[must_use]
    pub const fn from_u8(code: u8) -> Self {
        match code {
            1 => Self::Malformed,
            2 => Self::UnsupportedElement,
            3 => Self::AuthenticationRequired,
            other => Self::Other(other),
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        match self {
            Self::Malformed => 1,
            Self::UnsupportedElement => 2,
            Self::AuthenticationRequired => 3,
            Self::Other(code) => code,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => write!(f, "1 (malformed request)"),
            Self::UnsupportedElement => write!(f, "2 (unsupported element)"),
            Self::AuthenticationRequired => write!(f, "3 (authentication required)"),
            Self::Other(code) => write!(f, "{code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    // tsq: T7
    #[test]
    fn error_codes_keep_their_numbers() {
        for code in 0..=255 {
            assert_eq!(ErrorCode::from_u8(code).as_u8(), code);
        }
        assert_eq!(ErrorCode::UnsupportedElement.as_u8(), 2);
    }

    #[test]
    fn messages_carry_the_numbers() {
        let truncated = Malformed::Truncated {
            at: 18,
            needed: 10,
            have: 3,
        };
        assert_eq!(
            truncated.to_string(),
            "the element at byte 18 needs 10 bytes, but 3 are left"
        );
        let disorder = Malformed::OutOfOrder { kind: 3, after: 1 };
        assert_eq!(
            disorder.to_string(),
            "Send Timestamp (3) must not follow Nonce (1)"
        );
        let full = EncodeError::NoRoom {
            needed: 38,
            have: 20,
        };
        assert_eq!(
            full.to_string(),
            "the message needs 38 bytes, the buffer has 20"
        );
    }
}
