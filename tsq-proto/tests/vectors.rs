//! The vectors of `draft/vectors`, made by a program that shares no code with this crate: bytes, verdict, meaning.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use data_encoding::HEXLOWER;
use ring::{hmac, signature as ed25519};
use serde_json::{Value, json};
use tsq_proto::signing::{SignatureRefusal, Verifier};
use tsq_proto::{
    Answer, HostTime, Malformed, Metadata, Nonce, Query, Request, Response, SignatureAlgorithm,
};

const REQUESTS: &str = include_str!("../../draft/vectors/requests.json");
const RESPONSES: &str = include_str!("../../draft/vectors/responses.json");
const ANSWERS: &str = include_str!("../../draft/vectors/answers.json");
const EXCHANGES: &str = include_str!("../../draft/vectors/exchanges.json");
const KEYS: &str = include_str!("../../draft/vectors/keys.json");

// tsq: F1 M1 M11 T0 T1 T4 T5 T8 T10 T11 T12 T13
#[test]
fn every_request_is_read_as_its_vector_says() {
    check(REQUESTS, "request", |message| {
        Request::decode(message).map(|request| {
            json!({
                "nonce": HEXLOWER.encode(request.nonce().as_bytes()),
                "asks_metadata": request.asks_metadata(),
                "asks_precision": request.asks_precision(),
                "asks_signature": request.asks_signature(),
                "metadata": pairs(request.metadata()),
                "length": request.encoded_len(),
            })
        })
    });
}

// tsq: F3 M1 M4 M5 M11 T0 T1 T2 T3 T4 T6 T8 T9 T11 T12 T13
#[test]
fn every_response_is_read_as_its_vector_says() {
    let keys = Keys::read();
    check(RESPONSES, "response", |message| {
        Response::decode(message).map(|response| {
            json!({
                "nonce": HEXLOWER.encode(response.nonce().as_bytes()),
                "receive_timestamp": HEXLOWER.encode(&response.receive_timestamp().to_be_bytes()),
                "send_timestamp": HEXLOWER.encode(&response.send_timestamp().to_be_bytes()),
                "precision": response.precision(),
                "time_source": response.time_source().map(|source| json!({
                    "stratum": source.stratum,
                    "source": source.source.as_u8(),
                    "info": source.info,
                })),
                "clock_quality": response.clock_quality().map(|quality| json!({
                    "class": quality.class.as_u8(),
                    "error_us": quality.error_us,
                    "drift_ppb": quality.drift_ppb,
                    "tag": quality.tag,
                })),
                "metadata": pairs(response.metadata()),
                "signature": response.signature().map(|block| json!({
                    "algorithm": block.algorithm.as_u8(),
                    "key_id": block.key_id,
                    "signed_length": response.signed_bytes().len(),
                    "signature_length": block.signature.len(),
                    "verification": keys.verdict(&response),
                })),
                "length": message.len(),
            })
        })
    });
}

// tsq: M1 M3 M11 T7
#[test]
fn every_answer_is_read_as_its_vector_says() {
    check(ANSWERS, "answer", |message| {
        Answer::decode(message).map(|answer| match answer {
            Answer::Error(error) => {
                json!({ "error": { "code": error.code.as_u8(), "reason": error.reason } })
            }
            Answer::Response(response) => {
                json!({ "response": { "nonce": HEXLOWER.encode(response.nonce().as_bytes()) } })
            }
        })
    });
}

// tsq: E2 E3 E4 M3 M4 M5 M6 T1 T7
#[test]
fn every_exchange_is_measured_or_refused_as_its_vector_says() {
    let keys = Keys::read();
    for vector in vectors(EXCHANGES) {
        let name = text(&vector, "name");
        assert_eq!(vector["kind"], "exchange", "{name}");
        let nonce = unhex(text(&vector, "nonce")).try_into().unwrap();
        let mut query = Query::new(Nonce::new(nonce), host_time(&vector, "t1_ns"));
        if let Some(len) = vector["precise_length"].as_u64() {
            query = query.with_request_len(usize::try_from(len).unwrap());
        }
        let limit = Duration::from_nanos(vector["offset_limit_ns"].as_u64().unwrap());
        let (answer, t4) = (message(&vector), host_time(&vector, "t4_ns"));
        let result = match vector["signature_required"].as_bool() {
            Some(true) => query.requiring_signature(&keys).finish(&answer, t4, limit),
            _ => query.finish(&answer, t4, limit),
        };
        match text(&vector, "verdict") {
            "accepted" => {
                let sample = result.unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
                let measured = json!({
                    "t2_ns": sample.t2.as_unix_nanos(),
                    "t3_ns": sample.t3.as_unix_nanos(),
                    "offset_ns": sample.offset.as_nanos(),
                    "delay_ns": i64::try_from(sample.delay.as_nanos()).unwrap(),
                });
                assert_eq!(measured, vector["meaning"], "{name}");
            }
            "refused" => assert_eq!(result.unwrap_err().name(), vector["refusal"], "{name}"),
            other => panic!("{name}: {other} is no verdict on an exchange"),
        }
    }
}

