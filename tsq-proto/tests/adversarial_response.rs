//! Hostile answers, one case per rule. A client decodes these before it believes anything in them.

use std::time::Duration;

use tsq_proto::tlv::Writer;
use tsq_proto::{
    Answer, EncodeError, ErrorCode, ErrorElement, HostTime, Malformed, Metadata, Nonce,
    NtpTimestamp, Query, Refusal, Response, SignatureAlgorithm,
};

const NONCE: [u8; 18] = [1, 16, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7];
const T2: [u8; 10] = [2, 8, 0, 0, 0, 0, 0, 0, 0, 5];
const T3: [u8; 10] = [3, 8, 0, 0, 0, 0, 0, 0, 0, 6];

/// A response of the mandatory elements and then `tail`.
fn message(tail: &[u8]) -> Vec<u8> {
    [&NONCE, T2.as_slice(), &T3, tail].concat()
}

fn refusal(bytes: &[u8]) -> Malformed {
    Answer::decode(bytes).expect_err("must be refused")
}

fn refusal_of_tail(tail: &[u8]) -> Malformed {
    refusal(&message(tail))
}

fn finish(answer: &[u8]) -> Result<(), Refusal> {
    let query = Query::new(Nonce::new([7; 16]), HostTime::from_unix(1_795_000_000, 0));
    query
        .finish(answer, HostTime::from_unix(1_795_000_001, 0), Duration::MAX)
        .map(drop)
}

// tsq: E4
#[test]
fn answer_without_a_nonce_is_refused_by_that_name() {
    for bytes in [[].as_slice(), &T2, &[T2, T3].concat()] {
        assert_eq!(finish(bytes).unwrap_err().name(), "nonce_missing");
    }
}

// tsq: E4 T1
#[test]
fn answer_with_a_nonce_of_another_length_is_refused_by_that_name() {
    for len in [0, 2, 15, 17] {
        let nonce = [&[1, len], [7; 17][..usize::from(len)].as_ref()].concat();
        let bytes = [nonce.as_slice(), &T2, &T3].concat();
        assert_eq!(finish(&bytes).unwrap_err().name(), "nonce_malformed");
    }
}

// tsq: E4
#[test]
fn answer_with_one_bit_of_the_nonce_flipped_is_refused() {
    for bit in 0..128 {
        let mut bytes = message(&[]);
        bytes[2 + bit / 8] ^= 1 << (bit % 8);
        assert_eq!(finish(&bytes), Err(Refusal::NonceMismatch));
    }
}

// tsq: M11
#[test]
fn answer_without_a_mandatory_element_is_malformed() {
    assert_eq!(refusal(&NONCE), Malformed::MissingElement { kind: 2 });
    assert_eq!(
        refusal(&[&NONCE, T2.as_slice()].concat()),
        Malformed::MissingElement { kind: 3 }
    );
}

// tsq: M11
#[test]
fn mandatory_elements_out_of_order_are_malformed() {
    let swapped = [&NONCE, T3.as_slice(), &T2].concat();
    assert_eq!(
        refusal(&swapped),
        Malformed::OutOfOrder { kind: 3, after: 1 }
    );
    let option_first = [&NONCE, [250, 0].as_slice(), &T2, &T3].concat();
    assert_eq!(
        refusal(&option_first),
        Malformed::OutOfOrder {
            kind: 250,
            after: 1
        }
    );
    let option_between = [&NONCE, T2.as_slice(), &[254, 0], &T3].concat();
    assert_eq!(
        refusal(&option_between),
        Malformed::OutOfOrder {
            kind: 254,
            after: 2
        }
    );
}

// tsq: M1 T1
#[test]
fn mandatory_element_a_second_time_is_a_duplicate() {
    assert_eq!(
        refusal_of_tail(&NONCE),
        Malformed::DuplicateElement { kind: 1 }
    );
    assert_eq!(
        refusal_of_tail(&T2),
        Malformed::DuplicateElement { kind: 2 }
    );
    assert_eq!(
        refusal_of_tail(&T3),
        Malformed::DuplicateElement { kind: 3 }
    );
}

