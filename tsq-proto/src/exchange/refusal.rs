use core::fmt;
use core::time::Duration;

use crate::error::{ErrorCode, Malformed};
use crate::signing::SignatureRefusal;
use crate::text::FixedText;
use crate::time::{Offset, Span};
use crate::words::Foreign;

/// Why an answer gave no sample. Every reason has a [`name`](Self::name) and its numbers.
// tsq: E4
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The answer is not a message.
    Malformed(Malformed),
    /// The answer's nonce is not the one sent.
    NonceMismatch,
    /// A signature was asked for, and the answer has none.
    // tsq: M5
    SignatureMissing,
    /// A signature was asked for, and the answer's is not valid.
    // tsq: M5
    SignatureInvalid(SignatureRefusal),
    /// The answer acknowledges precision mode, but has another length than the request.
    // tsq: M6
    PrecisionLength {
        /// Bytes of the request.
        request: usize,
        /// Bytes of the answer.
        answer: usize,
    },
    /// It answers an older request than the last. Found by the caller, who knows the requests.
    Superseded,
    /// The server refused the request.
    ServerError {
        /// What it says is wrong.
        code: ErrorCode,
        /// The same in words.
        reason: Reason,
    },
    /// T2 or T3, of the era nearest to T1, is outside the years 1677 to 2262.
    TimeOutOfRange,
    /// The server says it sent the answer before it received the request: T3 < T2.
    SendBeforeReceive {
        /// By how much.
        by: Duration,
    },
    /// The answer came before the request left: T4 < T1.
    ReceivedBeforeSent {
        /// By how much.
        by: Duration,
    },
    /// The server held the request for as long as the whole exchange took, or longer.
    DelayNotPositive {
        /// The delay, zero or negative.
        delay: Offset,
    },
    /// The offset is larger than allowed.
    OffsetPastLimit {
        /// The offset measured.
        offset: Offset,
        /// The largest allowed.
        limit: Duration,
    },
    /// It came from another address than the one asked. Found by the caller, who knows the addresses.
    WrongAddress,
    /// This host's clock was stepped between T1 and T4. Found by the caller, who has a monotonic clock to compare.
    ClockStepped {
        /// How far it was stepped.
        by: Offset,
    },
}

impl Refusal {
    /// The reason as a stable name for programs.
    // tsq: E4
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Malformed(Malformed::NonceMissing | Malformed::NonceNotFirst { .. }) => {
                "nonce_missing"
            }
            Self::Malformed(Malformed::NonceLength { .. }) => "nonce_malformed",
            Self::Malformed(_) => "malformed",
            Self::NonceMismatch => "nonce_mismatch",
            Self::SignatureMissing => "signature_missing",
            Self::SignatureInvalid(_) => "signature_invalid",
            Self::PrecisionLength { .. } => "precision_length",
            Self::Superseded => "superseded",
            Self::ServerError { .. } => "server_error",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::SendBeforeReceive { .. } => "send_before_receive",
            Self::ReceivedBeforeSent { .. } => "received_before_sent",
            Self::DelayNotPositive { .. } => "delay_not_positive",
            Self::OffsetPastLimit { .. } => "offset_past_limit",
            Self::WrongAddress => "wrong_address",
            Self::ClockStepped { .. } => "clock_stepped",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => write!(f, "the answer is malformed: {malformed}"),
            Self::NonceMismatch => write!(f, "the answer's nonce is not the one sent"),
            Self::SignatureMissing => write!(f, "the answer is not signed"),
            Self::SignatureInvalid(why) => write!(f, "the answer's signature is not valid: {why}"),
            Self::PrecisionLength { request, answer } => write!(
                f,
                "the answer claims precision mode, but has {answer} bytes where the request had {request}"
            ),
            Self::Superseded => write!(f, "the answer belongs to an older request"),
            Self::ServerError { code, reason } => {
                write!(f, "the server reports error {code}: \"{reason}\"")
            }
            Self::TimeOutOfRange => {
                write!(f, "the server's time is outside the years 1677 to 2262")
            }
            Self::SendBeforeReceive { by } => {
                write!(
                    f,
                    "the server says it answered {} before it received the request",
                    Span(*by)
                )
            }
            Self::ReceivedBeforeSent { by } => {
                write!(
                    f,
                    "the answer came {} before the request was sent",
                    Span(*by)
                )
            }
            Self::DelayNotPositive { delay } => {
                write!(f, "the round-trip delay is not positive: {delay}")
            }
            Self::OffsetPastLimit { offset, limit } => {
                write!(
                    f,
                    "the offset {offset} is past the limit of {}",
                    Span(*limit)
                )
            }
            Self::WrongAddress => {
                write!(f, "the answer came from another address than the one asked")
            }
            Self::ClockStepped { by } => write!(
                f,
                "this host's clock was stepped by {by} during the exchange"
            ),
        }
    }
}