#[test]
fn every_malformed_variant_has_a_vector() {
    let shown: BTreeSet<String> = [REQUESTS, RESPONSES, ANSWERS]
        .into_iter()
        .flat_map(vectors)
        .filter_map(|vector| vector["error"].as_str().map(str::to_owned))
        .collect();
    // The enum is non-exhaustive, so only its source tells when a variant is added.
    let source = include_str!("../src/error.rs");
    let (_, body) = source.split_once("pub enum Malformed {\n").unwrap();
    let (body, _) = body.split_once("\n}\n").unwrap();
    let variants: BTreeSet<String> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(char::is_uppercase))
        .map(|line| line.trim_end_matches([',', ' ', '{']).to_owned())
        .collect();
    assert!(variants.contains("Truncated") && variants.contains("NonceMissing"));
    assert_eq!(shown, variants);
}

/// Every vector of `file` is of this kind, and `read` finds in its bytes what it says.
#[track_caller]
fn check(file: &str, kind: &str, read: impl Fn(&[u8]) -> Result<Value, Malformed>) {
    for vector in vectors(file) {
        let name = text(&vector, "name");
        assert_eq!(vector["kind"], kind, "{name}");
        let outcome = read(&message(&vector));
        match text(&vector, "verdict") {
            "accepted" => assert_eq!(outcome.as_ref(), Ok(&vector["meaning"]), "{name}"),
            "malformed" => {
                let malformed = outcome.expect_err(name);
                let expected = (text(&vector, "error").to_owned(), numbers(&vector));
                assert_eq!(name_and_numbers(malformed), expected, "{name}");
            }
            other => panic!("{name}: {other} is no verdict on a message"),
        }
    }
}

fn vectors(file: &str) -> Vec<Value> {
    let vectors = entries(file, "vectors");
    assert!(vectors.len() > 10, "only {} vectors", vectors.len());
    vectors
}

fn entries(file: &str, key: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(file).unwrap();
    assert_eq!(file["format"], "tsq-vectors/1");
    file[key].as_array().unwrap().clone()
}

/// An error as its vector has it. `Debug` writes `Name` or `Name { field: number, ... }`.
fn name_and_numbers(malformed: Malformed) -> (String, BTreeMap<String, u64>) {
    let shown = format!("{malformed:?}");
    let (name, fields) = shown.split_once(" { ").unwrap_or((&shown, ""));
    let fields = fields.trim_end_matches(" }").split(", ");
    let numbers = fields
        .filter_map(|field| field.split_once(": "))
        .map(|(field, number)| (field.to_owned(), number.parse().unwrap()))
        .collect();
    (name.to_owned(), numbers)
}

fn numbers(vector: &Value) -> BTreeMap<String, u64> {
    let numbers = vector["numbers"].as_object().unwrap().iter();
    numbers
        .map(|(field, number)| (field.clone(), number.as_u64().unwrap()))
        .collect()
}

fn pairs(metadata: Metadata<'_>) -> Vec<[&str; 2]> {
    metadata.pairs().map(|(key, value)| [key, value]).collect()
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field]
        .as_str()
        .unwrap_or_else(|| panic!("{object}: no text under {field}"))
}

fn message(vector: &Value) -> Vec<u8> {
    unhex(text(vector, "hex"))
}

fn host_time(vector: &Value, field: &str) -> HostTime {
    HostTime::from_unix_nanos(vector[field].as_i64().unwrap())
}

fn unhex(digits: &str) -> Vec<u8> {
    HEXLOWER.decode(digits.as_bytes()).unwrap()
}

/// The keys the vectors are signed with.
struct Keys(Vec<Value>);

impl Keys {
    fn read() -> Self {
        Self(entries(KEYS, "keys"))
    }

    fn verdict(&self, response: &Response<'_>) -> &'static str {
        let block = response.signature().unwrap();
        let message = response.signed_bytes();
        match self.verify(block.algorithm, block.key_id, message, block.signature) {
            Ok(()) => "valid",
            Err(SignatureRefusal::UnknownAlgorithm { .. }) => "unknown_algorithm",
            Err(SignatureRefusal::UnknownKey { .. }) => "unknown_key",
            Err(SignatureRefusal::WrongAlgorithm { .. }) => "wrong_algorithm",
            Err(SignatureRefusal::BadSignature) => "bad_signature",
            Err(other) => panic!("{other}"),
        }
    }
}

impl Verifier for Keys {
    fn verify(
        &self,
        stated: SignatureAlgorithm,
        id: u32,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureRefusal> {
        if let SignatureAlgorithm::Other(number) = stated {
            return Err(SignatureRefusal::UnknownAlgorithm { number });
        }
        let key = self.0.iter().find(|key| key["id"] == id);
        let key = key.ok_or(SignatureRefusal::UnknownKey { id })?;
        let expected = match text(key, "algorithm") {
            "ed25519" => SignatureAlgorithm::Ed25519,
            "hmac-sha256" => SignatureAlgorithm::HmacSha256,
            other => panic!("{other} is no algorithm"),
        };
        if stated != expected {
            return Err(SignatureRefusal::WrongAlgorithm {
                id,
                stated,
                expected,
            });
        }
        let verified = if expected == SignatureAlgorithm::Ed25519 {
            let public = unhex(text(key, "public"));
            ed25519::UnparsedPublicKey::new(&ed25519::ED25519, public).verify(message, signature)
        } else {
            let secret = unhex(text(key, "secret"));
            hmac::verify(
                &hmac::Key::new(hmac::HMAC_SHA256, &secret),
                message,
                signature,
            )
        };
        verified.map_err(|_| SignatureRefusal::BadSignature)
    }
}
