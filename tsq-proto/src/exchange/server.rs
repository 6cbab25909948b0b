use core::fmt;
use core::ops::Range;

use crate::error::{EncodeError, ErrorCode};
use crate::message::{Request, Response};
use crate::signing::Signer;
use crate::text::cut;
use crate::time::HostTime;
use crate::tlv::{
    ClockQuality, ErrorElement, HEADER_LEN, Metadata, SignatureBlock, TimeSource, Writer, kind,
};

/// What a server can tell beyond the time. Of this, a request gets what it asks for and nothing else.
// tsq: M8 M9
#[derive(Clone, Copy, Debug, Default)]
pub struct Contents<'a> {
    /// Where the time comes from; asked for by a Metadata Query.
    pub time_source: Option<TimeSource<'a>>,
    /// How good the clock is; asked for by a Metadata Query.
    pub clock_quality: Option<ClockQuality<'a>>,
    /// Everything else (see [`Profile`](crate::profile::Profile)); asked for by a Metadata Query.
    pub metadata: Metadata<'a>,
    /// When earlier answers left (see [`FollowUp`](crate::FollowUp)); asked for by a Metadata Query and their key.
    pub follow_ups: Metadata<'a>,
    /// The key to sign with; asked for by a Signature Request.
    pub signer: Option<&'a dyn Signer>,
}

/// An answer that lacks only its send timestamp and its signature over it, so that T3 can be taken at the very last
/// moment.
///
/// Everything in it comes from the request, the clock and the keys; no state per client is needed.
// tsq: M8
#[derive(Debug)]
pub struct Prepared<'b> {
    message: &'b mut [u8],
    t2: HostTime,
    signature: Option<PendingSignature<'b>>,
}

impl<'b> Prepared<'b> {
    /// Writes the answer to a request that came at `t2` into `out`, by a server that tells nothing but the time: see
    /// [`answer_with`](Self::answer_with).
    ///
    /// # Errors
    ///
    /// [`AnswerRefused::NoSignatureKey`] when a signature is asked for; [`AnswerRefused::Encode`] when `out` is too
    /// small.
    // tsq: M5 M6 M9
    pub fn answer(
        request: &Request<'_>,
        t2: HostTime,
        out: &'b mut [u8],
    ) -> Result<Self, AnswerRefused> {
        Self::answer_with(request, t2, &Contents::default(), out)
    }

    /// Writes the answer to a request that came at `t2` into `out`.
    ///
    /// The answer has [`Response::MIN_LEN`] bytes and what of `contents` the request asks for: time source, clock
    /// quality and metadata for a Metadata Query, a Signature Block for a Signature Request. When the request asks
    /// for precision mode and is long enough for all this, and `out` has room for as much as the request, it is
    /// acknowledged and the answer, its Signature Block included, is padded to the request's length.
    ///
    /// # Errors
    ///
    /// [`AnswerRefused::NoSignatureKey`] when a signature is asked for and `contents` has no signer;
    /// [`AnswerRefused::Encode`] when `out` is too small, or a text or the signature does not fit its element.
    // tsq: M5 M6 M9 T5 T10
    pub fn answer_with(
        request: &Request<'_>,
        t2: HostTime,
        contents: &Contents<'b>,
        out: &'b mut [u8],
    ) -> Result<Self, AnswerRefused> {
        let signer = asked_signer(request, contents)?;
        // T3 is not known yet; T2 in its place is never less than T2, even if it should get out.
        let t2_wire = t2.to_ntp();
        let mut response = Response::new(request.nonce(), t2_wire, t2_wire);
        if request.asks_metadata() {
            response = telling(response, contents);
        }
        if request.asks_follow_up() {
            response = response.with_follow_ups(contents.follow_ups);
        }
        let block = signer
            .map(unsigned_block)
            .transpose()
            .map_err(AnswerRefused::Encode)?;
        let block_len = block.map_or(0, |block| block.encoded_len());
        if let Some(len) = precision_len(&response, request, block_len, out.len()) {
            response = response.with_precision().padded_to(len);
        }
        if let Some(block) = block {
            response = response.with_signature(block);
        }
        let len = response.encode(out).map_err(AnswerRefused::Encode)?;
        Ok(Self {
            message: &mut out[..len],
            t2,
            signature: signer.map(|signer| PendingSignature {
                signer,
                signed_len: len - block_len,
            }),
        })
    }

