//! The vectors of `draft/vectors` that are about several packets: answers in pieces, and dialogues.

use std::io::Write;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use tsq_keys::VerifyKeys;
use tsq_net::{Dir, Side};
use tsq_proto::{HostTime, Request};

use super::*;
use crate::report::Timestamps;

const STREAMS: &str = include_str!("../../../draft/vectors/streams.json");
const DIALOGUES: &str = include_str!("../../../draft/vectors/dialogues.json");
const KEYS: &str = include_str!("../../../draft/vectors/keys.json");

// tsq: F3 M1 M3 M5 M6 T5 T9
#[test]
fn every_stream_is_complete_when_its_vector_says() {
    let keys = Arc::new(keys());
    for vector in entries(STREAMS, "vectors") {
        let name = text(&vector, "name");
        let mut queries = Queries::new(1, Duration::from_secs(9), terms_of(&vector, &keys));
        let stream = StreamId::new(Side::Client, Dir::Bi, 0);
        ask(&mut queries, &vector, Some(stream));
        let arrived = Stamp::kernel(time(&vector, "t4_ns"));
        let pieces = vector["pieces"].as_array().expect("pieces");
        let mut settled = pieces.iter().position(|piece| {
            queries.stream(stream, &unhex(piece), false, arrived, ClockPair::read())
        });
        if settled.is_none() && vector["end"] != "open" {
            settled = Some(pieces.len());
            // Later than the last byte, which alone counts.
            let later = Stamp::kernel(arrived.time + tsq_proto::Offset::from_nanos(5_000));
            match text(&vector, "end") {
                "reset" => queries.stream_aborted(stream, 0),
                _ => assert!(
                    queries.stream(stream, &[], true, later, ClockPair::read()),
                    "{name}"
                ),
            }
        }
        let expected = vector["settled_after"].as_u64();
        assert_eq!(settled.map(|index| index as u64 + 1), expected, "{name}");
        let verdict = match queries.samples.first().map(|sample| &sample.result) {
            None => "waiting",
            Some(Ok(_)) => "accepted",
            Some(Err(rejection)) => rejection.name(),
        };
        let expected = vector["refusal"].as_str();
        assert_eq!(
            verdict,
            expected.unwrap_or(text(&vector, "verdict")),
            "{name}"
        );
    }
}

// tsq: M10
#[test]
fn every_dialogue_ends_with_the_samples_its_vector_has() {
    for vector in entries(DIALOGUES, "vectors") {
        let name = text(&vector, "name");
        let steps = vector["steps"].as_array().expect("steps");
        let wanted = u32::try_from(steps.len()).expect("a short dialogue");
        let terms = Terms {
            metadata: true,
            follow_up: true,
            offset_limit: Duration::from_secs(86_400),
            ..Terms::none()
        };
        let mut queries = Queries::new(wanted, Duration::from_secs(9), terms);
        for step in steps {
            let asked = ask(&mut queries, step, None);
            assert_eq!(asked, unhex(&step["request"]), "{name}: what we would ask");
        }
        for step in steps {
            queries.datagram(
                &unhex(&step["response"]),
                Stamp::kernel(time(step, "t4_ns")),
                ClockPair::read(),
            );
        }
        let samples: Vec<Value> = queries
            .samples
            .iter()
            .map(|sample| {
                let answer = sample.result.as_ref().expect(name);
                json!({
                    "offset_ns": answer.sample.offset.as_nanos(),
                    "delay_ns": u64::try_from(answer.sample.delay.as_nanos()).expect("a short delay"),
                    "corrected": answer.timestamps == Timestamps::KernelAndFollowUp,
                })
            })
            .collect();
        let ignored = &queries.follow_ups.counts.refused;
        let meaning = json!({ "samples": samples, "ignored": ignored });
        assert_eq!(meaning, vector["meaning"], "{name}");
    }
}

fn terms_of(vector: &Value, keys: &Arc<VerifyKeys>) -> Terms {
    let request = unhex(&vector["request"]);
    let request = Request::decode(&request).expect("a request");
    let limit = vector["offset_limit_ns"].as_u64().expect("a limit");
    Terms {
        metadata: request.asks_metadata(),
        follow_up: request.asks_follow_up(),
        precision: request.asks_precision(),
        keys: request.asks_signature().then(|| Arc::clone(keys)),
        offset_limit: Duration::from_nanos(limit),
    }
}

/// Asks what `step` asks, at its T1; returns what would have been asked without it.
fn ask(queries: &mut Queries, step: &Value, stream: Option<StreamId>) -> Vec<u8> {
    let request = unhex(&step["request"]);
    let nonce = Request::decode(&request).expect("a request").nonce();
    let asked = queries.next_ask(nonce).expect("a query to send");
    let transport = stream.map_or(Transport::Datagram, |_| Transport::Stream);
    queries.asked(&asked, transport, stream, Instant::now());
    let before = time(step, "t1_ns");
    queries.departed(1, Departure { id: None, before }, ClockPair::read());
    let waiting = queries.waiting_mut().find(|waiting| waiting.nonce == nonce);
    let waiting = waiting.expect("it was asked");
    waiting.departed.as_mut().expect("it left").t1 = Stamp::kernel(before);
    waiting.request = request;
    asked.request
}

fn keys() -> VerifyKeys {
    let files: Vec<_> = entries(KEYS, "keys")
        .iter()
        .map(|key| {
            let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
            // HMAC has no public half.
            let half = key.get("public").map_or("secret", |_| "public");
            for field in ["algorithm", half] {
                writeln!(file, "{field} = \"{}\"", text(key, field)).expect("it takes a line");
            }
            writeln!(file, "id = {}", key["id"]).expect("it takes a line");
            file
        })
        .collect();
    let paths: Vec<_> = files.iter().map(tempfile::NamedTempFile::path).collect();
    VerifyKeys::load(&paths).expect("keys")
}

fn entries(file: &str, key: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(file).expect("JSON");
    assert_eq!(file["format"], "tsq-vectors/1");
    let entries = file[key].as_array().expect("entries").clone();
    assert!(!entries.is_empty());
    entries
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().expect(field)
}

fn time(object: &Value, field: &str) -> HostTime {
    HostTime::from_unix_nanos(object[field].as_i64().expect(field))
}

fn unhex(digits: &Value) -> Vec<u8> {
    let digits = digits.as_str().expect("hex digits");
    HEXLOWER.decode(digits.as_bytes()).expect("hex digits")
}
