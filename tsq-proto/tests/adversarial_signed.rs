//! Signed exchanges, and everything that can be wrong with a signature or the length of a signed answer.

use std::time::Duration;

use toy_key::ToyKey;
use tsq_proto::{
    AnswerRefused, ClockClass, ClockQuality, Contents, EncodeError, ErrorCode, HostTime, Metadata,
    Nonce, Prepared, Query, Refusal, Request, Response, SignatureAlgorithm, SignatureRefusal,
    SourceType, TimeSource, Verifier, error_answer,
};

mod toy_key;

const KEY: ToyKey = ToyKey { id: 7, len: 64 };
const NONCE: Nonce = Nonce::new([7; 16]);
const T1: HostTime = HostTime::from_unix_nanos(1_795_000_000_000_000_000);
const T2: HostTime = HostTime::from_unix_nanos(1_795_000_000_000_050_000);
const T3: HostTime = HostTime::from_unix_nanos(1_795_000_000_000_052_000);
const T4: HostTime = HostTime::from_unix_nanos(1_795_000_000_000_090_000);
/// Header, fixed part and signature.
const BLOCK_LEN: usize = 9 + KEY.len;

/// The answer of a server with `KEY` and some metadata.
fn answer(request: &Request<'_>) -> Vec<u8> {
    let (mut storage, mut out) = ([0; 64], [0; 2048]);
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
        metadata: Metadata::new(&[("site", "us-east")], &mut storage).expect("64 bytes hold it"),
        follow_ups: Metadata::EMPTY,
        signer: Some(&KEY),
    };
    Prepared::answer_with(request, T2, &contents, &mut out)
        .expect("2048 bytes hold any of these answers")
        .stamp(T3)
        .to_vec()
}

fn signed_answer() -> Vec<u8> {
    answer(&Request::new(NONCE).with_signature())
}

fn finish_with(keys: &dyn Verifier, answer: &[u8]) -> Result<(), Refusal> {
    Query::new(NONCE, T1)
        .with_request_len(answer.len())
        .requiring_signature(keys)
        .finish(answer, T4, Duration::MAX)
        .map(drop)
}

fn finish(answer: &[u8]) -> Result<(), Refusal> {
    finish_with(&KEY, answer)
}

const BAD_SIGNATURE: Result<(), Refusal> =
    Err(Refusal::SignatureInvalid(SignatureRefusal::BadSignature));

/// Where the Signature Block of an answer that says only the time stands.
const BLOCK_AT: usize = Response::MIN_LEN;

// tsq: M4 M5 T10 T13
#[test]
fn signed_answer_is_accepted_and_covers_the_stamped_t3() {
    let answer = signed_answer();
    assert_eq!(answer.len(), Response::MIN_LEN + BLOCK_LEN);
    let response = Response::decode(&answer).unwrap();
    assert_eq!(response.send_timestamp(), T3.to_ntp());
    assert_eq!(response.signed_bytes(), &answer[..BLOCK_AT]);
    assert_eq!(finish(&answer), Ok(()));
}

// tsq: M4
#[test]
fn signature_covers_everything_told_and_the_padding() {
    let request = Request::new(NONCE).with_metadata_query().with_precision();
    let answer = answer(&request.with_signature().padded_to(300));
    assert_eq!(answer.len(), 300);
    assert_eq!(finish(&answer), Ok(()));
    let response = Response::decode(&answer).unwrap();
    assert_eq!(response.signed_bytes(), &answer[..300 - BLOCK_LEN]);
    assert_eq!(response.metadata().get("site"), Some("us-east"));
}

// tsq: M5
#[test]
fn unsigned_answer_is_refused_when_a_signature_was_required() {
    let unsigned = answer(&Request::new(NONCE));
    assert_eq!(finish(&unsigned), Err(Refusal::SignatureMissing));
    let accepted = Query::new(NONCE, T1).finish(&unsigned, T4, Duration::MAX);
    assert!(accepted.is_ok());
}

