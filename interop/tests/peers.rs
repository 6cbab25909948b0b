//! Our programs and the ones in the field, as an independent QUIC stack plays them.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::time::Duration;

use serde_json::Value;
use tsq_interop::{Adjtime, Certs, Impairment, Outcome, Peer, Relay, Report, Server};

/// Client and server share one clock: more than this off is a wrong formula, not a slow machine.
const NEAR_ZERO_MS: f64 = 50.0;

fn ask(peer: &Peer, options: &[&str]) -> Report {
    let address = peer.address().to_string();
    Adjtime::dry_run(&[&["--pin", peer.pin(), &address], options].concat())
}

#[track_caller]
fn assert_synced_by(transport: &str, report: &Report) {
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert_eq!(report.source(0, "transport"), transport, "{report:#?}");
    assert_eq!(report.source(0, "answered"), 5, "{report:#?}");
    let offset = report.offset_ms().unwrap();
    assert!(
        offset.abs() < NEAR_ZERO_MS,
        "offset {offset} ms in {report:#?}"
    );
}

#[track_caller]
fn assert_no_answer(report: &Report) {
    assert_eq!(report.outcome.code, Some(3), "{report:#?}");
    assert!(
        !report.source(0, "reason").is_null(),
        "no reason given in {report:#?}"
    );
}

// tsq: F1 C2
#[test]
fn field_datagram_server_is_used_by_datagrams() {
    let peer = Peer::start("datagram_server.py", &[]);
    assert_synced_by("datagram", &ask(&peer, &[]));
    assert_synced_by("datagram", &ask(&peer, &["--transport", "datagram"]));
}

// tsq: F1
#[test]
fn field_datagram_server_gives_no_answer_by_streams() {
    let peer = Peer::start("datagram_server.py", &[]);
    assert_no_answer(&ask(&peer, &["--transport", "stream", "--timeout", "1500"]));
}

// tsq: F3 C5
#[test]
fn field_stream_server_is_used_by_streams_without_being_told() {
    let peer = Peer::start("stream_server.py", &[]);
    assert_synced_by("stream", &ask(&peer, &[]));
    assert_synced_by("stream", &ask(&peer, &["--transport", "stream"]));
}

// tsq: F3
#[test]
fn field_stream_server_gives_no_answer_by_datagrams() {
    let peer = Peer::start("stream_server.py", &[]);
    assert_no_answer(&ask(
        &peer,
        &["--transport", "datagram", "--timeout", "1500"],
    ));
}

// tsq: C2
#[test]
fn server_that_speaks_only_the_name_of_the_draft_is_used() {
    let peer = Peer::start("datagram_server.py", &["--alpn", "tsq"]);
    assert_synced_by("datagram", &ask(&peer, &[]));
}

#[test]
fn peer_with_another_key_than_the_pin_is_not_trusted() {
    let (peer, other) = (Peer::start("datagram_server.py", &[]), Certs::new());
    let address = peer.address().to_string();
    let wrong_pin = "00".repeat(32);
    let report = Adjtime::dry_run(&["--pin", &wrong_pin, &address]);
    assert_eq!(report.outcome.code, Some(7), "{report:#?}");
    let report = Adjtime::dry_run(&["--ca", &other.ca(), &address]);
    assert_eq!(report.outcome.code, Some(7), "{report:#?}");
}

fn ask_as(client: &str, server: &Server, options: &[&str]) -> Outcome {
    Peer::run(client, server.address(), options)
}

/// All queries answered, to the clock we share, under this ALPN.
#[track_caller]
fn assert_served(outcome: &Outcome, queries: u64, alpn: &str) {
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    let report = outcome.json();
    assert_eq!(report["answered"], queries, "{outcome:#?}");
    assert_eq!(report["alpn"], alpn, "{outcome:#?}");
    assert_eq!(report["nonce_ok"], true, "{outcome:#?}");
    let offset_ms = report["offset_ns"].as_f64().unwrap() / 1e6;
    assert!(offset_ms.abs() < NEAR_ZERO_MS, "{outcome:#?}");
    let rtt_ns = report["rtt_ns"].as_i64().unwrap();
    assert!(
        rtt_ns > 0,
        "T3 before T2, or after the answer left: {outcome:#?}"
    );
}

// tsq: F1 C2 E2 F5
#[test]
fn our_server_serves_the_field_datagram_client() {
    let server = Server::start(&[]);
    let outcome = ask_as(
        "datagram_client.py",
        &server,
        &["--insecure", "--count", "20"],
    );
    assert_served(&outcome, 20, "tsq/1");
}

// tsq: F4
#[test]
fn our_server_serves_a_client_that_repeats_one_nonce() {
    let server = Server::start(&[]);
    // Without a delay the first answer is there before there is anything to repeat; with a short one a busy machine
    // repeats little in it.
    let delayed = Impairment::round_trip(Duration::from_millis(400));
    let relay = Relay::start(server.address(), delayed).unwrap();
    let options = ["--insecure", "--impatient", "--count", "5"];
    let outcome = Peer::run("datagram_client.py", relay.address(), &options);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    assert_eq!(outcome.json()["answered"], 5, "{outcome:#?}");
    let forwarded = relay.counters().forwarded;
    assert!(forwarded > 40, "{forwarded} packets: nothing was repeated");
}

