//! One exchange, as a client sees it.

use std::time::Duration;

use crate::options::Ask;
use crate::time::from_ntp;
use crate::tlv::{self, Tlv, pad, parse, put};
use crate::{Key, random, unix_ns};

/// A request that waits for its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    nonce: [u8; 16],
    request: Vec<u8>,
    sent_ns: i64,
    ask: Ask,
}

/// What one exchange tells.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// How far the server's clock is ahead of ours, in nanoseconds.
    pub offset_ns: i64,
    /// Round trip less the server's own time, in nanoseconds.
    pub rtt_ns: i64,
}

impl Exchange {
    /// Makes a request; T1 is now, so send it at once.
    ///
    /// # Panics
    /// As [`random`].
    // tsq: T1 M11
    #[must_use]
    pub fn begin(ask: &Ask) -> Self {
        let mut nonce = [0; 16];
        random(&mut nonce);
        Self {
            nonce,
            request: request(ask, &nonce),
            sent_ns: unix_ns(),
            ask: ask.clone(),
        }
    }

    /// The bytes to send.
    #[must_use]
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Whether a message answers this request: tells datagrams apart.
    #[must_use]
    pub fn is_answered_by(&self, message: &[u8]) -> bool {
        message.get(2..18) == Some(&self.nonce)
    }

    /// The sample, or what is wrong with the answer. `received_ns` is T4.
    ///
    /// # Errors
    /// When the answer is not what the draft wants for this request, in words.
    // tsq: E2 E4 M9
    pub fn finish(&self, answer: &[u8], received_ns: i64) -> Result<Sample, String> {
        let tlvs = parse(answer)?;
        if let Some(error) = tlvs.iter().find(|tlv| tlv.kind == tlv::ERROR) {
            return Err(format!("Error {:?}", error.value));
        }
        let kinds: Vec<u8> = tlvs.iter().map(|tlv| tlv.kind).collect();
        if !kinds.starts_with(&[tlv::NONCE, tlv::RECEIVE_TIME, tlv::SEND_TIME]) {
            return Err(format!("an answer of elements {kinds:?}"));
        }
        if tlvs[0].value != self.nonce {
            return Err("another nonce".into());
        }
        self.check_rest(answer, &tlvs[3..])?;
        let t2 = timestamp(tlvs[1], self.sent_ns)?;
        let t3 = timestamp(tlvs[2], self.sent_ns)?;
        if t3 < t2 {
            return Err("T3 before T2".into());
        }
        Ok(Sample {
            offset_ns: ((t2 - self.sent_ns) + (t3 - received_ns)) / 2,
            rtt_ns: (received_ns - self.sent_ns) - (t3 - t2),
        })
    }

    /// What follows the timestamps: all that was asked for and nothing else.
    // tsq: M9 M11 M6 T12
    fn check_rest(&self, answer: &[u8], rest: &[Tlv<'_>]) -> Result<(), String> {
        let ask = &self.ask;
        for tlv in rest {
            let wanted = match tlv.kind {
                tlv::CLOCK_QUALITY | tlv::TIME_SOURCE | tlv::METADATA => ask.metadata,
                tlv::PRECISION => ask.precision && tlv.value.is_empty(),
                tlv::PADDING => ask.precision && tlv.value.iter().all(|byte| *byte == 0),
                tlv::SIGNATURE => ask.verify_key.is_some(),
                _ => false,
            };
            if !wanted {
                return Err(format!("element {} was not asked for", tlv.kind));
            }
        }
        let has = |kind| rest.iter().any(|tlv| tlv.kind == kind);
        if ask.metadata && !(has(tlv::TIME_SOURCE) && has(tlv::METADATA)) {
            return Err("no Time Source or Metadata, which were asked for".into());
        }
        if ask.precision && !has(tlv::PRECISION) {
            return Err("Precision Mode is not acknowledged".into());
        }
        if ask.precision && answer.len() != self.request.len() {
            let (asked, got) = (self.request.len(), answer.len());
            return Err(format!("{got} bytes for {asked} in Precision Mode"));
        }
        ask.verify_key
            .as_ref()
            .map_or(Ok(()), |key| signed(key, answer, rest))
    }
}

// tsq: M4 M5
fn signed(key: &Key, answer: &[u8], rest: &[Tlv<'_>]) -> Result<(), String> {
    match rest.last() {
        Some(last) if last.kind == tlv::SIGNATURE => key.check(&answer[..last.start], last.value),
        _ => Err("no Signature Block at the end".into()),
    }
}

fn timestamp(tlv: Tlv<'_>, pivot_ns: i64) -> Result<i64, String> {
    let bytes = tlv
        .value
        .try_into()
        .map_err(|_| "a timestamp is not 8 bytes long")?;
    Ok(from_ntp(u64::from_be_bytes(bytes), pivot_ns))
}

fn request(ask: &Ask, nonce: &[u8; 16]) -> Vec<u8> {
    let mut message = Vec::new();
    put(&mut message, tlv::NONCE, nonce);
    if ask.unknown {
        // tsq: M1 T4
        for kind in tlv::UNKNOWN {
            put(&mut message, kind, b"?");
        }
    }
    if ask.metadata {
        put(&mut message, tlv::METADATA_QUERY, &[]);
    }
    if ask.precision {
        put(&mut message, tlv::PRECISION, &[]);
    }
    if ask.verify_key.is_some() {
        put(&mut message, tlv::SIGNATURE_REQUEST, &[]);
    }
    if ask.precision {
        let room = pad(&mut message, PRECISE_LENGTH);
        debug_assert!(room, "the longest request is far shorter");
    }
    message
}

/// A request no stack may answer but with an Error: its Nonce is cut off.
// tsq: M2
#[must_use]
pub fn malformed() -> &'static [u8] {
    &[tlv::NONCE, 16, 0, 0, 0]
}

/// The code, where a message is an Error and nothing else.
// tsq: T7 M3
#[must_use]
pub fn error_code(message: &[u8]) -> Option<u8> {
    match parse(message).ok()?.as_slice() {
        [only] if only.kind == tlv::ERROR && only.value.get(1) == Some(&0) => Some(only.value[0]),
        _ => None,
    }
}

/// Room for an answer with a signature, and for our server's metadata.
const PRECISE_LENGTH: usize = 900;

/// A datagram that is not answered for this long is taken for lost, and asked anew.
pub const RESEND: Duration = Duration::from_millis(100);
