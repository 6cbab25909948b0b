//! The peers against each other, through the relay: what the other tests rest on.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tsq_interop::{Certs, Impairment, Outcome, Peer, Relay};

fn ask_through(impairment: Impairment, server: &str, client: &str) -> Outcome {
    let server = Peer::start(server, &[]);
    let relay = Relay::start(server.address(), impairment).unwrap();
    Peer::run(client, relay.address(), &["--insecure", "--count", "5"])
}

#[test]
fn round_trip_through_the_relay_is_the_one_asked_for() {
    let round_trip = Duration::from_millis(10);
    for kind in ["datagram", "stream"] {
        let (server, client) = (format!("{kind}_server.py"), format!("{kind}_client.py"));
        let outcome = ask_through(Impairment::round_trip(round_trip), &server, &client);
        assert_eq!(outcome.code, Some(0), "{outcome:#?}");
        let measured = Duration::from_nanos(outcome.json()["rtt_ns"].as_u64().unwrap());
        // How much more depends on what else the machine does.
        assert!(measured >= round_trip, "{measured:?} by {kind}");
    }
}

#[test]
fn peers_of_different_kinds_find_no_common_transport() {
    let clean = Impairment::default();
    let server = Peer::start("datagram_server.py", &[]);
    let relay = Relay::start(server.address(), clean).unwrap();
    let options = ["--insecure", "--timeout", "0.5"];
    let outcome = Peer::run("stream_client.py", relay.address(), &options);
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert_eq!(outcome.json()["alpn"], "tsq/1", "{outcome:#?}");
}

#[test]
fn peer_trusts_the_authority_it_is_given_and_no_other() {
    let (own, other) = (Certs::new(), Certs::new());
    let files = own.server("server", "127.0.0.1", &[]);
    let server = Peer::start(
        "stream_server.py",
        &["--cert", &files.cert, "--key", &files.key],
    );
    let ask = |certs: &Certs| {
        Peer::run("stream_client.py", server.address(), &["--ca", &certs.ca()]).code
    };
    assert_eq!((ask(&own), ask(&other)), (Some(0), Some(1)));
}

/// A second reader of the test vectors, in another language.
// tsq: M1 M4 M11 E2 E3 E4
#[test]
fn python_peers_read_every_vector_as_it_says() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../draft/vectors");
    let count = |name: &str| {
        let text = fs::read_to_string(vectors.join(name)).unwrap();
        let held: Value = serde_json::from_str(&text).unwrap();
        held["vectors"].as_array().unwrap().len()
    };
    let files = [
        "requests.json",
        "responses.json",
        "answers.json",
        "exchanges.json",
        "streams.json",
        "dialogues.json",
        "receipts.json",
    ];
    let outcome = Peer::run("vectors.py", "127.0.0.1:1".parse().unwrap(), &[]);
    let report = outcome.json();
    assert_eq!(report["wrong"], Value::Array(Vec::new()), "{outcome:#?}");
    assert_eq!(
        report["checked"],
        files.map(count).iter().sum::<usize>(),
        "{outcome:#?}"
    );
}

#[test]
fn stopped_peer_exits_cleanly() {
    let peer = Peer::start("hostile_server.py", &["--mode", "silent"]);
    assert_eq!(peer.terminate().code(), Some(0));
}