// tsq: T2 T3
#[test]
fn timestamp_of_another_length_is_malformed() {
    let short = [&NONCE, [2, 4, 0, 0, 0, 0].as_slice(), &T3].concat();
    assert_eq!(
        refusal(&short),
        Malformed::ElementLength {
            kind: 2,
            len: 4,
            expected: 8
        }
    );
    let long = [&NONCE, T2.as_slice(), &[3, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(
        refusal(&long),
        Malformed::ElementLength {
            kind: 3,
            len: 9,
            expected: 8
        }
    );
}

// tsq: M1
#[test]
fn response_cut_anywhere_inside_an_element_is_malformed() {
    let whole = message(&[251, 3, 1, 1, b'x']);
    for len in (19..whole.len()).filter(|&len| ![28, 38].contains(&len)) {
        assert!(
            matches!(refusal(&whole[..len]), Malformed::Truncated { .. }),
            "{len} bytes"
        );
    }
    assert!(Response::decode(&whole[..38]).is_ok());
}

// tsq: T6 T8 T9
#[test]
fn optional_element_a_second_time_is_a_duplicate() {
    let quality = [248, 6, 1, 0, 0, 0, 0, 0].as_slice();
    for element in [quality, &[250, 0], &[251, 2, 1, 1]] {
        let kind = element[0];
        assert_eq!(
            refusal_of_tail(&[element, element].concat()),
            Malformed::DuplicateElement { kind }
        );
    }
}

// tsq: T6 T9
#[test]
fn optional_element_without_its_fixed_part_is_malformed() {
    assert_eq!(
        refusal_of_tail(&[248, 1, 0]),
        Malformed::ElementLength {
            kind: 248,
            len: 1,
            expected: 6
        }
    );
    assert_eq!(
        refusal_of_tail(&[251, 0]),
        Malformed::ElementLength {
            kind: 251,
            len: 0,
            expected: 2
        }
    );
}

// tsq: T6 T9
#[test]
fn optional_text_that_is_not_utf8_is_malformed() {
    assert_eq!(
        refusal_of_tail(&[248, 7, 0, 0, 0, 0, 0, 0, 0xff]),
        Malformed::BadUtf8 { kind: 248 }
    );
    assert_eq!(
        refusal_of_tail(&[251, 3, 1, 1, 0xff]),
        Malformed::BadUtf8 { kind: 251 }
    );
}

// tsq: T0 T4
#[test]
fn reserved_elements_are_skipped_between_any_two_others() {
    let reserved = [99, 1, 0xff].as_slice();
    let parts = [
        &NONCE,
        reserved,
        &T2,
        reserved,
        &T3,
        reserved,
        &[250, 0],
        reserved,
        &[254, 1, 0],
        reserved,
    ];
    assert!(Response::decode(&parts.concat()).unwrap().precision());
}

// tsq: M1
#[test]
fn elements_of_a_request_are_skipped_like_unknown_ones() {
    assert!(
        Response::decode(&message(&[247, 1, 9, 252, 1, 9, 250, 0]))
            .unwrap()
            .precision()
    );
}

// tsq: T12
#[test]
fn padding_must_be_zero_and_come_after_everything_but_the_signature() {
    assert_eq!(
        refusal_of_tail(&[254, 2, 0, 1]),
        Malformed::PaddingNotZero { at: 1 }
    );
    for kind in [248, 250, 251, 253] {
        assert_eq!(
            refusal_of_tail(&[254, 0, kind, 0]),
            Malformed::OutOfOrder { kind, after: 254 }
        );
    }
    assert!(Response::decode(&message(&[254, 0, 255, 7, 1, 0, 0, 0, 0, 0, 0])).is_ok());
}

// tsq: T13
#[test]
fn nothing_may_follow_the_signature_block() {
    let block = [255, 7, 1, 0, 0, 0, 0, 0, 0];
    for kind in [0, 99, 247, 250, 254] {
        let tail = [&block, [kind, 0].as_slice()].concat();
        assert_eq!(
            refusal_of_tail(&tail),
            Malformed::OutOfOrder { kind, after: 255 }
        );
    }
    assert_eq!(
        refusal_of_tail(&[block, block].concat()),
        Malformed::OutOfOrder {
            kind: 255,
            after: 255
        }
    );
}

// tsq: T13
#[test]
fn signature_with_a_lying_length_is_malformed() {
    let longer = [255, 8, 1, 0, 0, 0, 0, 0, 2, 9];
    assert_eq!(
        refusal_of_tail(&longer),
        Malformed::SignatureLength { stated: 2, have: 1 }
    );
    let huge = [255, 8, 1, 0, 0, 0, 0, 0xff, 0xff, 9];
    assert_eq!(
        refusal_of_tail(&huge),
        Malformed::SignatureLength {
            stated: 65_535,
            have: 1
        }
    );
}

// tsq: M4
#[test]
fn signature_covers_unknown_elements_too() {
    let unsigned = message(&[99, 1, 0xff, 250, 0]);
    let signed = [unsigned.as_slice(), &[255, 8, 9, 0, 0, 0, 1, 0, 1, 5]].concat();
    let response = Response::decode(&signed).unwrap();
    assert_eq!(response.signed_bytes(), unsigned);
    assert_eq!(
        response.signature().unwrap().algorithm,
        SignatureAlgorithm::Other(9)
    );
}

// tsq: T11
#[test]
fn metadata_between_other_elements_is_still_found() {
    let bytes = message(b"\xfd\x04\x01a\x01x\xfb\x02\x01\x01\xfd\x04\x01a\x01y");
    let response = Response::decode(&bytes).unwrap();
    assert_eq!(
        response.metadata().pairs().collect::<Vec<_>>(),
        [("a", "x"), ("a", "y")]
    );
    assert_eq!(response.metadata().get("a"), Some("x"));
    assert_eq!(
        Response::decode(&message(&[253, 0])).unwrap().metadata(),
        Metadata::EMPTY
    );
}

// tsq: T11
#[test]
fn metadata_pair_that_fills_its_element_is_the_longest() {
    let element = |value_len: u8| {
        let mut tail = vec![253, 255, 0, value_len];
        tail.resize(2 + 255, b'v');
        tail
    };
    let longest = message(&element(253));
    let response = Response::decode(&longest).unwrap();
    assert_eq!(response.metadata().get("").map(str::len), Some(253));
    assert_eq!(
        refusal_of_tail(&element(254)),
        Malformed::MetadataTruncated { at: 1 }
    );
}

// tsq: T11 M10
#[test]
fn metadata_of_no_sense_costs_no_sample() {
    let pairs = b"\xfd\x25\x0droot_delay_ns\x02-1\x12root_dispersion_ns\x00";
    assert_eq!(finish(&message(pairs)), Ok(()));
}

// tsq: M3 T7
#[test]
fn error_fails_the_request_and_hides_what_follows() {
    let bytes = [[249, 2, 3, 0].as_slice(), &message(&[])].concat();
    let refused = finish(&bytes).unwrap_err();
    assert!(matches!(
        refused,
        Refusal::ServerError {
            code: ErrorCode::AuthenticationRequired,
            ..
        }
    ));
}

// tsq: T7
#[test]
fn error_inside_a_response_is_out_of_order() {
    assert_eq!(
        refusal_of_tail(&[249, 2, 1, 0]),
        Malformed::OutOfOrder {
            kind: 249,
            after: 3
        }
    );
    let early = [&NONCE, [249, 2, 1, 0].as_slice(), &T2, &T3].concat();
    assert_eq!(
        refusal(&early),
        Malformed::OutOfOrder {
            kind: 249,
            after: 1
        }
    );
}

// tsq: T7
#[test]
fn error_that_is_itself_malformed_is_malformed() {
    assert_eq!(
        refusal(&[249, 1, 3]),
        Malformed::ElementLength {
            kind: 249,
            len: 1,
            expected: 2
        }
    );
    assert_eq!(
        refusal(&[249, 3, 3, 0, 0xff]),
        Malformed::BadUtf8 { kind: 249 }
    );
    assert_eq!(
        refusal(&[249, 9, 3]),
        Malformed::Truncated {
            at: 0,
            needed: 11,
            have: 3
        }
    );
}

// tsq: T7
#[test]
fn error_reason_of_253_bytes_is_the_longest() {
    for (len, fits) in [(253, true), (254, false)] {
        let reason = "r".repeat(len);
        let element = ErrorElement {
            code: ErrorCode::Malformed,
            reason: &reason,
        };
        let mut out = [0; 300];
        let written = element.encode(&mut Writer::new(&mut out));
        if fits {
            assert_eq!(written, Ok(()));
            assert_eq!(Answer::decode(&out[..257]), Ok(Answer::Error(element)));
        } else {
            let (kind, len) = (249, 256);
            assert_eq!(written, Err(EncodeError::ValueTooLong { kind, len }));
        }
    }
}

// tsq: E4
#[test]
fn timestamps_half_an_era_apart_are_refused_not_wrapped() {
    let t1 = HostTime::from_unix(1_795_000_000, 0);
    let far = |distance: u64| NtpTimestamp::from_bits(t1.to_ntp().to_bits().wrapping_add(distance));
    let answer = |t2, t3| {
        let mut bytes = [0; Response::MIN_LEN];
        Response::new(Nonce::new([7; 16]), t2, t3)
            .encode(&mut bytes)
            .unwrap();
        finish(&bytes).unwrap_err().name()
    };
    // 68 years ahead, then "a moment later": the second lands 68 years in the past.
    assert_eq!(
        answer(far((1 << 63) - 1), far(1 << 63)),
        "send_before_receive"
    );
    // The server claims to have held the request for 136 years.
    assert_eq!(
        answer(far(1 << 63), far((1 << 63) - 1)),
        "delay_not_positive"
    );
}