// tsq: F6
#[test]
fn our_server_keeps_a_client_that_pauses_between_queries() {
    let server = Server::start(&[]);
    let options = ["--insecure", "--count", "3", "--pause", "0.5"];
    assert_served(&ask_as("datagram_client.py", &server, &options), 3, "tsq/1");
    assert_served(&ask_as("stream_client.py", &server, &options), 3, "tsq/1");
}

// tsq: C6
#[test]
fn our_server_keeps_a_client_whose_address_changes() {
    let server = Server::start(&[]);
    for client in ["datagram_client.py", "stream_client.py"] {
        let options = ["--insecure", "--count", "5", "--rebind"];
        let outcome = ask_as(client, &server, &options);
        assert_served(&outcome, 5, "tsq/1");
        assert_eq!(outcome.json()["addresses"], 5, "{outcome:#?}");
    }
}

/// More streams than a server would grant at first: the rest need credit given back.
const STREAMS: u64 = 300;

// tsq: F2 C2 E2
#[test]
fn our_server_serves_the_field_stream_client_beyond_its_first_credit() {
    let server = Server::start(&[]);
    let count = STREAMS.to_string();
    let outcome = ask_as(
        "stream_client.py",
        &server,
        &["--insecure", "--count", &count],
    );
    assert_served(&outcome, STREAMS, "tsq/1");
}

// tsq: F2
#[test]
fn our_server_leaves_the_field_clients_side_of_a_stream_alone_until_it_ends_it() {
    let server = Server::start(&[]);
    let options = ["--insecure", "--count", "4", "--hold", "0.1"];
    assert_served(&ask_as("stream_client.py", &server, &options), 4, "tsq/1");
    // Fewer than half of what it may have: then nothing is stopped for want of room, however slow this machine.
    let at_once = ["--insecure", "--count", "3", "--hold", "0.1", "--pipelined"];
    assert_served(&ask_as("stream_client.py", &server, &at_once), 3, "tsq/1");
}

#[test]
fn our_server_gives_streams_back_to_a_client_that_never_ends_one() {
    let server = Server::start(&[]);
    let options = ["--insecure", "--count", "40", "--never-end"];
    assert_served(&ask_as("stream_client.py", &server, &options), 40, "tsq/1");
}

#[test]
fn our_server_gives_streams_back_to_a_client_that_began_requests_and_left_them() {
    let server = Server::start(&["--max-streams", "8"]);
    let options = ["--insecure", "--unfinished", "8", "--timeout", "25"];
    // T1 is when the request was made: it waited for a place, and so the offset tells nothing.
    let outcome = ask_as("stream_client.py", &server, &options);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    assert_eq!(outcome.json()["answered"], 1, "{outcome:#?}");
}

#[test]
fn our_server_gives_streams_back_at_once_that_their_client_has_reset() {
    let server = Server::start(&["--max-streams", "8"]);
    // Less than the 5 s that a request may take.
    let options = [
        "--insecure",
        "--unfinished",
        "8",
        "--abandon",
        "--timeout",
        "4.5",
    ];
    let outcome = ask_as("stream_client.py", &server, &options);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
}

// tsq: C2
#[test]
fn our_server_prefers_the_name_of_the_draft() {
    let server = Server::start(&[]);
    let options = ["--insecure", "--alpn", "tsq/1,tsq"];
    assert_served(&ask_as("datagram_client.py", &server, &options), 1, "tsq");
}

// tsq: C2
#[test]
fn our_server_refuses_another_protocol_and_goes_on_serving() {
    let server = Server::start(&[]);
    let foreign = ask_as("stream_client.py", &server, &["--insecure", "--alpn", "h3"]);
    assert_eq!(foreign.code, Some(1), "{foreign:#?}");
    let report = foreign.json();
    assert_eq!(
        (&report["alpn"], &report["answered"]),
        (&Value::Null, &0.into()),
        "{foreign:#?}"
    );
    assert_served(
        &ask_as("stream_client.py", &server, &["--insecure"]),
        1,
        "tsq/1",
    );
}

// tsq: C1
#[test]
fn our_certificates_are_verified_by_another_tls_stack() {
    for key in ["p256", "ed25519"] {
        let certs = Certs::new();
        let files = certs.server("server", "127.0.0.1", &["--key", key]);
        let server = Server::start(&["--cert", &files.cert, "--key", &files.key]);
        let trusting = ask_as("datagram_client.py", &server, &["--ca", &certs.ca()]);
        assert_served(&trusting, 1, "tsq/1");
        let foreign = Certs::new();
        let distrusting = ask_as("datagram_client.py", &server, &["--ca", &foreign.ca()]);
        assert_eq!(distrusting.code, Some(1), "{distrusting:#?}");
    }
}

// tsq: C4
#[test]
fn our_server_serves_both_kinds_of_client_on_one_port_and_ends_cleanly() {
    let server = Server::start(&[]);
    let options = ["--insecure", "--count", "10"];
    let (by_datagram, by_stream) = std::thread::scope(|scope| {
        let datagrams = scope.spawn(|| ask_as("datagram_client.py", &server, &options));
        let streams = ask_as("stream_client.py", &server, &options);
        (datagrams.join().unwrap(), streams)
    });
    assert_served(&by_datagram, 10, "tsq/1");
    assert_served(&by_stream, 10, "tsq/1");
    assert_eq!(server.terminate().code(), Some(0));
}
