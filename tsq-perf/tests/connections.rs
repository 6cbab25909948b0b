//! Connections that a server refuses or that end, and what the server sees of a run's end.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tsq_interop::{Certs, Outcome, Process, Server, ServerCert, run};

const METRICS: &[&str] = &["--metrics", "127.0.0.1:0"];
const LIMIT: Duration = Duration::from_secs(60);

fn command(server: &Server, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tsq-perf"));
    let address = server.address().to_string();
    command.args(["--warm-up", "0.1"]).args(args).arg(address);
    for (option, value) in [("-d", "0.3"), ("--timeout", "9000")] {
        if !args.contains(&option) {
            command.args([option, value]);
        }
    }
    command
}

fn perf(server: &Server, args: &[&str]) -> Outcome {
    run(command(server, args), LIMIT)
}

#[track_caller]
fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome:?}"))
}

/// All of the counts of an object's reasons.
fn sum(reasons: &Value) -> u64 {
    let reasons = reasons.as_object().expect("an object of reasons");
    reasons.values().filter_map(Value::as_u64).sum()
}

#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < LIMIT, "never: {what}");
    }
}

/// Of the server's connections, those that the client has ended; an idle one is counted elsewhere.
fn closed_by_client(server: &Server) -> f64 {
    server.metric(r#"tsq_connections_closed_total{reason="client"}"#)
}

#[test]
fn connections_over_the_limit_are_counted_and_change_the_exit_code() {
    let limited = ["--max-connections-per-ipv4", "5"];
    let server = Server::start(&[&limited, METRICS].concat());
    let outcome = perf(&server, &["--insecure", "--json", "-c", "40"]);
    assert_eq!(outcome.code, Some(5), "{outcome:?}");
    let json = json(&outcome);
    let all = &json["connections"];
    assert_eq!(all["wanted"], 40, "{json:#}");
    let alive = all["alive"].as_u64().expect("a count");
    // Now and then one over the limit is let in.
    assert!(alive >= 5, "{json:#}");
    assert!(sum(&all["refused"]) > 0, "{json:#}");
    let ended = sum(&all["refused"]) + sum(&all["closed"]);
    assert_eq!(alive + ended, 40, "{json:#}");
    assert_eq!(json["exit_code"], 5);
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    assert!(outcome.stderr.contains("refused"), "{outcome:?}");

    // Those that are ending still count for their network.
    until("all have gone", || server.metric("tsq_connections") == 0.0);
    let outcome = perf(&server, &["--insecure", "-c", "40", "--threads", "2"]);
    assert_eq!(outcome.code, Some(5), "{outcome:?}");
    assert!(
        outcome.stdout.contains("of 40 connections made"),
        "{outcome:?}"
    );
    assert!(outcome.stdout.contains("refused: "), "{outcome:?}");
}

#[test]
fn idle_connections_over_the_limit_are_counted_too() {
    let server = Server::start(&["--max-connections-per-ipv4", "5"]);
    let outcome = perf(
        &server,
        &["--insecure", "--json", "-c", "1", "--idle", "40"],
    );
    let json = json(&outcome);
    assert!(sum(&json["idle"]["connections"]["refused"]) > 0, "{json:#}");
    assert!(matches!(outcome.code, Some(3 | 5)), "{outcome:?}");
}

#[test]
fn client_certificate_is_shown_and_a_run_without_one_still_prints_its_object() {
    let certs = Certs::new();
    let authority = certs.ca();
    let server = Server::start(&["--client-ca", &authority]);
    for handshakes in [&[][..], &["--handshakes"]] {
        let without = perf(
            &server,
            &[handshakes, &["--insecure", "--json", "-c", "2"]].concat(),
        );
        assert_eq!(without.code, Some(3), "{without:?}");
        let told = json(&without);
        assert_eq!(told["exit_code"], 3);
        assert!(told["problem"].as_str().is_some_and(|it| !it.is_empty()));
        assert_eq!(without.stderr.lines().count(), 1, "{without:?}");
    }
    let ServerCert { cert, key } = certs.client("somebody");
    for handshakes in [&[][..], &["--handshakes"]] {
        let shown = ["--insecure", "--client-cert", &cert, "--client-key", &key];
        let with = perf(&server, &[handshakes, &shown, &["-c", "2"]].concat());
        assert_eq!(with.code, Some(0), "{with:?}");
    }
    let unusable = ["--insecure", "--client-cert", &key, "--client-key", &key];
    assert_eq!(perf(&server, &unusable).code, Some(2));
}

#[test]
fn every_end_of_a_run_closes_its_connections() {
    let server = Server::start(METRICS);
    let mut closed = 0.0;
    let mut seven_more = |how: &str| {
        closed += 7.0;
        until(how, || closed_by_client(&server) >= closed);
        assert_eq!(closed_by_client(&server), closed, "{how}");
    };
    let (few, idle) = (["--insecure", "-c", "3"], ["--idle", "4"]);
    let outcome = perf(&server, &[&few[..], &idle].concat());
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    seven_more("the end");
    // A server without a signing key answers none of these.
    let outcome = perf(
        &server,
        &[&few[..], &idle, &["--signed", "--timeout", "100"]].concat(),
    );
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    seven_more("a failure");
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let long = ["-d", "3600"];
        let mut child = Process::start(command(&server, &[&few[..], &idle, &long].concat()));
        child.wait_for(LIMIT, |line| {
            line.contains("connections made").then_some(())
        });
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        kill_process(id.expect("a process id"), signal).expect("it runs");
        child.wait_for_end(LIMIT);
        seven_more(&format!("{signal:?}"));
    }
}

#[test]
fn reader_that_has_gone_ends_a_run_quietly() {
    let server = Server::start(&[]);
    for form in [&[][..], &["--json"]] {
        let mut command = command(&server, &[form, &["--insecure", "-c", "2"]].concat());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!told.contains("panicked"), "{told}");
        assert!(!told.contains("standard output"), "{told}");
    }
}
