//! Requests that are not requests: what our server makes of them, asked by another QUIC stack.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use serde_json::Value;
use tsq_interop::{Peer, Server};

/// Sends `request` (hex) and then a proper one on the same connection.
#[track_caller]
fn send(server: &Server, mode: &str, request: &str, options: &[&str]) -> Value {
    let words = ["--insecure", "--mode", mode, "--hex", request];
    let outcome = Peer::run(
        "raw_client.py",
        server.address(),
        &[&words, options].concat(),
    );
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    let report = outcome.json();
    assert_eq!(report["lives"], true, "{request}: {outcome:#?}");
    report
}

/// An Error element with this code stands alone in the answer: type, length, code, reserved, reason.
#[track_caller]
fn assert_error(report: &Value, code: &str) {
    let answer = report["answer"].as_str().unwrap();
    assert!(answer.starts_with("f9"), "{answer}");
    assert_eq!(&answer[4..8], format!("{code}00"), "{answer}");
    let length = usize::from_str_radix(&answer[2..4], 16).unwrap();
    assert_eq!(answer.len(), 2 * (2 + length), "{answer}");
    assert!(length > 2, "no reason in {answer}");
}

const MALFORMED: &str = "01";
const UNSUPPORTED: &str = "02";
const NONCE: &str = "0110000102030405060708090a0b0c0d0e0f";

fn malformed_requests() -> Vec<(&'static str, String)> {
    vec![
        ("cut off in the nonce", NONCE[..30].to_string()),
        ("cut off after a type", format!("{NONCE}fe")),
        ("nonce of 15 bytes", format!("010f{}", &NONCE[4..34])),
        ("nonce of 17 bytes", format!("0111{}ff", &NONCE[4..])),
        ("no nonce", "f700".to_string()),
        ("two nonces", NONCE.repeat(2)),
        ("padding that is not zero", format!("{NONCE}fe020001")),
    ]
}

// tsq: M1 M2 T1 T7 T12
#[test]
fn malformed_request_gets_an_error_on_a_stream_and_nothing_in_a_datagram() {
    let server = Server::start(&[]);
    for (what, request) in malformed_requests() {
        let report = send(&server, "stream", &request, &[]);
        assert_error(&report, MALFORMED);
        let report = send(&server, "datagram", &request, &[]);
        assert_eq!(report["answer"], Value::Null, "{what}");
    }
    assert_eq!(server.terminate().code(), Some(0));
}

// tsq: M2
#[test]
fn oversized_request_gets_an_error_on_a_stream_and_nothing_in_a_datagram() {
    let server = Server::start(&[]);
    let unknown_element = format!("4df8{}", "00".repeat(248));
    let long = |elements: usize| format!("{NONCE}{}", unknown_element.repeat(elements));
    for ending in ["fin", "open"] {
        let report = send(&server, "stream", &long(8), &["--ending", ending]);
        assert_error(&report, MALFORMED);
    }
    // The largest that fits a packet: its elements are sound, and a datagram may have them.
    let report = send(&server, "datagram", &long(4), &[]);
    assert!(report["answer"].as_str().unwrap().starts_with(NONCE));
}

// tsq: M1 T0 T4
#[test]
fn unknown_elements_of_a_request_are_skipped() {
    let server = Server::start(&[]);
    let request = format!("{NONCE}00004d03616263c800");
    for mode in ["stream", "datagram"] {
        let report = send(&server, mode, &request, &[]);
        let answer = report["answer"].as_str().unwrap();
        assert!(answer.starts_with(NONCE), "{mode}: {answer}");
        assert_eq!(answer.len(), 2 * 38, "{mode}: {answer}");
    }
}

// tsq: M5 T10
#[test]
fn request_for_a_signature_fails_for_want_of_a_key() {
    let server = Server::start(&[]);
    let request = format!("{NONCE}fc00");
    let report = send(&server, "stream", &request, &[]);
    assert_error(&report, UNSUPPORTED);
    let report = send(&server, "datagram", &request, &[]);
    assert_eq!(report["answer"], Value::Null);
}

// tsq: M6 M9 T8 T12
#[test]
fn answer_is_the_mandatory_38_bytes_or_as_long_as_a_precise_request() {
    let server = Server::start(&[]);
    let precise = format!("{NONCE}fa00fe12{}", "00".repeat(18));
    for mode in ["stream", "datagram"] {
        for (request, length) in [(NONCE, 38), (&precise, 40)] {
            let report = send(&server, mode, request, &[]);
            let answer = report["answer"].as_str().unwrap();
            assert_eq!(answer.len(), 2 * length, "{mode}: {answer}");
        }
    }
}

/// It cannot have an answer as long as itself, but the time it can have.
// tsq: M6
#[test]
fn precise_datagram_longer_than_any_answer_is_answered_without_precision() {
    let server = Server::start(&[]);
    let padding = format!("feff{}", "00".repeat(255)).repeat(4);
    // Behind the padding above come 2 bytes and these. The server's packets have 1200 bytes, the last two do not fit.
    for (rest, length) in [(50, 1100), (140, 38), (240, 38)] {
        let request = format!("{NONCE}fa00{padding}fe{rest:02x}{}", "00".repeat(rest));
        let report = send(&server, "datagram", &request, &["--packet-size", "1400"]);
        let answer = report["answer"].as_str().unwrap();
        assert_eq!(answer.len(), 2 * length, "{answer}");
    }
}

// tsq: M11 T5 T11
#[test]
fn metadata_come_after_the_mandatory_elements_when_asked_for() {
    let server = Server::start(&[]);
    for mode in ["stream", "datagram"] {
        let report = send(&server, mode, &format!("{NONCE}f700"), &[]);
        let answer = report["answer"].as_str().unwrap();
        let kinds = kinds(answer);
        assert_eq!(kinds[..3], ["01", "02", "03"], "{mode}: {answer}");
        assert!(kinds.contains(&"fd"), "{mode}: {answer}");
    }
}

/// The types of a message's elements, in order.
fn kinds(mut message: &str) -> Vec<&str> {
    let mut kinds = Vec::new();
    while !message.is_empty() {
        kinds.push(&message[..2]);
        let length = usize::from_str_radix(&message[2..4], 16).unwrap();
        message = &message[2 * (2 + length)..];
    }
    kinds
}

#[test]
fn stream_that_ends_or_resets_without_a_request_does_no_harm() {
    let server = Server::start(&[]);
    assert_error(&send(&server, "stream", "", &[]), MALFORMED);
    let report = send(&server, "stream", &NONCE[..20], &["--ending", "reset"]);
    assert_eq!(report["answer"], Value::Null);
    // What is not finished and not whole is waited for.
    let report = send(&server, "stream", &NONCE[..20], &["--ending", "open"]);
    assert_eq!(report["answer"], Value::Null);
}
