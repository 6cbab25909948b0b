//! The commands that set no clock: `wait`, `check`, `explain`, `rtc`; and what is kept from run to run.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use rustix::process::geteuid;
use serde_json::Value;
use tsq_interop::{Adjtime, Outcome, Server, bin, closed_port, run, silent_port};

const PIN: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// `command` about one server, with these options.
fn about(server: &Server, command: &str, options: &[&str]) -> Vec<String> {
    let address = server.address().to_string();
    [command, "--pin", server.pin(), &address]
        .iter()
        .chain(options)
        .map(ToString::to_string)
        .collect()
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// What a run with `--json` found, by name.
fn finding<'a>(json: &'a Value, name: &str) -> Option<&'a Value> {
    let findings = json["findings"].as_array()?;
    findings.iter().find(|finding| finding["name"] == name)
}

#[track_caller]
fn assert_every_cause_has_its_fix(json: &Value) {
    for finding in json["findings"].as_array().unwrap() {
        let fine = finding["level"] == "ok";
        assert!(fine || finding["fix"].is_string(), "{finding:#}");
    }
}

// The machine may be so busy that a bound is large: what is asked is whether a second is met.

#[test]
fn wait_ends_at_once_when_the_clock_is_right() {
    let server = Server::start(&[]);
    let options = ["--max-error", "1s", "--timeout", "20s", "--json"];
    let outcome = Adjtime::run(&words(&about(&server, "wait", &options)));
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    assert_eq!(outcome.json()["action"], "none", "{outcome:#?}");
}

#[test]
fn one_sample_is_said_to_have_no_deviation() {
    let server = Server::start(&[]);
    let address = server.address().to_string();
    for (queries, words) in [
        ("1", "one sample has no standard deviation"),
        ("3", ", standard deviation "),
    ] {
        let options = ["--dry-run", "--timeout", "10000", "--queries", queries];
        let outcome = Adjtime::run(&[&options[..], &["--pin", server.pin(), &address]].concat());
        assert!(outcome.stdout.contains(words), "{outcome:#?}");
    }
}

// tsq: C3
#[test]
fn wait_asks_in_the_first_flight_of_its_later_connections() {
    let server = Server::start(&[]);
    // Nobody's clock is right to a nanosecond: it measures until the time is up.
    let options = ["--max-error", "0.000001ms", "--timeout", "8s", "--json"];
    let outcome = Adjtime::run(&words(&about(&server, "wait", &options)));
    let json = outcome.json();
    assert_eq!(json["sources"][0]["handshake"], "early", "{outcome:#?}");
    assert_eq!(json["round_trips"], 1, "{outcome:#?}");
    assert!(
        json["sources"][0]["certificate"]["key"].is_string(),
        "{outcome:#?}"
    );
}

#[test]
fn wait_needs_no_permission_to_set_the_clock() {
    let server = Server::start(&[]);
    let wait = about(&server, "wait", &["--max-error", "1s"]);
    let outcome = run_powerless(&words(&wait));
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
}

#[test]
fn wait_gives_up_on_a_wrong_clock_with_its_error() {
    let server = Server::start_at("+30s", &[]);
    let options = ["--max-error", "1s", "--timeout", "500ms", "--json"];
    let outcome = Adjtime::run(&words(&about(&server, "wait", &options)));
    assert_eq!(outcome.code, Some(5), "{outcome:#?}");
    let reason = outcome.json()["reason"].to_string();
    assert!(reason.contains("1.0 s was wanted"), "{reason}");
}

#[test]
fn wait_for_nobody_gives_up_in_time() {
    let (_socket, address) = silent_port();
    let outcome = Adjtime::run(&["wait", "--pin", PIN, "--timeout", "1500ms", &address]);
    assert_eq!(outcome.code, Some(3), "{outcome:#?}");
    assert!(
        outcome.elapsed >= Duration::from_millis(400),
        "{outcome:#?}"
    );
    // A generous limit: the default would be 30 s.
    assert!(outcome.elapsed < Duration::from_secs(15), "{outcome:#?}");
}

#[test]
fn check_ends_as_a_run_would_and_says_all() {
    let server = Server::start(&[]);
    let outcome = Adjtime::run(&words(&about(&server, "check", &[])));
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    for word in ["tsq-adjtime ", "Linux ", "trust: ", "exit code 0"] {
        assert!(outcome.stdout.contains(word), "{word}: {outcome:#?}");
    }
    let outcome = Adjtime::run(&words(&about(&server, "check", &["--json"])));
    let json = outcome.json();
    assert_eq!(json["exit_code"], 0, "{json:#}");
    assert_eq!(finding(&json, "used").unwrap()["level"], "ok", "{json:#}");

    let (_socket, closed) = closed_port();
    let outcome = Adjtime::run(&["check", "--pin", PIN, "--json", &closed]);
    assert_eq!(outcome.code, Some(3), "{outcome:#?}");
    let json = outcome.json();
    let problem = finding(&json, "port_closed").unwrap();
    assert_eq!(problem["level"], "problem", "{json:#}");
    assert_every_cause_has_its_fix(&json);
}

#[test]
fn check_ends_as_a_run_would_that_refuses() {
    let server = Server::start(&[]);
    let check = about(&server, "check", &["--json"]);
    let outcome = Adjtime::run_at("-1000s", &words(&check));
    assert_eq!(outcome.code, Some(5), "{outcome:#?}");
    assert_eq!(outcome.json()["exit_code"], 5, "{outcome:#?}");
}

