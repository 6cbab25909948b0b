//! The rules of `draft/profile.md` for a receipt file, read by other code.

use data_encoding::HEXLOWER;
use serde_json::Value;
use tsq_proto::{HostTime, NtpTimestamp};
use tsq_sync::receipt::Proof;

use super::forge::sha256;
use crate::elements::elements;
use crate::keys::{ed25519, hmac_sha256};

/// Returns the last line's hash.
///
/// # Panics
///
/// When `file` breaks a rule, or does not prove what `proofs` say.
pub(super) fn holds(file: &[u8], proofs: &[Proof]) -> String {
    let text = std::str::from_utf8(file).expect("receipts are text");
    let lines = text.strip_suffix('\n').expect("the last line has an end");
    let mut head = "0".repeat(64);
    for (seq, (line, proof)) in lines.split('\n').zip(proofs).enumerate() {
        let receipt = whole(line);
        assert_eq!(receipt["prev"], head.as_str());
        assert_eq!(receipt["seq"], seq);
        proves(&receipt, proof);
        head = sha256(line.as_bytes());
    }
    assert_eq!(lines.split('\n').count(), proofs.len());
    head
}

/// The receipt of a line whose own check holds.
fn whole(line: &str) -> Value {
    let (open, check) = line.rsplit_once(",\"check\":\"").expect("a check");
    assert_eq!(check, format!("{}\"}}", sha256(open.as_bytes())));
    serde_json::from_str(line).expect("JSON")
}

// tsq: E1 E2 M4 M5
fn proves(receipt: &Value, proof: &Proof) {
    let (request, response) = (bytes(&receipt["request"]), bytes(&receipt["response"]));
    let (asked, told) = (elements(&request), elements(&response));
    assert!(asked.iter().any(|(kind, _)| *kind == 252), "asks for none");
    assert_eq!((asked[0].0, told[0]), (1, asked[0]), "the nonce");
    let &(255, block) = told.last().expect("a nonce at least") else {
        panic!("the last element is no signature");
    };
    let (algorithm, key) = match receipt["algorithm"].as_str() {
        Some("ed25519") => (1, ed25519()),
        Some("hmac-sha256") => (2, hmac_sha256()),
        other => panic!("algorithm {other:?}"),
    };
    assert_eq!(block[0], algorithm);
    assert_eq!(receipt["key_id"], key.id());
    assert_eq!(proof.key_id, key.id());
    assert!(key.signed(&response[..response.len() - block.len() - 2], block));
    shows(receipt, &told, proof);
}

/// T3 and T3 plus the whole delay.
fn shows(receipt: &Value, told: &[(u8, &[u8])], proof: &Proof) {
    let ours = |name: &str| receipt[name].as_i64().expect("nanoseconds");
    let (t1, t4) = (ours("t1_ns"), ours("t4_ns"));
    let theirs = |kind| {
        let (_, value) = told
            .iter()
            .find(|element| element.0 == kind)
            .expect("T2, T3");
        let bits = u64::from_be_bytes((*value).try_into().expect("8 bytes"));
        let near = HostTime::from_unix_nanos(t1);
        NtpTimestamp::from_bits(bits).resolve(near).as_unix_nanos()
    };
    let (t2, t3) = (theirs(2), theirs(3));
    let delay = i128::from(t4) - i128::from(t1) - (i128::from(t3) - i128::from(t2));
    assert!(delay > 0 && t4 >= t1 && t3 >= t2);
    assert_eq!(proof.local.as_unix_nanos(), t4);
    assert_eq!(proof.earliest.as_unix_nanos(), t3);
    let latest = i128::from(t3) + delay;
    assert_eq!(i128::from(proof.latest.as_unix_nanos()), latest);
    assert_eq!(proof.server, receipt["server"].as_str().expect("a name"));
}

fn bytes(value: &Value) -> Vec<u8> {
    let digits = value.as_str().expect("a string").as_bytes();
    HEXLOWER.decode(digits).expect("pairs of digits")
}