// tsq: M4 M5
#[test]
fn no_bit_of_a_signed_answer_can_be_changed() {
    let request = Request::new(NONCE).with_metadata_query().with_precision();
    for good in [
        signed_answer(),
        answer(&request.with_signature().padded_to(200)),
    ] {
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(finish(&bad).is_err(), "bit {bit}");
        }
    }
}

// tsq: M4 M5 E5
#[test]
fn changed_timestamp_is_refused_for_its_signature_before_it_is_looked_at() {
    let values = (20..28).chain(30..38);
    for at in values {
        let mut bad = signed_answer();
        bad[at] ^= 0x80;
        assert_eq!(finish(&bad), BAD_SIGNATURE, "byte {at}");
    }
}

// tsq: M1 M5
#[test]
fn signed_answer_cut_anywhere_is_refused() {
    let good = signed_answer();
    for len in 0..good.len() {
        assert!(finish(&good[..len]).is_err(), "{len} bytes");
    }
    let cut_before_the_block = finish(&good[..BLOCK_AT]);
    assert_eq!(cut_before_the_block, Err(Refusal::SignatureMissing));
}

// tsq: E4 M5
#[test]
fn signature_of_another_answer_is_refused() {
    let other = answer(&Request::new(Nonce::new([8; 16])).with_signature());
    assert_eq!(finish(&other), Err(Refusal::NonceMismatch));
    let spliced = [&signed_answer()[..BLOCK_AT], &other[BLOCK_AT..]].concat();
    assert_eq!(finish(&spliced), BAD_SIGNATURE);
}

// tsq: M4 T12
#[test]
fn element_slipped_in_before_the_signature_is_refused() {
    let good = signed_answer();
    for element in [[99, 0], [254, 0], [250, 0]] {
        let bad = [&good[..BLOCK_AT], &element, &good[BLOCK_AT..]].concat();
        assert_eq!(finish(&bad), BAD_SIGNATURE);
    }
}

// tsq: M11 T13
#[test]
fn signature_that_is_not_last_is_malformed() {
    for element in [[99, 0], [254, 0], [250, 0]] {
        let bad = [signed_answer().as_slice(), &element].concat();
        assert_eq!(finish(&bad).unwrap_err().name(), "malformed");
    }
}

// tsq: T13
#[test]
fn signature_length_that_lies_is_malformed() {
    let stated_at = BLOCK_AT + 2 + 5;
    for stated in [0, 63, 65, u16::MAX] {
        let mut bad = signed_answer();
        bad[stated_at..stated_at + 2].copy_from_slice(&stated.to_be_bytes());
        assert_eq!(finish(&bad).unwrap_err().name(), "malformed", "{stated}");
    }
}

// tsq: T13
#[test]
fn signature_of_another_length_is_refused() {
    for len in [0, 63, 65] {
        let block = [255, 7 + len, 2, 0, 0, 0, 7, 0, len];
        let signature = vec![9; usize::from(len)];
        let bad = [&signed_answer()[..BLOCK_AT], &block, &signature].concat();
        assert_eq!(finish(&bad), BAD_SIGNATURE, "{len} bytes");
    }
}

// tsq: T13 M5
#[test]
fn unknown_algorithm_is_refused_before_any_key_is_asked() {
    struct NeverAsked;
    impl Verifier for NeverAsked {
        fn verify(
            &self,
            _: SignatureAlgorithm,
            _: u32,
            _: &[u8],
            _: &[u8],
        ) -> Result<(), SignatureRefusal> {
            panic!("no key can know it");
        }
    }
    for number in [0, 3, 255] {
        let mut bad = signed_answer();
        bad[BLOCK_AT + 2] = number;
        let refused = SignatureRefusal::UnknownAlgorithm { number };
        assert_eq!(
            finish_with(&NeverAsked, &bad),
            Err(Refusal::SignatureInvalid(refused))
        );
    }
}

// tsq: T13 M5
#[test]
fn algorithm_other_than_the_keys_is_refused_by_both_names() {
    let mut bad = signed_answer();
    bad[BLOCK_AT + 2] = 1;
    let refused = SignatureRefusal::WrongAlgorithm {
        id: 7,
        stated: SignatureAlgorithm::Ed25519,
        expected: SignatureAlgorithm::HmacSha256,
    };
    assert_eq!(finish(&bad), Err(Refusal::SignatureInvalid(refused)));
}