    /// Fills in the send timestamp, signs if that was asked for, and returns the message. A clock that ran backwards
    /// since T2 shows as T3 = T2: T3 < T2 never leaves the server.
    // tsq: T3 E4 M4
    #[must_use]
    pub fn stamp(self, t3: HostTime) -> &'b [u8] {
        self.message[SEND_TIMESTAMP_VALUE].copy_from_slice(&t3.max(self.t2).to_ntp().to_be_bytes());
        if let Some(PendingSignature { signer, signed_len }) = self.signature {
            let (signed, block) = self.message.split_at_mut(signed_len);
            signer.sign(signed, &mut block[SignatureBlock::SIGNATURE_AT..]);
        }
        self.message
    }

    /// Length of the message in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an answer is never empty")]
    pub const fn len(&self) -> usize {
        self.message.len()
    }
}

/// What is left to do for a signature once T3 is known.
#[derive(Debug)]
struct PendingSignature<'b> {
    signer: &'b dyn Signer,
    /// Bytes before the Signature Block.
    signed_len: usize,
}

/// Where T3 stands: at the end of the mandatory elements, whatever follows.
const SEND_TIMESTAMP_VALUE: Range<usize> = Response::MIN_LEN - 8..Response::MIN_LEN;

// tsq: M5
fn asked_signer<'a>(
    request: &Request<'_>,
    contents: &Contents<'a>,
) -> Result<Option<&'a dyn Signer>, AnswerRefused> {
    match contents.signer {
        None if request.asks_signature() => Err(AnswerRefused::NoSignatureKey),
        signer => Ok(signer.filter(|_| request.asks_signature())),
    }
}

/// The response with all that a Metadata Query asks for.
// tsq: T5 T6 T9 T11
fn telling<'a>(mut response: Response<'a>, contents: &Contents<'a>) -> Response<'a> {
    if let Some(time_source) = contents.time_source {
        response = response.with_time_source(time_source);
    }
    if let Some(clock_quality) = contents.clock_quality {
        response = response.with_clock_quality(clock_quality);
    }
    response.with_metadata(contents.metadata)
}

/// A Signature Block that keeps the place of the signature to come.
fn unsigned_block(signer: &dyn Signer) -> Result<SignatureBlock<'static>, EncodeError> {
    const PLACE: &[u8] = &[0; SignatureBlock::MAX_SIGNATURE_LEN];
    let len = signer.signature_len();
    let signature = PLACE.get(..len).ok_or(EncodeError::ValueTooLong {
        kind: kind::SIGNATURE_BLOCK,
        len: SignatureBlock::SIGNATURE_AT - HEADER_LEN + len,
    })?;
    Ok(SignatureBlock {
        algorithm: signer.algorithm(),
        key_id: signer.key_id(),
        signature,
    })
}

/// The length to which the response is padded when it acknowledges precision mode, `block_len` bytes of Signature
/// Block still to come. None unless the request asks for it and equal length can be had: it must be within `room`,
/// and padding takes no byte or at least two.
// tsq: M6 M9
fn precision_len(
    response: &Response<'_>,
    request: &Request<'_>,
    block_len: usize,
    room: usize,
) -> Option<usize> {
    let len = request.encoded_len();
    if !request.asks_precision() || len > room {
        return None;
    }
    let wanted = len.checked_sub(block_len)?;
    let acknowledging = response.with_precision().encoded_len();
    matches!(wanted.checked_sub(acknowledging)?, 0 | 2..).then_some(wanted)
}

/// Writes a lone Error element and returns its length; a reason too long for the element or for `out` is cut off
/// at a character boundary. Returns 0 when `out` has fewer than 4 bytes.
// tsq: T7 M2
pub fn error_answer(code: ErrorCode, reason: &str, out: &mut [u8]) -> usize {
    let Some(room) = out.len().checked_sub(HEADER_LEN + 2) else {
        return 0;
    };
    let reason = cut(reason, room.min(ErrorElement::MAX_REASON_LEN));
    let mut writer = Writer::new(out);
    ErrorElement { code, reason }
        .encode(&mut writer)
        .expect("the reason was cut to fit");
    writer.len()
}

