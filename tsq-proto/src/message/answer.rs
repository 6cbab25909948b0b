use super::Response;
use crate::error::Malformed;
use crate::tlv::{Element, Elements, ErrorElement, kind};

/// What a server sends back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The time.
    Response(Response<'a>),
    /// A refusal. It carries no nonce: on a stream, the stream tells which request it answers.
    Error(ErrorElement<'a>),
}

impl<'a> Answer<'a> {
    /// From a whole message. Nothing after a leading Error element is interpreted.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, in the order of the message.
    // tsq: M3 T7
    pub fn decode(message: &'a [u8]) -> Result<Self, Malformed> {
        match Elements::new(message).next() {
            Some(Ok(Element {
                kind: kind::ERROR,
                value,
            })) => ErrorElement::decode(value).map(Self::Error),
            _ => Response::decode(message).map(Self::Response),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    // tsq: M3
    #[test]
    fn leading_error_fails_the_request_whatever_follows() {
        let error = ErrorElement {
            code: ErrorCode::Malformed,
            reason: "x",
        };
        for tail in [[].as_slice(), &[1], &[255, 9], &[2, 200, 1]] {
            let mut message = [249, 3, 1, 0, b'x', 0, 0, 0];
            message[5..5 + tail.len()].copy_from_slice(tail);
            assert_eq!(
                Answer::decode(&message[..5 + tail.len()]),
                Ok(Answer::Error(error))
            );
        }
    }
}
