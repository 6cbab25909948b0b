//! Our client against servers that misbehave: what each gets, and that a good one beside it is used.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tsq_interop::{Adjtime, Certs, Peer, Report, bin, run};

const TRANSPORTS: [&str; 2] = ["datagram", "stream"];
/// Milliseconds for a whole run that may have to wait for its end.
const TIMEOUT: &str = "1500";
/// What a run may take beyond its `--timeout`: the process itself, on a busy machine.
const OVERHEAD: Duration = Duration::from_secs(1);
/// Client and server share one clock: more than this off is a wrong formula, not a slow machine.
const NEAR_ZERO_MS: f64 = 50.0;

/// Asks a server of this mode alone, by each transport.
fn ask_hostile(mode: &str) -> [Report; 2] {
    let peer = Peer::start("hostile_server.py", &["--mode", mode]);
    let address = peer.address().to_string();
    let ask = |transport| {
        let options = ["--transport", transport, "--timeout", TIMEOUT];
        Adjtime::dry_run(&[&["--pin", peer.pin(), &address], &options[..]].concat())
    };
    thread::scope(|scope| {
        TRANSPORTS
            .map(|transport| scope.spawn(move || ask(transport)))
            .map(|run| run.join().unwrap())
    })
}

#[track_caller]
fn assert_nothing_usable(report: &Report) {
    assert_eq!(report.outcome.code, Some(3), "{report:#?}");
    assert_eq!(report.json["action"], "refused", "{report:#?}");
    assert_eq!(report.accepted(0), 0, "{report:#?}");
    let limit = Duration::from_millis(TIMEOUT.parse().unwrap()) + OVERHEAD;
    assert!(
        report.outcome.elapsed < limit,
        "took {:?}",
        report.outcome.elapsed
    );
}

/// Nothing is usable, and this is among the reasons.
#[track_caller]
fn assert_refused(report: &Report, reason: &str) {
    assert_nothing_usable(report);
    let reasons = report.reasons(0);
    assert!(
        reasons.contains(&reason),
        "{reason} is not among {reasons:?}: {report:#?}"
    );
}

#[track_caller]
fn assert_accepted(report: &Report) {
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    let offset = report.offset_ms().unwrap();
    assert!(
        offset.abs() < NEAR_ZERO_MS,
        "offset {offset} ms in {report:#?}"
    );
}

// tsq: E4
#[test]
fn wrong_nonce_is_refused() {
    ask_hostile("wrong-nonce")
        .iter()
        .for_each(|report| assert_refused(report, "nonce_mismatch"));
}

// tsq: E4
#[test]
fn missing_nonce_is_refused() {
    ask_hostile("no-nonce")
        .iter()
        .for_each(|report| assert_refused(report, "nonce_missing"));
}

// tsq: E4
#[test]
fn send_time_before_receive_time_is_refused() {
    ask_hostile("swapped")
        .iter()
        .for_each(|report| assert_refused(report, "send_before_receive"));
}

// tsq: E4
#[test]
fn delay_below_zero_is_refused() {
    ask_hostile("negative-delay")
        .iter()
        .for_each(|report| assert_refused(report, "delay_not_positive"));
}

// tsq: E4 E3
#[test]
fn time_ten_years_away_is_past_every_limit() {
    let certs = Certs::new();
    let files = certs.server("server", "127.0.0.1", &["--days", "9000"]);
    let identity = ["--cert", files.cert.as_str(), "--key", &files.key];
    let peer = Peer::start(
        "hostile_server.py",
        &[&identity[..], &["--mode", "far-future"]].concat(),
    );
    for transport in TRANSPORTS {
        let address = peer.address().to_string();
        let words = ["--pin", peer.pin(), "--transport", transport, &address];
        let report = Adjtime::dry_run(&words);
        assert_eq!(report.outcome.code, Some(5), "{report:#?}");
        assert_eq!(report.json["action"], "refused", "{report:#?}");
        // It votes, and what it says is shown; nothing is done about it.
        assert_eq!(report.source(0, "answered"), 5, "{report:#?}");
        assert!(report.offset_ms().unwrap() > 300e9, "{report:#?}");
    }
}

/// Its certificate ends tomorrow.
#[test]
fn time_outside_the_servers_own_certificate_is_not_believed() {
    for report in ask_hostile("far-future") {
        assert_eq!(report.outcome.code, Some(7), "{report:#?}");
        assert_eq!(report.offset_ms(), None, "{report:#?}");
        let verdict = report.source(0, "verdict");
        assert_eq!(verdict, "certificate_expired", "{report:#?}");
    }
}

