//! Hostile requests, one case per rule. A server decodes these before it knows anything about the sender.

use tsq_proto::{Malformed, Metadata, Request};

const NONCE: [u8; 18] = [1, 16, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7];

/// A request of the nonce and then `tail`.
fn message(tail: &[u8]) -> Vec<u8> {
    [&NONCE, tail].concat()
}

fn refusal(tail: &[u8]) -> Malformed {
    Request::decode(&message(tail)).expect_err("must be refused")
}

// tsq: M11
#[test]
fn empty_message_has_no_nonce() {
    assert_eq!(Request::decode(&[]), Err(Malformed::NonceMissing));
}

// tsq: T1
#[test]
fn nonce_of_another_length_is_malformed() {
    for len in [0, 15, 17, 255] {
        let mut bytes = vec![1, len];
        bytes.resize(2 + usize::from(len), 7);
        assert_eq!(
            Request::decode(&bytes),
            Err(Malformed::NonceLength { len: len.into() })
        );
    }
}

// tsq: T1 M11
#[test]
fn any_element_before_the_nonce_is_malformed() {
    for kind in (0..=255).filter(|&kind| kind != 1) {
        let bytes = [&[kind, 0], NONCE.as_slice()].concat();
        assert_eq!(
            Request::decode(&bytes),
            Err(Malformed::NonceNotFirst { kind })
        );
    }
}

// tsq: T1
#[test]
fn second_nonce_is_a_duplicate() {
    assert_eq!(refusal(&NONCE), Malformed::DuplicateElement { kind: 1 });
}

// tsq: M1
#[test]
fn request_cut_anywhere_inside_an_element_is_malformed() {
    let whole = message(&[250, 0, 200, 3, 1, 2, 3, 254, 2, 0, 0]);
    let boundaries = [18, 20, 25, 29];
    for len in 1..whole.len() {
        let decoded = Request::decode(&whole[..len]);
        if boundaries.contains(&len) {
            assert!(decoded.is_ok(), "{len} bytes end at an element");
        } else {
            assert!(
                matches!(decoded, Err(Malformed::Truncated { .. })),
                "{len} bytes: {decoded:?}"
            );
        }
    }
}

// tsq: M1
#[test]
fn truncated_last_element_spoils_what_came_before_it() {
    assert_eq!(
        refusal(&[250, 0, 99, 255, 1]),
        Malformed::Truncated {
            at: 20,
            needed: 257,
            have: 3
        }
    );
}

// tsq: T5 T8 T10
#[test]
fn second_element_of_the_same_kind_is_a_duplicate() {
    for kind in [247, 250, 252] {
        assert_eq!(
            refusal(&[kind, 0, kind, 0]),
            Malformed::DuplicateElement { kind }
        );
    }
}

// tsq: T5 T8 T10
#[test]
fn empty_element_with_a_value_is_malformed() {
    for kind in [247, 250, 252] {
        assert_eq!(
            refusal(&[kind, 1, 0]),
            Malformed::ElementLength {
                kind,
                len: 1,
                expected: 0
            }
        );
    }
}

// tsq: T0 T4
#[test]
fn reserved_elements_are_skipped_wherever_they_stand() {
    for kind in [0, 4, 99, 246] {
        let request = message(&[kind, 1, 0xff, 250, 0, kind, 0, 254, 1, 0, kind, 1, 0xff]);
        let request = Request::decode(&request).unwrap();
        assert!(request.asks_precision());
        assert_eq!(request.encoded_len(), 18 + 13);
    }
}

// tsq: M1
#[test]
fn elements_of_a_response_are_skipped_like_unknown_ones() {
    for kind in [2, 3, 248, 249, 251, 255] {
        let request =
            Request::decode(&message(&[kind, 1, 0xff])).map(|request| request.asks_signature());
        assert_eq!(request, Ok(false), "element {kind}");
    }
    assert!(
        Request::decode(&message(&[249, 0, 249, 0, 250, 0]))
            .unwrap()
            .asks_precision()
    );
}

// tsq: T12
#[test]
fn padding_with_a_byte_set_is_malformed() {
    assert_eq!(
        refusal(&[254, 3, 0, 1, 0]),
        Malformed::PaddingNotZero { at: 1 }
    );
    assert_eq!(
        refusal(&[254, 1, 0, 254, 1, 1]),
        Malformed::PaddingNotZero { at: 0 }
    );
}

// tsq: T12
#[test]
fn element_after_padding_is_out_of_order() {
    for kind in [247, 250, 252, 253] {
        assert_eq!(
            refusal(&[254, 1, 0, kind, 0]),
            Malformed::OutOfOrder { kind, after: 254 }
        );
    }
}

// tsq: T12
#[test]
fn padding_goes_on_in_a_second_element() {
    assert_eq!(
        Request::decode(&message(&[254, 0, 254, 2, 0, 0]))
            .unwrap()
            .encoded_len(),
        24
    );
}

// tsq: T13
#[test]
fn element_after_a_signature_block_is_out_of_order() {
    for kind in [0, 99, 250, 254] {
        assert_eq!(
            refusal(&[255, 0, kind, 0]),
            Malformed::OutOfOrder { kind, after: 255 }
        );
    }
    assert!(Request::decode(&message(&[254, 1, 0, 255, 0])).is_ok());
}

// tsq: T11
#[test]
fn metadata_that_is_cut_off_is_malformed() {
    assert_eq!(
        refusal(b"\xfd\x03\x04ab"),
        Malformed::MetadataTruncated { at: 0 }
    );
    assert_eq!(
        refusal(b"\xfd\x02\x01a"),
        Malformed::MetadataTruncated { at: 2 }
    );
}

// tsq: T11
#[test]
fn metadata_out_of_order_is_malformed() {
    assert_eq!(
        refusal(b"\xfd\x06\x01b\x00\x01a\x00"),
        Malformed::MetadataUnsorted { at: 3 }
    );
}

// tsq: T11
#[test]
fn metadata_that_is_not_utf8_is_malformed() {
    assert_eq!(
        refusal(b"\xfd\x03\x01\xff\x00"),
        Malformed::BadUtf8 { kind: 253 }
    );
}

// tsq: T11
#[test]
fn metadata_repeats_and_other_elements_may_stand_between() {
    let bytes = message(b"\xfd\x04\x01b\x01x\xfa\x00\x63\x01\xff\xfd\x04\x01a\x01y");
    let request = Request::decode(&bytes).unwrap();
    assert!(request.asks_precision());
    assert_eq!(
        request.metadata().pairs().collect::<Vec<_>>(),
        [("b", "x"), ("a", "y")]
    );
    assert_ne!(request.metadata(), Metadata::EMPTY);
}

// tsq: M2
#[test]
fn oversized_request_is_decoded_in_place() {
    let mut bytes = message(&[]);
    while bytes.len() < 65_000 {
        bytes.extend([99, 255]);
        bytes.extend([0xaa; 255]);
    }
    assert_eq!(Request::decode(&bytes).unwrap().encoded_len(), bytes.len());
}
