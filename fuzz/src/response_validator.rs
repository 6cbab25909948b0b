//! A client accepts no answer to somebody else's request, and no unsigned one where it wants a signature.
//!
//! An input is a [`Case`], then the answer. A valid signature cannot be guessed: the case says whether to add one, and
//! what to change afterwards.

use std::time::Duration;

use tsq_proto::{HostTime, Nonce, Query, Refusal, Sample};

use crate::elements::elements;
use crate::input::Input;
use crate::keys::{Key, ed25519, hmac_sha256};

/// The circumstances under which an answer is judged.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Whether to use HMAC and not Ed25519.
    pub hmac: bool,
    /// Whether to sign what follows, if it is a whole sequence of elements: else they would swallow the signature.
    pub sign: bool,
    /// Which byte to change, counted round and round.
    pub at: u16,
    /// What to change of it; 0: nothing.
    pub change: u8,
    /// T1, nanoseconds since 1970.
    pub t1: i64,
    /// T4 - T1, in nanoseconds.
    pub elapsed: i64,
    /// The largest offset allowed, in nanoseconds.
    pub limit: u64,
}

impl Case {
    fn read(input: &mut Input<'_>) -> Self {
        Self {
            hmac: input.flag(),
            sign: input.flag(),
            at: input.number(),
            change: input.byte(),
            t1: i64::from_be_bytes(input.array()),
            elapsed: i64::from_be_bytes(input.array()),
            limit: u64::from_be_bytes(input.array()),
        }
    }

    /// As an input begins with it.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![self.hmac.into(), self.sign.into()];
        bytes.extend_from_slice(&self.at.to_be_bytes());
        bytes.push(self.change);
        bytes.extend_from_slice(&self.t1.to_be_bytes());
        bytes.extend_from_slice(&self.elapsed.to_be_bytes());
        bytes.extend_from_slice(&self.limit.to_be_bytes());
        bytes
    }

    fn key(&self) -> &'static Key {
        if self.hmac { hmac_sha256() } else { ed25519() }
    }

    fn t1(&self) -> HostTime {
        HostTime::from_unix_nanos(self.t1)
    }

    fn t4(&self) -> HostTime {
        HostTime::from_unix_nanos(self.t1.saturating_add(self.elapsed))
    }

    fn answer(&self, message: &[u8]) -> Vec<u8> {
        let mut answer = message.to_vec();
        if self.sign {
            append_signature(self.key(), &mut answer);
        }
        if !answer.is_empty() {
            let at = usize::from(self.at) % answer.len();
            answer[at] ^= self.change;
        }
        answer
    }
}

/// Judges the answer.
///
/// # Panics
///
/// When the property does not hold.
pub fn check(input: &[u8]) {
    let mut input = Input::new(input);
    let mut case = Case::read(&mut input);
    case.sign &= is_whole(input.rest());
    let answer = case.answer(input.rest());
    let accepted = judge(&case, OWN, &answer);
    let foreign = judge(&case, FOREIGN, &answer);
    assert!(accepted.is_err() || foreign == Err(Refusal::NonceMismatch));
    signature_is_required(&case, &answer, accepted);
    precision_keeps_its_length(&case, &answer, accepted);
}

/// The nonce of every query here: the vectors' own.
pub const OWN: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// One bit of it is another.
const FOREIGN: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 14];

// tsq: E2 E4 E5 T1
fn judge(case: &Case, nonce: [u8; 16], answer: &[u8]) -> Result<Sample, Refusal> {
    let limit = Duration::from_nanos(case.limit);
    let query = Query::new(Nonce::new(nonce), case.t1()).with_request_len(answer.len());
    let result = query.finish(answer, case.t4(), limit);
    if let Ok(sample) = result {
        let has_nonce = elements(answer).first() == Some(&(1, &nonce[..]));
        assert!(has_nonce, "the nonce is not the one sent");
        sample_is_sound(case, &sample, limit);
    }
    result
}

fn sample_is_sound(case: &Case, sample: &Sample, limit: Duration) {
    assert_eq!((sample.t1, sample.t4), (case.t1(), case.t4()));
    let [n1, n2, n3, n4] =
        [sample.t1, sample.t2, sample.t3, sample.t4].map(|time| i128::from(time.as_unix_nanos()));
    assert!(n1 <= n4 && n2 <= n3);
    assert_eq!(
        i128::try_from(sample.delay.as_nanos()),
        Ok((n4 - n1) - (n3 - n2))
    );
    assert!(sample.delay > Duration::ZERO);
    assert_eq!(
        i128::from(sample.offset.as_nanos()),
        ((n2 - n1) + (n3 - n4)) / 2
    );
    assert!(sample.offset.abs() <= limit);
}

// tsq: M6 T8
fn precision_keeps_its_length(case: &Case, answer: &[u8], accepted: Result<Sample, Refusal>) {
    let acknowledged = elements(answer).iter().any(|(kind, _)| *kind == 250);
    let limit = Duration::from_nanos(case.limit);
    for request_len in [answer.len(), answer.len() + 1] {
        let query = Query::new(Nonce::new(OWN), case.t1()).with_request_len(request_len);
        let precise = query.finish(answer, case.t4(), limit);
        if acknowledged && request_len != answer.len() {
            assert!(precise.is_err(), "precise, and of another length");
        } else {
            assert_eq!(precise, accepted);
        }
    }
}

// tsq: M4 M5
fn signature_is_required(case: &Case, answer: &[u8], accepted: Result<Sample, Refusal>) {
    let query = Query::new(Nonce::new(OWN), case.t1()).with_request_len(answer.len());
    let limit = Duration::from_nanos(case.limit);
    let signed = query
        .requiring_signature(&case.key().verify)
        .finish(answer, case.t4(), limit);
    if signed.is_ok() {
        assert_eq!(signed, accepted);
        assert!(
            is_signed(case.key(), answer),
            "accepted without a valid signature"
        );
    }
    if case.sign {
        if case.change == 0 {
            assert_eq!(signed, accepted, "a valid signature changes nothing");
        } else {
            assert!(signed.is_err(), "a signed byte was changed unseen");
        }
    }
}

fn is_whole(message: &[u8]) -> bool {
    let lens = elements(message)
        .into_iter()
        .map(|(_, value)| 2 + value.len());
    lens.sum::<usize>() == message.len()
}

/// Whether the last element signs all before it.
fn is_signed(key: &Key, answer: &[u8]) -> bool {
    let Some(&(255, block)) = elements(answer).last() else {
        return false;
    };
    key.signed(&answer[..answer.len() - block.len() - 2], block)
}

fn append_signature(key: &Key, message: &mut Vec<u8>) {
    let signer = key
        .signing
        .active(HostTime::from_unix_nanos(0))
        .expect("the key was always valid");
    let signer: &dyn tsq_proto::Signer = signer;
    let len = signer.signature_len();
    let mut signature = vec![0; len];
    signer.sign(message, &mut signature);
    let value_len = u8::try_from(7 + len).expect("a signature fits its element");
    message.extend_from_slice(&[255, value_len, signer.algorithm().as_u8()]);
    message.extend_from_slice(&signer.key_id().to_be_bytes());
    message.extend_from_slice(&[0, value_len - 7]);
    message.extend_from_slice(&signature);
}