#[test]
fn explain_tells_blocked_udp_by_an_open_tcp_port() {
    // The same port number for both: UDP that swallows everything, TCP that accepts.
    let (_udp, address) = silent_port();
    let Ok(_tcp) = TcpListener::bind(&address) else {
        // Somebody else has that TCP port.
        return;
    };
    let outcome = Adjtime::run(&["explain", "--pin", PIN, "--json", &address]);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    let json = outcome.json();
    let blocked = finding(&json, "udp_blocked").unwrap();
    assert_eq!(blocked["subject"], address.as_str(), "{json:#}");
    let fix = blocked["fix"].as_str().unwrap();
    assert!(fix.contains("firewall"), "{fix}");
}

#[test]
fn explain_works_without_a_server_and_for_powerless_users() {
    let outcome = run_powerless(&["explain", "--json"]);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    let json = outcome.json();
    let read_only = finding(&json, "clock_read_only").unwrap();
    assert_eq!(read_only["level"], "note", "{json:#}");
    assert_every_cause_has_its_fix(&json);
    assert!(finding(&json, "clock_settable").is_none(), "{json:#}");
}

#[test]
fn explain_says_how_far_and_which_way_the_clock_is_off() {
    let server = Server::start(&[]);
    for (shift, way) in [("-1000s", "behind"), ("+1000s", "ahead")] {
        let explain = about(&server, "explain", &["--json"]);
        let outcome = Adjtime::run_at(shift, &words(&explain));
        let json = outcome.json();
        let far_off = finding(&json, "clock_far_off").unwrap();
        let text = far_off["text"].as_str().unwrap();
        assert!(text.contains(way), "{text}");
        assert_every_cause_has_its_fix(&json);
    }
}

#[test]
fn hardware_clock_that_is_not_there_is_said_in_one_line() {
    for device in ["/nonexistent/rtc", "/dev/null"] {
        let outcome = Adjtime::run(&["rtc", "--device", device]);
        assert_eq!(outcome.code, Some(1), "{outcome:#?}");
        assert!(outcome.stderr.contains(device), "{outcome:#?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
    }
}

#[test]
fn state_folder_that_others_may_write_is_refused_before_anything_is_sent() {
    let (socket, address) = silent_port();
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let folder = folder.path().to_str().unwrap();
    let options = ["--dry-run", "--pin", PIN, "--state-dir", folder, &address];
    let outcome = Adjtime::run(&options);
    assert_eq!(outcome.code, Some(2), "{outcome:#?}");
    assert!(outcome.stderr.contains("0777"), "{outcome:#?}");
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 2048]).is_err());
}

#[test]
fn saved_clock_is_a_floor_and_a_dry_run_keeps_nothing() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("clock");
    let state = folder.path().to_str().unwrap();
    let address = server.address().to_string();
    let ask = || {
        let options = ["--state-dir", state, "--max-step-total", "1000"];
        Adjtime::dry_run(&[&options[..], &["--pin", server.pin(), &address]].concat())
    };
    let report = ask();
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert_eq!(report.json["trust"]["floor_source"], "build", "{report:#?}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    // The year 2100.
    fs::write(&saved, "tsq clock 1\n4102444800000000000\n\n").unwrap();
    let report = ask();
    assert_eq!(report.outcome.code, Some(7), "{report:#?}");
    let trust = &report.json["trust"];
    assert_eq!(trust["floor_source"], "saved_clock", "{report:#?}");
    assert_eq!(trust["before"], "unknown", "{report:#?}");
    assert_eq!(trust["refused"], "below_floor", "{report:#?}");
}

#[test]
fn step_budget_holds_in_a_dry_run_too() {
    let server = Server::start_at("+0.4s", &[]);
    let folder = tempfile::tempdir().unwrap();
    let (state, address) = (
        folder.path().to_str().unwrap(),
        server.address().to_string(),
    );
    let ask = |total: &str| {
        let options = ["--state-dir", state, "--max-step-total", total];
        Adjtime::dry_run(&[&options[..], &["--pin", server.pin(), &address]].concat())
    };
    let now = std::time::SystemTime::now();
    let now = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    // Five seconds were stepped an hour ago.
    let account = format!("tsq steps 1\n{} -5000000000\n", now - 3_600_000_000_000);
    fs::write(folder.path().join("steps"), &account).unwrap();
    let report = ask("10000");
    assert_eq!(report.json["action"], "step", "{report:#?}");
    let report = ask("5200");
    assert_eq!(report.outcome.code, Some(5), "{report:#?}");
    let reason = report.json["reason"].as_str().unwrap();
    assert!(reason.contains("past the budget"), "{reason}");
    let kept = fs::read_to_string(folder.path().join("steps")).unwrap();
    assert_eq!(kept, account);
}

/// Runs it as root by name only, as in a container.
fn run_powerless(args: &[&str]) -> Outcome {
    let mut command = if geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command
            .arg("--bounding-set=-sys_time")
            .arg(bin("tsq-adjtime"));
        command
    } else {
        Command::new(bin("tsq-adjtime"))
    };
    command.args(args);
    run(command, Duration::from_secs(20))
}
