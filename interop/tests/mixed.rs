//! Good servers among bad ones: the good are used, and each bad one is called what it is.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::time::Duration;

use tsq_interop::{Adjtime, Outcome, Peer, Report, Server, closed_port, silent_port};

const TIMEOUT: Duration = Duration::from_millis(1000);
/// What a run may take beyond its `--timeout`.
const OVERHEAD: Duration = Duration::from_millis(500);

fn arguments<'a>(pins: &[&'a str], servers: &[&'a str]) -> Vec<&'a str> {
    let pins = pins.iter().flat_map(|pin| ["--pin", *pin]);
    let timeout = ["--timeout", "1000"];
    pins.chain(timeout).chain(servers.iter().copied()).collect()
}

fn ask(pins: &[&str], servers: &[&str]) -> Report {
    Adjtime::dry_run(&arguments(pins, servers))
}

#[track_caller]
fn assert_verdicts(report: &Report, verdicts: &[&str]) {
    let told: Vec<_> = (0..verdicts.len())
        .map(|index| report.source(index, "verdict").as_str().unwrap())
        .collect();
    assert_eq!(told, verdicts, "{report:#?}");
    for (index, verdict) in told.iter().enumerate() {
        let reason = report.source(index, "reason");
        assert_eq!(reason.is_null(), *verdict == "used", "{report:#?}");
    }
}

#[test]
fn one_good_server_among_all_kinds_of_bad_ones_is_used() {
    let good = Server::start(&[]);
    let untrusted = Server::start(&[]);
    let liar = Peer::start("hostile_server.py", &["--mode", "swapped"]);
    let stranger = Peer::start("hostile_server.py", &["--mode", "wrong-alpn"]);
    let ((_silent, silent), (_closed, closed)) = (silent_port(), closed_port());
    let others = [
        &untrusted.address(),
        &liar.address(),
        &stranger.address(),
        &good.address(),
    ];
    let others = others.map(ToString::to_string);
    let mut servers = vec![silent.as_str(), &closed];
    servers.extend(others.iter().map(String::as_str));
    servers.push("nonexistent.invalid");

    let pins = [good.pin(), liar.pin(), stranger.pin()];
    let report = ask(&pins, &servers);
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert!(report.offset_ms().unwrap().abs() < 50.0, "{report:#?}");
    assert_eq!(report.source(5, "answered"), 5, "{report:#?}");
    assert!(report.outcome.elapsed < TIMEOUT + OVERHEAD, "{report:#?}");
    assert_verdicts(
        &report,
        &[
            "silent",
            "port_closed",
            "certificate_wrong_pin",
            "unanswered",
            "not_tsq",
            "used",
            "name_unresolved",
        ],
    );
}

#[test]
fn name_that_does_not_resolve_is_said_so_and_costs_no_time() {
    let good = Server::start(&[]);
    let address = good.address().to_string();
    let report = ask(&[good.pin()], &["nonexistent.invalid", &address]);
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert_verdicts(&report, &["name_unresolved", "used"]);
    let alone = ask(&[good.pin()], &["nonexistent.invalid"]);
    assert_eq!(alone.outcome.code, Some(3), "{alone:#?}");
    assert!(alone.outcome.elapsed < TIMEOUT + OVERHEAD, "{alone:#?}");
    let reason = alone.source(0, "reason").as_str().unwrap();
    assert!(reason.contains("name"), "{reason}");
}

#[test]
fn one_clock_of_three_that_is_off_by_half_a_second_is_a_falseticker() {
    let (first, second) = (Server::start(&[]), Server::start(&[]));
    let liar = Peer::start("hostile_server.py", &["--mode", "lie:500"]);
    let servers = [first.address(), liar.address(), second.address()].map(|a| a.to_string());
    let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
    let pins = [first.pin(), liar.pin(), second.pin()];
    let report = ask(&pins, &servers);
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert!(report.offset_ms().unwrap().abs() < 50.0, "{report:#?}");
    assert_verdicts(&report, &["used", "falseticker", "used"]);

    let words = [&["--dry-run"], &arguments(&pins, &servers)[..]].concat();
    let outcome: Outcome = Adjtime::run(&words);
    let line = outcome
        .stdout
        .lines()
        .find(|line| line.contains("falseticker"))
        .unwrap();
    assert!(line.contains(servers[1]), "{outcome:#?}");
}

/// Two right clocks, and two that agree with each other on a wrong one: nobody can tell.
#[test]
fn two_against_two_is_no_agreement() {
    let right = [Server::start(&[]), Server::start(&[])];
    let wrong = [
        Server::start_at("+0.5s", &[]),
        Server::start_at("+0.5s", &[]),
    ];
    let all: Vec<&Server> = right.iter().chain(&wrong).collect();
    let servers: Vec<String> = all.iter().map(|s| s.address().to_string()).collect();
    let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
    let pins: Vec<&str> = all.iter().map(|server| server.pin()).collect();
    let report = ask(&pins, &servers);
    assert_eq!(report.outcome.code, Some(4), "{report:#?}");
    assert_verdicts(&report, &["unresolved"; 4]);
}

/// Answers far off vote too: left out one by one, they would leave the field to the liar.
#[test]
fn one_liar_near_a_very_wrong_clock_does_not_outvote_three_right_servers() {
    let right = [Server::start(&[]), Server::start(&[]), Server::start(&[])];
    let liar = Server::start_at("-432000", &[]);
    let pins: Vec<&str> = right.iter().chain([&liar]).map(Server::pin).collect();
    let addresses: Vec<String> = right
        .iter()
        .chain([&liar])
        .map(|server| server.address().to_string())
        .collect();
    let servers: Vec<&str> = addresses.iter().map(String::as_str).collect();
    // Five days behind, and the liar agrees with that.
    let report = Adjtime::dry_run_at("-432000.3", &arguments(&pins, &servers));
    assert_eq!(report.outcome.code, Some(5), "{report:#?}");
    assert!(
        (report.offset_ms().unwrap() - 432_000_300.0).abs() < 50.0,
        "{report:#?}"
    );
    assert_verdicts(&report, &["used", "used", "used", "falseticker"]);
}

#[test]
fn server_named_twice_has_one_vote() {
    let honest = Server::start(&[]);
    let liar = Peer::start("hostile_server.py", &["--mode", "lie:300"]);
    let (one, two) = (honest.address().to_string(), liar.address().to_string());
    let again = format!("localhost:{}", liar.address().port());
    let report = ask(&[honest.pin(), liar.pin()], &[&one, &two, &again]);
    assert_eq!(report.outcome.code, Some(4), "{report:#?}");
    assert_verdicts(&report, &["unresolved", "unresolved", "duplicate"]);
}

#[test]
fn thousand_queries_are_answered_without_a_flood() {
    let server = Server::start(&[]);
    let address = server.address().to_string();
    let report = Adjtime::dry_run(&["--pin", server.pin(), "--queries", "1000", &address]);
    assert_eq!(report.source(0, "answered"), 1000, "{report:#?}");
    let sent = report.source(0, "sent").as_u64().unwrap();
    assert!(sent < 1100, "{sent} queries sent for 1000 samples");
}