impl core::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Malformed(malformed) => Some(malformed),
            Self::SignatureInvalid(why) => Some(why),
            _ => None,
        }
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<SignatureRefusal> for Refusal {
    fn from(why: SignatureRefusal) -> Self {
        Self::SignatureInvalid(why)
    }
}

/// A server's words, copied: at most [`Reason::MAX_LEN`] bytes, the rest is cut off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Reason(FixedText<{ Self::MAX_LEN }>);

impl Reason {
    /// Bytes kept. Fewer than the wire allows, so that refusals stay cheap to pass around.
    pub const MAX_LEN: usize = 80;

    /// Copies `text` as far as it fits.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut copy = FixedText::new();
        copy.push(text);
        Self(copy)
    }

    /// The text as the server sent it. Its `Display` is escaped and safe for a terminal, this is not.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Foreign(self.as_str()).fmt(f)
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    // tsq: E4
    #[test]
    fn absent_malformed_and_foreign_nonces_have_different_names() {
        let names = [
            Refusal::Malformed(Malformed::NonceMissing).name(),
            Refusal::Malformed(Malformed::NonceNotFirst { kind: 2 }).name(),
            Refusal::Malformed(Malformed::NonceLength { len: 8 }).name(),
            Refusal::NonceMismatch.name(),
        ];
        assert_eq!(
            names,
            [
                "nonce_missing",
                "nonce_missing",
                "nonce_malformed",
                "nonce_mismatch"
            ]
        );
    }

    // tsq: M5
    #[test]
    fn missing_and_invalid_signatures_have_different_names() {
        assert_eq!(Refusal::SignatureMissing.name(), "signature_missing");
        let invalid = Refusal::SignatureInvalid(SignatureRefusal::UnknownKey { id: 9 });
        assert_eq!(invalid.name(), "signature_invalid");
        assert_eq!(
            invalid.to_string(),
            "the answer's signature is not valid: no key has the id 9"
        );
    }

    #[test]
    fn display_is_one_sentence_with_the_numbers() {
        let past = Refusal::OffsetPastLimit {
            offset: Offset::from_nanos(-17_000_000_000),
            limit: Duration::from_secs(1),
        };
        assert_eq!(
            past.to_string(),
            "the offset -17.000 s is past the limit of 1.0 s"
        );
        let error = Refusal::ServerError {
            code: ErrorCode::UnsupportedElement,
            reason: Reason::new("no key"),
        };
        assert_eq!(
            error.to_string(),
            "the server reports error 2 (unsupported element): \"no key\""
        );
    }

    #[test]
    fn reason_with_terminal_escapes_is_printed_harmlessly() {
        assert_eq!(
            Reason::new("\x1b[2Jgone\n").to_string(),
            "\\u{1b}[2Jgone\\n"
        );
    }

    #[test]
    fn reason_with_quotes_is_printed_as_it_is() {
        let words = "this server's clock is \"free\"";
        assert_eq!(Reason::new(words).to_string(), words);
    }

    #[test]
    fn refusal_stays_small_enough_to_return_by_value() {
        assert!(size_of::<Refusal>() <= 128);
    }
}