/// Why a well-formed request gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerRefused {
    /// It asks for a signature and there is no key: it must not be answered unsigned.
    // tsq: M5
    NoSignatureKey,
    /// The answer could not be written. Our fault, not the request's.
    Encode(EncodeError),
}

impl AnswerRefused {
    /// What to tell the client on a stream; nothing when the fault is ours.
    #[must_use]
    pub const fn error_code(&self) -> Option<ErrorCode> {
        match self {
            Self::NoSignatureKey => Some(ErrorCode::UnsupportedElement),
            Self::Encode(_) => None,
        }
    }
}

impl fmt::Display for AnswerRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSignatureKey => write!(
                f,
                "a signature is asked for, but there is no key to sign with"
            ),
            Self::Encode(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for AnswerRefused {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow_up::FollowUp;
    use crate::message::Answer;
    use crate::tlv::{ClockClass, Nonce, SourceType};

    const NONCE: Nonce = Nonce::new([7; 16]);
    const T2: HostTime = HostTime::from_unix_nanos(1_795_000_000_000_000_000);
    const T3: HostTime = HostTime::from_unix_nanos(1_795_000_000_000_002_000);

    fn answer<'b>(request: &Request<'_>, out: &'b mut [u8]) -> Response<'b> {
        let message = Prepared::answer(request, T2, out).unwrap().stamp(T3);
        Response::decode(message).unwrap()
    }

    // tsq: M9 F3
    // tsq: E1
    #[test]
    fn plain_request_gets_the_mandatory_38_bytes() {
        let mut out = [0; 64];
        let response = answer(&Request::new(NONCE).with_metadata_query(), &mut out);
        assert_eq!(response, Response::new(NONCE, T2.to_ntp(), T3.to_ntp()));
        assert_eq!(response.encoded_len(), Response::MIN_LEN);
    }

    // tsq: M6 M9
    #[test]
    fn precision_answer_is_as_long_as_its_request() {
        for len in [40, 42, 43, 300, 1200] {
            let request = Request::new(NONCE).with_precision().padded_to(len);
            let mut out = [0; 1200];
            let response = answer(&request, &mut out);
            assert!(response.precision());
            assert_eq!(response.encoded_len(), len);
        }
    }

    // tsq: M6 M9
    #[test]
    fn precision_is_not_acknowledged_when_equal_length_cannot_be_had() {
        for len in [20, 22, 38, 39, 41] {
            let request = Request::new(NONCE).with_precision().padded_to(len);
            let mut out = [0; 64];
            let response = answer(&request, &mut out);
            assert!(!response.precision());
            assert_eq!(response.encoded_len(), Response::MIN_LEN);
        }
    }

    // tsq: M9 T5
    #[test]
    fn everything_told_needs_a_metadata_query() {
        let mut storage = [0; 32];
        let contents = Contents {
            time_source: Some(TimeSource {
                stratum: 1,
                source: SourceType::Gps,
                info: "roof",
            }),
            clock_quality: Some(ClockQuality {
                class: ClockClass::Gnss,
                error_us: 1,
                drift_ppb: 2,
                tag: "",
            }),
            metadata: Metadata::new(&[("site", "us-east")], &mut storage).unwrap(),
            ..Contents::default()
        };
        let len_of = |request: Request<'_>| {
            let mut out = [0; 128];
            let prepared = Prepared::answer_with(&request, T2, &contents, &mut out).unwrap();
            let response = Response::decode(prepared.stamp(T3)).unwrap();
            let told = (response.time_source(), response.clock_quality());
            let asked = request.asks_metadata();
            assert_eq!(told.0, contents.time_source.filter(|_| asked));
            assert_eq!(told.1, contents.clock_quality.filter(|_| asked));
            assert_eq!(response.metadata().is_empty(), !asked);
            response.encoded_len()
        };
        assert_eq!(len_of(Request::new(NONCE)), Response::MIN_LEN);
        let told_len = (4 + 4) + (2 + 6) + contents.metadata.encoded_len();
        assert_eq!(
            len_of(Request::new(NONCE).with_metadata_query()),
            Response::MIN_LEN + told_len
        );
    }

    // tsq: M9 M10
    #[test]
    fn follow_ups_need_to_be_asked_for_and_stand_behind_the_metadata() {
        let (mut storage, mut room) = ([0; 32], [0; FollowUp::MAX_LEN]);
        let told = [FollowUp {
            nonce: Nonce::new([8; 16]),
            departure: T3.to_ntp(),
        }];
        let contents = Contents {
            metadata: Metadata::new(&[("site", "us-east")], &mut storage).unwrap(),
            follow_ups: FollowUp::to_metadata(&told, &mut room).unwrap(),
            ..Contents::default()
        };
        for (request, expected) in [
            (Request::new(NONCE).with_follow_up(), &told[..]),
            (Request::new(NONCE).with_metadata_query(), &[]),
            (Request::new(NONCE), &[]),
        ] {
            let mut out = [0; 200];
            let prepared = Prepared::answer_with(&request, T2, &contents, &mut out).unwrap();
            let response = Response::decode(prepared.stamp(T3)).unwrap();
            assert!(FollowUp::all(&response.metadata()).eq(expected.iter().copied()));
        }
    }

    // tsq: M5
    #[test]
    fn request_for_a_signature_is_refused_without_a_key() {
        let mut out = [0; 64];
        let refused =
            Prepared::answer(&Request::new(NONCE).with_signature(), T2, &mut out).unwrap_err();
        assert_eq!(refused, AnswerRefused::NoSignatureKey);
        assert_eq!(refused.error_code().map(ErrorCode::as_u8), Some(2));
    }

    // tsq: E4 T3
    #[test]
    fn clock_that_ran_backwards_shows_as_t3_equal_to_t2() {
        let mut out = [0; 64];
        let earlier = HostTime::from_unix_nanos(T2.as_unix_nanos() - 1);
        let message = Prepared::answer(&Request::new(NONCE), T2, &mut out)
            .unwrap()
            .stamp(earlier);
        let response = Response::decode(message).unwrap();
        assert_eq!(response.send_timestamp(), response.receive_timestamp());
    }

    // tsq: M6
    #[test]
    fn precision_is_acknowledged_up_to_the_room_there_is() {
        for (len, answered) in [(100, 100), (101, Response::MIN_LEN)] {
            let request = Request::new(NONCE).with_precision().padded_to(len);
            let mut out = [0; 100];
            let message = Prepared::answer(&request, T2, &mut out).unwrap();
            assert_eq!(message.len(), answered, "a request of {len} bytes");
        }
    }

    #[test]
    fn buffer_too_small_for_the_answer_is_our_fault() {
        let mut out = [0; 37];
        let refused = Prepared::answer(&Request::new(NONCE), T2, &mut out).unwrap_err();
        assert_eq!(
            refused,
            AnswerRefused::Encode(EncodeError::NoRoom {
                needed: 38,
                have: 37
            })
        );
        assert_eq!(refused.error_code(), None);
    }

    // tsq: T7
    #[test]
    fn error_reason_is_cut_at_253_bytes_between_characters() {
        let long = "\u{e9}".repeat(200);
        let mut out = [0; 300];
        let len = error_answer(ErrorCode::Malformed, &long, &mut out);
        assert_eq!(len, 4 + 252);
        let Ok(Answer::Error(error)) = Answer::decode(&out[..len]) else {
            panic!("not an error element")
        };
        assert_eq!(
            (error.code, error.reason),
            (ErrorCode::Malformed, &long[..252])
        );
    }

    // tsq: T7
    #[test]
    fn error_answer_fits_whatever_room_there_is() {
        for room in 0..=20 {
            let mut out = [0; 20];
            let len = error_answer(ErrorCode::Malformed, "not a request", &mut out[..room]);
            assert_eq!(len, if room < 4 { 0 } else { room.min(17) });
        }
    }
}
