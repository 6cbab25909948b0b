//! Whole messages as values that were checked once: [`Request`], [`Response`], and [`Answer`] for whichever of
//! response and error a server sent.
//!
//! One rule for both directions: a type number the protocol has not given out, and an element that belongs to the
//! other direction, is skipped wherever it stands, except before the Nonce and after the Signature Block.

mod answer;
mod order;
mod request;
mod response;

pub use answer::Answer;
pub use request::Request;
pub use response::Response;

use crate::error::Malformed;
use crate::tlv::{Element, Elements, Nonce, kind};

/// The nonce every message but an error starts with.
// tsq: M11
fn leading_nonce(elements: &mut Elements<'_>) -> Result<Nonce, Malformed> {
    match elements.next().ok_or(Malformed::NonceMissing)?? {
        Element {
            kind: kind::NONCE,
            value,
        } => Nonce::decode(value),
        Element { kind, .. } => Err(Malformed::NonceNotFirst { kind }),
    }
}