// tsq: M4 M5
#[test]
fn unknown_key_is_refused_by_its_id() {
    let stranger = ToyKey { id: 8, ..KEY };
    let refused = SignatureRefusal::UnknownKey { id: 7 };
    assert_eq!(
        finish_with(&stranger, &signed_answer()),
        Err(Refusal::SignatureInvalid(refused))
    );
}

// tsq: M3 M5
#[test]
fn error_instead_of_a_signed_answer_is_the_servers_refusal() {
    let mut out = [0; 64];
    let len = error_answer(ErrorCode::UnsupportedElement, "no key", &mut out);
    assert_eq!(finish(&out[..len]).unwrap_err().name(), "server_error");
}

// tsq: M9 T10
#[test]
fn key_is_not_used_unless_a_signature_is_asked_for() {
    let plain = answer(&Request::new(NONCE));
    assert_eq!(plain.len(), Response::MIN_LEN);
    let told = answer(&Request::new(NONCE).with_metadata_query());
    assert_eq!(Response::decode(&told).unwrap().signature(), None);
}

// tsq: M6 M9
#[test]
fn precision_is_acknowledged_exactly_when_the_request_has_room_for_the_whole_answer() {
    for flags in 0..4 {
        let (signed, told) = (flags & 1 != 0, flags & 2 != 0);
        let mut request = Request::new(NONCE).with_precision();
        let mut plain_len = Response::MIN_LEN;
        if signed {
            request = request.with_signature();
            plain_len += BLOCK_LEN;
        }
        if told {
            request = request.with_metadata_query();
            plain_len += (4 + 4) + (2 + 6) + (2 + 13);
        }
        let shortest = request.encoded_len();
        let needed = plain_len + 2;
        // Up to the third Padding element, past both lengths that one and two of them can fill.
        for len in (shortest..needed + 530).filter(|&len| len != shortest + 1) {
            let answer = answer(&request.padded_to(len));
            let response = Response::decode(&answer).unwrap();
            let possible = len == needed || len >= needed + 2;
            assert_eq!(response.precision(), possible, "{len} bytes, flags {flags}");
            let expected = if possible { len } else { plain_len };
            assert_eq!(answer.len(), expected, "flags {flags}");
            assert_eq!(finish(&answer).is_ok(), signed);
        }
    }
}

// tsq: M5
#[test]
fn buffer_one_byte_short_of_the_signature_gets_nothing() {
    let request = Request::new(NONCE).with_signature();
    let contents = Contents {
        signer: Some(&KEY),
        ..Contents::default()
    };
    let needed = Response::MIN_LEN + BLOCK_LEN;
    let mut out = [0; Response::MIN_LEN + BLOCK_LEN];
    assert!(Prepared::answer_with(&request, T2, &contents, &mut out).is_ok());
    let refused = Prepared::answer_with(&request, T2, &contents, &mut out[1..]).unwrap_err();
    let have = needed - 1;
    assert_eq!(
        refused,
        AnswerRefused::Encode(EncodeError::NoRoom { needed, have })
    );
}

// tsq: T13
#[test]
fn signature_of_248_bytes_is_the_longest() {
    let request = Request::new(NONCE).with_signature();
    for len in [248, 249] {
        let key = ToyKey { id: 7, len };
        let contents = Contents {
            signer: Some(&key),
            ..Contents::default()
        };
        let mut out = [0; 400];
        let prepared = Prepared::answer_with(&request, T2, &contents, &mut out);
        match prepared {
            Ok(prepared) => {
                assert_eq!(len, 248);
                assert_eq!(finish_with(&key, prepared.stamp(T3)), Ok(()));
            }
            Err(refused) => {
                let too_long = EncodeError::ValueTooLong {
                    kind: 255,
                    len: 256,
                };
                assert_eq!((len, refused), (249, AnswerRefused::Encode(too_long)));
            }
        }
    }
}