// tsq: M1
#[test]
fn truncated_answer_is_malformed() {
    ask_hostile("truncated")
        .iter()
        .for_each(|report| assert_refused(report, "malformed"));
}

#[test]
fn garbage_is_malformed() {
    ask_hostile("garbage")
        .iter()
        .for_each(|report| assert_refused(report, "malformed"));
}

// tsq: M3 T7
#[test]
fn error_on_a_stream_fails_the_request_and_in_a_datagram_gives_no_sample() {
    let [by_datagram, by_stream] = ask_hostile("error-tlv");
    assert_nothing_usable(&by_datagram);
    assert_refused(&by_stream, "server_error");
}

// tsq: M1 T0 T4
#[test]
fn unknown_elements_are_skipped() {
    for report in ask_hostile("unknown-tlv") {
        assert_accepted(&report);
        assert_eq!(report.source(0, "answered"), 5, "{report:#?}");
    }
}

#[test]
fn answer_of_a_thousand_bytes_is_used_or_called_malformed() {
    for report in ask_hostile("oversize") {
        match report.outcome.code {
            Some(0) => assert_accepted(&report),
            _ => assert_refused(&report, "malformed"),
        }
    }
}

// tsq: E4
#[test]
fn answer_that_comes_twice_counts_once() {
    let [by_datagram, by_stream] = ask_hostile("duplicate");
    assert_accepted(&by_datagram);
    for report in [by_datagram, by_stream] {
        let asked = report.source(0, "asked").as_u64().unwrap();
        let asked = usize::try_from(asked).unwrap();
        assert!(report.accepted(0) <= asked, "{report:#?}");
    }
}

#[test]
fn late_answers_still_count_for_their_own_requests() {
    ask_hostile("late").iter().for_each(assert_accepted);
}

#[test]
fn silence_ends_in_time_with_a_reason() {
    for report in ask_hostile("silent") {
        assert_nothing_usable(&report);
        assert_eq!(report.source(0, "answered"), 0, "{report:#?}");
        assert!(report.source(0, "reason").is_string(), "{report:#?}");
    }
}

#[test]
fn reset_ends_in_time_with_a_reason() {
    for report in ask_hostile("reset") {
        assert_nothing_usable(&report);
        assert!(report.source(0, "reason").is_string(), "{report:#?}");
    }
}

// tsq: C2
#[test]
fn another_protocol_ends_the_connection() {
    for report in ask_hostile("wrong-alpn") {
        assert_nothing_usable(&report);
        assert!(report.source(0, "reason").is_string(), "{report:#?}");
    }
}

#[test]
fn offset_past_the_limit_changes_nothing_and_the_exit_code_says_so() {
    for report in ask_hostile("lie:5000") {
        assert_eq!(report.outcome.code, Some(5), "{report:#?}");
        assert_eq!(report.json["action"], "refused", "{report:#?}");
        let offset = report.offset_ms().unwrap();
        assert!((offset - 5000.0).abs() < NEAR_ZERO_MS, "{report:#?}");
    }
}

/// A misbehaviour of `hostile_server.py --list json`.
struct Misbehaviour {
    name: String,
    outcome: String,
    on_a_stream: Option<String>,
    client_asks: String,
}

fn misbehaviours() -> Vec<Misbehaviour> {
    let nobody = "127.0.0.1:1".parse().unwrap();
    let outcome = Peer::run("hostile_server.py", nobody, &["--list", "json"]);
    let text = |entry: &Value, field: &str| entry[field].as_str().map(str::to_owned);
    let entries = outcome.json();
    let entries = entries.as_array().unwrap().iter();
    entries
        .map(|entry| Misbehaviour {
            name: text(entry, "name").unwrap(),
            outcome: text(entry, "outcome").unwrap(),
            on_a_stream: text(entry, "on_a_stream"),
            client_asks: text(entry, "client_asks").unwrap(),
        })
        .collect()
}

