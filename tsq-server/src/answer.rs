//! From a request's bytes to its answer's.

use tsq_net::now;
use tsq_proto::{ErrorCode, HostTime, Prepared, Request, error_answer};

use crate::teller::Teller;

/// The longest answer: what fits the smallest datagram QUIC guarantees.
pub const MAX_ANSWER: usize = 1200;

/// Why a request gets no time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The code of the Error element, for streams (T7).
    pub code: ErrorCode,
    /// What is wrong, in words.
    pub reason: String,
}

/// Answers `request`, which arrived at `t2`, in at most `out.len()` bytes; T3 is stamped as the last thing (but for a
/// signature over it).
///
/// # Errors
/// The request is malformed, or asks for what this server does not have. Nothing is to be sent in
/// datagram mode; on a stream, [`error`] (M2).
pub fn answer<'b>(
    request: &[u8],
    t2: HostTime,
    teller: &'b Teller,
    out: &'b mut [u8],
) -> Result<&'b [u8], Refused> {
    // tsq: M2
    let request = Request::decode(request).map_err(|malformed| Refused {
        code: ErrorCode::Malformed,
        reason: malformed.to_string(),
    })?;
    if !teller.may_answer(&request) {
        return Err(Refused {
            code: ErrorCode::UnsupportedElement,
            reason: "this server's clock is not synchronised; ask for metadata to be told so"
                .into(),
        });
    }
    // tsq: M8 M9
    let prepared = if request.asks_metadata() || request.asks_signature() {
        Prepared::answer_with(&request, t2, &teller.contents(t2), out)
    } else {
        Prepared::answer(&request, t2, out)
    };
    let prepared = prepared.map_err(|refused| Refused {
        code: refused.error_code().unwrap_or(ErrorCode::Malformed),
        reason: refused.to_string(),
    })?;
    // tsq: E1
    Ok(prepared.stamp(now()))
}

/// The Error element that tells a stream client why (T7).
pub fn error<'b>(refused: &Refused, out: &'b mut [u8; MAX_ANSWER]) -> &'b [u8] {
    let length = error_answer(refused.code, &refused.reason, out);
    &out[..length]
}
