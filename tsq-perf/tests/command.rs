//! The program itself, against our server.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tsq_interop::{Outcome, Process, Server, run};

/// Runs it with these arguments, to its end.
fn perf(args: &[&str]) -> Outcome {
    run(command(args), Duration::from_secs(60))
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tsq-perf"));
    command.args(args);
    command
}

/// Its results against a server of its own, as the JSON object tells them.
fn against(server: &Server, args: &[&str]) -> (Outcome, Value) {
    let address = server.address().to_string();
    let common = [
        "--json",
        "--pin",
        server.pin(),
        "-d",
        "0.5",
        "--warm-up",
        "0",
        "--timeout",
        "9000",
        &address,
    ];
    let outcome = perf(&[args, &common[..]].concat());
    let json = serde_json::from_str(&outcome.stdout)
        .unwrap_or_else(|error| panic!("{error}: {outcome:?}"));
    (outcome, json)
}

fn count(result: &Value, name: &str) -> u64 {
    result[name]
        .as_u64()
        .unwrap_or_else(|| panic!("{name}: {result:#}"))
}

#[test]
fn every_request_of_a_closed_loop_is_answered_and_measured() {
    let server = Server::start(&[]);
    for transport in ["datagram", "stream"] {
        let (outcome, json) = against(&server, &["--transport", transport, "--threads", "2"]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let result = &json["results"][0];
        assert!(count(result, "answered") >= 50, "{result:#}");
        assert_eq!(
            count(result, "answered"),
            count(result, "sent"),
            "{result:#}"
        );
        assert_eq!(count(result, "connections"), 50);
        assert_eq!(result["refused"], serde_json::json!({}));
        assert!(
            result["offset_us"]["bound_p50"].as_f64().unwrap() > 0.0,
            "{result:#}"
        );
        let offset = result["offset_us"]["median"].as_f64().unwrap();
        let bound = result["offset_us"]["bound_max"].as_f64().unwrap();
        assert!(offset.abs() <= bound, "one clock: {result:#}");
        assert_eq!(json["server_pid"], server.process().id());
        assert!(result["server"]["cpu_us_each"].as_f64().unwrap() > 0.0);
        assert!(count(&result["server"], "resident_kib_after") > 1000);
    }
}

#[test]
fn offsets_are_those_that_follow_ups_correct_where_they_are_asked_for() {
    let server = Server::start(&["--metrics", "127.0.0.1:0"]);
    for transport in ["datagram", "stream"] {
        let args = ["--follow-up", "--transport", transport, "-c", "5"];
        let (outcome, json) = against(&server, &args);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let result = &json["results"][0];
        assert_eq!(count(result, "answered"), count(result, "sent"));
        let offset = &result["offset_us"];
        assert_eq!(offset["stamps"], "kernel+follow-up", "{result:#}");
        assert!(count(offset, "count") > 0);
        let median = offset["median"].as_f64().unwrap();
        assert!(median.abs() <= offset["bound_max"].as_f64().unwrap());
    }
    assert!(server.metric("tsq_follow_ups_total") > 0.0);
}

#[test]
fn open_loop_asks_at_its_rate_whatever_the_answers_do() {
    let server = Server::start(&[]);
    let (outcome, json) = against(&server, &["--rate", "400", "--even", "-c", "10"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let result = &json["results"][0];
    // 0.5 s at 400 a second; the first is due at once.
    assert!((199..=202).contains(&count(result, "sent")), "{result:#}");
    assert_eq!(count(result, "answered"), count(result, "sent"));
    assert_eq!(count(&result["latency_us"], "count"), count(result, "sent"));
}

#[test]
fn steps_go_on_until_the_end_that_was_set() {
    let server = Server::start(&[]);
    // No loss is too much: the second step's rate is out of reach for no machine, and it never ends by loss.
    let args = [
        "--rate",
        "5e6",
        "--steps",
        "10",
        "--max-loss",
        "100",
        "-c",
        "1",
        "-d",
        "0.1",
    ];
    let address = server.address().to_string();
    let mut all = args.to_vec();
    all.extend([
        "--json",
        "--warm-up",
        "0",
        "--timeout",
        "200",
        "--insecure",
        &address,
    ]);
    let outcome = perf(&all);
    let json: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let steps = json["results"].as_array().unwrap();
    assert_eq!(steps[0]["rate_wanted"], 5e6);
    assert_eq!(steps[1]["rate_wanted"], 5e7);
    assert!(json["sustained_rate"].as_f64().unwrap() >= 5e7);
}

#[test]
fn storm_makes_all_three_kinds_of_handshakes() {
    let server = Server::start(&[]);
    for transport in ["datagram", "stream"] {
        let args = [
            "--handshakes",
            "--mix",
            "1:2:2",
            "-c",
            "8",
            "--transport",
            transport,
        ];
        let (outcome, json) = against(&server, &args);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let result = &json["results"][0];
        for kind in ["full", "resumed", "early_accepted"] {
            assert!(count(result, kind) > 0, "{kind}: {result:#}");
        }
        assert_eq!(count(result, "answered"), count(result, "completed"));
        assert_eq!(result["failed"], serde_json::json!({}));
    }
}

#[test]
fn idle_connections_are_asked_too_and_none_ends() {
    let server = Server::start(&[]);
    let (outcome, json) = against(&server, &["--idle", "40", "-c", "2"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let idle = &json["idle"];
    assert!(count(idle, "answered") > 0);
    assert_eq!(count(idle, "answered"), count(idle, "sent"), "{idle:#}");
    assert_eq!(idle["closed"], serde_json::json!({}));
}

#[test]
fn interrupted_run_tells_the_result_so_far() {
    let server = Server::start(&[]);
    let address = server.address().to_string();
    let mut run = Process::start(command(&[
        "--insecure",
        "-d",
        "3600",
        "--warm-up",
        "0",
        &address,
    ]));
    run.wait_for(Duration::from_secs(30), |line| {
        line.contains("connections made").then_some(())
    });
    let code = run.terminate().code();
    let lines = run.lines();
    let told = lines.iter().any(|line| line.starts_with("Interrupted"));
    // It may be so early that nothing was answered yet.
    assert!(
        told && (code == Some(0) || code == Some(3)),
        "{code:?} {lines:?}"
    );
}

#[test]
fn what_goes_wrong_is_one_line_and_its_exit_code() {
    let server = Server::start(&[]);
    let address = server.address().to_string();
    let nobody = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = nobody.to_string();
    let pin = "00".repeat(32);
    for (args, code, words) in [
        (&["--insecure", "a b"][..], 2, "names no server"),
        (
            &["--insecure", "-c", "2", "--threads", "3", &address],
            2,
            "3 threads",
        ),
        (&["--ca", "/nonexistent", &address], 2, "/nonexistent"),
        (
            &["--insecure", "--server-pid", "4294967295", &address],
            2,
            "--server-pid",
        ),
        (&["--insecure", &nobody], 3, "nothing listens"),
        (
            &["--insecure", "--handshakes", "-d", "1", &nobody],
            3,
            "nothing listens",
        ),
        (&["--pin", &pin, &address], 7, server.pin()),
        (
            &["--pin", &pin, "--handshakes", "-d", "1", &address],
            7,
            server.pin(),
        ),
        // A server without a signing key has no answer to this.
        (
            &["--insecure", "--json", "--signed", "-d", "0.2", &address],
            3,
            "--signing-key",
        ),
    ] {
        let outcome = perf(args);
        assert_eq!(outcome.code, Some(code), "{args:?}: {outcome:?}");
        assert!(outcome.stderr.contains(words), "{args:?}: {outcome:?}");
        assert!(outcome.stderr.lines().count() <= 1, "{outcome:?}");
    }
}