/// The list is for clients of others too: ours does what it says of each.
// tsq: E4 M1 M3 M5 M6 T9
#[test]
fn our_client_does_what_the_list_of_misbehaviours_says() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key").to_string_lossy().into_owned();
    let mut make = Command::new(bin("tsq-certs"));
    make.args(["signing-key", "--out", &key, "--id", "7"]);
    assert_eq!(run(make, Duration::from_secs(60)).code, Some(0));
    let public = format!("{key}.pub");
    let all = misbehaviours();
    assert!(all.len() > 20, "only {}", all.len());
    for few in all.chunks(3) {
        thread::scope(|scope| {
            for one in few {
                scope.spawn(|| assert_done_as_listed(one, &public));
            }
        });
    }
}

fn assert_done_as_listed(one: &Misbehaviour, key: &str) {
    let peer = Peer::start("hostile_server.py", &["--mode", &one.name]);
    let address = peer.address().to_string();
    for transport in TRANSPORTS {
        let on_a_stream = one.on_a_stream.as_ref().filter(|_| transport == "stream");
        let outcome = on_a_stream.unwrap_or(&one.outcome).as_str();
        let signed: &[&str] = match one.client_asks.as_str() {
            "" => &[],
            "signature" => &["--verify-key", key],
            other => panic!("{other} is nothing a client can ask for"),
        };
        let options = ["--transport", transport, "--timeout", TIMEOUT];
        let words = [&["--pin", peer.pin(), &address], &options[..], signed].concat();
        let report = Adjtime::dry_run(&words);
        let reasons = report.reasons(0);
        match outcome {
            "accepted" => assert_accepted(&report),
            "nothing" => assert_ne!(report.outcome.code, Some(0), "{}: {report:#?}", one.name),
            // A datagram is no place for an Error: the request it answers cannot be told.
            reason => {
                assert_eq!(report.accepted(0), 0, "{}: {report:#?}", one.name);
                assert!(reasons.contains(&reason), "{}: {report:#?}", one.name);
            }
        }
    }
}

/// Servers under one authority, so that one `--ca` covers them all.
struct Group {
    certs: Certs,
    peers: Vec<Peer>,
}

impl Group {
    fn start(scripts: &[(&str, &[&str])]) -> Self {
        let certs = Certs::new();
        let start = |(number, (script, args)): (usize, &(&str, &[&str]))| {
            let files = certs.server(&number.to_string(), "127.0.0.1", &[]);
            let identity = ["--cert", &files.cert, "--key", &files.key];
            Peer::start(script, &[&identity, *args].concat())
        };
        let peers = scripts.iter().enumerate().map(start).collect();
        Self { certs, peers }
    }

    fn ask(&self) -> Report {
        let ca = self.certs.ca();
        let addresses: Vec<String> = self
            .peers
            .iter()
            .map(|peer| peer.address().to_string())
            .collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        Adjtime::dry_run(&[&["--ca", &ca, "--timeout", TIMEOUT], &addresses[..]].concat())
    }
}

const GOOD: (&str, &[&str]) = ("datagram_server.py", &[]);
const GOOD_BY_STREAMS: (&str, &[&str]) = ("stream_server.py", &[]);

#[track_caller]
fn assert_good_one_is_used_beside(mode: &str) {
    let group = Group::start(&[("hostile_server.py", &["--mode", mode]), GOOD]);
    let report = group.ask();
    assert_accepted(&report);
    assert_eq!(report.accepted(0), 0, "{report:#?}");
    assert!(report.accepted(1) > 0, "{report:#?}");
}

#[test]
fn good_server_is_used_beside_a_silent_one() {
    assert_good_one_is_used_beside("silent");
}

#[test]
fn good_server_is_used_beside_one_that_resets() {
    assert_good_one_is_used_beside("reset");
}

#[test]
fn good_server_is_used_beside_one_of_another_protocol() {
    assert_good_one_is_used_beside("wrong-alpn");
}

#[test]
fn good_server_is_used_beside_one_with_wrong_nonces() {
    assert_good_one_is_used_beside("wrong-nonce");
}

#[test]
fn two_servers_that_disagree_are_no_agreement() {
    let group = Group::start(&[("hostile_server.py", &["--mode", "lie:500"]), GOOD]);
    let report = group.ask();
    assert_eq!(report.outcome.code, Some(4), "{report:#?}");
    assert_eq!(report.json["action"], "refused", "{report:#?}");
}

#[test]
fn one_liar_of_three_is_outvoted() {
    let liar: (&str, &[&str]) = ("hostile_server.py", &["--mode", "lie:500"]);
    assert_accepted(&Group::start(&[liar, GOOD, GOOD_BY_STREAMS]).ask());
}
