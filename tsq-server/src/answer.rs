//! From a request's bytes to its answer's.

use tsq_proto::{
    AnswerRefused, ErrorCode, FollowUp, HostTime, Nonce, Prepared, Request, error_answer,
};

use crate::teller::Teller;
use crate::wall_clock::WallClock;

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

/// An answer, ready to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered<'b> {
    /// Its bytes.
    pub bytes: &'b [u8],
    /// Its nonce, if the client wants to be told later when it left.
    pub follow_up: Option<Nonce>,
}

/// Follow-ups to tell, and how many of them.
pub type Earlier = ([FollowUp; FollowUp::MAX_TOLD], usize);

/// Answers `request`, which arrived at `t2`, in at most `out.len()` bytes; T3 is read off `clock` as the last thing (but for a
/// signature over it). `earlier` is called if the client asks when earlier answers left.
///
/// # Errors
/// The request is malformed, or asks for what this server does not have. Nothing is to be sent in
/// datagram mode; on a stream, [`error`] (M2).
pub fn answer<'b>(
    request: &[u8],
    t2: HostTime,
    teller: &Teller,
    earlier: impl FnOnce() -> Earlier,
    clock: &impl WallClock,
    out: &'b mut [u8],
) -> Result<Answered<'b>, Refused> {
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
    let follow_up = request.asks_follow_up().then(|| request.nonce());
    let mut room = [0; FollowUp::MAX_LEN];
    // tsq: M8 M9
    let prepared = if request.asks_metadata() || request.asks_signature() {
        let mut contents = teller.contents(t2);
        if follow_up.is_some() {
            let (told, count) = earlier();
            contents.follow_ups =
                FollowUp::to_metadata(&told[..count], &mut room).unwrap_or_default();
        }
        Prepared::answer_with(&request, t2, &contents, out)
    } else {
        Prepared::answer(&request, t2, out)
    };
    // tsq: E1
    let len = prepared.map_err(refused)?.stamp(clock.read()).len();
    Ok(Answered {
        bytes: &out[..len],
        follow_up,
    })
}

fn refused(refused: AnswerRefused) -> Refused {
    Refused {
        code: refused.error_code().unwrap_or(ErrorCode::Malformed),
        reason: refused.to_string(),
    }
}

/// The Error element that tells a stream client why (T7).
pub fn error<'b>(refused: &Refused, out: &'b mut [u8; MAX_ANSWER]) -> &'b [u8] {
    let length = error_answer(refused.code, &refused.reason, out);
    &out[..length]
}
