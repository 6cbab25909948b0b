//! Whatever a command ends with but 0, standard error says why; and with `--json` the promise about the object holds.

use std::fs;
use std::process::Command;
use std::time::Duration;

use tsq_interop::{Adjtime, Outcome, Server, bin, closed_port, run};

const PIN: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// README: with 1, 2 and 6 nothing was measured and there is no object, with the others there is one.
#[track_caller]
fn assert_end(outcome: &Outcome, code: i32, json: bool) {
    assert_eq!(outcome.code, Some(code), "{outcome:#?}");
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    let [line] = lines[..] else {
        panic!("not one line on standard error: {outcome:#?}");
    };
    let words = line.strip_prefix("tsq-adjtime: ").unwrap_or_default();
    assert!(words.len() > 10, "{outcome:#?}");
    if json && ![1, 2, 6].contains(&code) {
        assert!(outcome.json().is_object(), "{outcome:#?}");
    } else if json {
        assert_eq!(outcome.stdout, "", "{outcome:#?}");
    }
}

/// Runs it twice: for people and for programs.
#[track_caller]
fn assert_ends(words: &[&str], code: i32) {
    assert_end(&Adjtime::run(words), code, false);
    assert_end(&Adjtime::run(&[words, &["--json"]].concat()), code, true);
}

#[test]
fn no_answer_is_said_on_standard_error_by_every_command() {
    let (_socket, closed) = closed_port();
    for command in [
        &["--dry-run"][..],
        &["check"],
        &["wait", "--timeout", "300ms"],
    ] {
        let words = [command, &["--pin", PIN, &closed]].concat();
        assert_ends(&words, 3);
        let outcome = Adjtime::run(&words);
        assert!(outcome.stderr.contains("nothing listens"), "{outcome:#?}");
    }
}

#[test]
fn several_servers_without_an_answer_are_each_named_in_the_line() {
    let (first, second) = (closed_port(), closed_port());
    let words = ["--dry-run", "--pin", PIN, &first.1, &second.1];
    let outcome = Adjtime::run(&words);
    assert_end(&outcome, 3, false);
    for address in [&first.1, &second.1] {
        assert!(outcome.stderr.contains(address.as_str()), "{outcome:#?}");
    }
}

#[test]
fn disagreement_and_limits_and_refused_certificates_are_said_on_standard_error() {
    let (right, wrong) = (Server::start(&[]), Server::start_at("+30s", &[]));
    let addresses = [right.address().to_string(), wrong.address().to_string()];
    let pins = ["--pin", right.pin(), "--pin", wrong.pin()];
    let both = [&pins[..], &[&addresses[0], &addresses[1]]].concat();
    let fast = ["--pin", wrong.pin(), &addresses[1]];
    let refused = ["--pin", PIN, &addresses[0]];
    for (asked, code) in [(&both[..], 4), (&fast, 5), (&refused, 7)] {
        for command in ["--dry-run", "check"] {
            assert_ends(&[&[command], asked].concat(), code);
        }
    }
    assert_ends(&[&["wait", "--timeout", "1s"], &fast[..]].concat(), 5);
}

#[test]
fn what_ends_before_anything_is_asked_says_so_and_prints_no_object() {
    assert_ends(&["rtc", "--device", "/nonexistent/rtc"], 1);
    for words in [
        &["--dry-run", "https://time.example", "--pin", PIN][..],
        &["--dry-run", "127.0.0.1:1", "--ca", "/nonexistent/ca.pem"],
        &[
            "--dry-run",
            "127.0.0.1:1",
            "--ca",
            "/dev/null",
            "--server-name",
            "[::1]",
        ],
        &["check", "a b", "--pin", PIN],
        &["wait", "a b", "--pin", PIN],
        &["explain", "a b", "--pin", PIN],
    ] {
        assert_ends(words, 2);
    }
}

/// No roots at all: nothing was asked, so there is no answer to be refused, and no object to promise.
#[test]
fn host_without_root_certificates_ends_with_2_and_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let (none, damaged) = (folder.path().join("none"), folder.path().join("damaged"));
    fs::write(&none, "").unwrap();
    let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    fs::write(&damaged, pem).unwrap();
    for (roots, words) in [(&none, "no usable root"), (&damaged, "damaged")] {
        for command in ["--dry-run", "check", "wait"] {
            let mut child = Command::new(bin("tsq-adjtime"));
            child.args([command, "--json", "127.0.0.1:1"]);
            child.env("SSL_CERT_FILE", roots).env_remove("SSL_CERT_DIR");
            let outcome = run(child, Duration::from_secs(30));
            assert_end(&outcome, 2, true);
            assert!(outcome.stderr.contains(words), "{outcome:#?}");
            let file = roots.to_str().unwrap();
            assert!(outcome.stderr.contains(file), "{outcome:#?}");
        }
    }
    let path = damaged.to_str().unwrap();
    let outcome = Adjtime::run(&["--dry-run", "--ca", path, "127.0.0.1:1"]);
    assert_end(&outcome, 2, false);
    for words in [path, "line 1: "] {
        assert!(outcome.stderr.contains(words), "{outcome:#?}");
    }
}

#[test]
fn good_ends_say_nothing_on_standard_error() {
    let server = Server::start(&[]);
    let address = server.address().to_string();
    for command in [
        &["--dry-run", "--max-offset", "none"][..],
        &["explain"],
        &["wait", "--max-error", "10s"],
    ] {
        let outcome = Adjtime::run(&[command, &["--pin", server.pin(), &address]].concat());
        assert_eq!(outcome.code, Some(0), "{outcome:#?}");
        assert_eq!(outcome.stderr, "", "{outcome:#?}");
    }
}

/// Two servers that disagree: whoever is asked which is right sees both offsets.
#[test]
fn explain_shows_each_offset_of_servers_that_disagree() {
    let (right, wrong) = (Server::start(&[]), Server::start_at("+30s", &[]));
    let addresses = [right.address().to_string(), wrong.address().to_string()];
    let pins = ["--pin", right.pin(), "--pin", wrong.pin()];
    let asked = [&["explain"], &pins[..], &[&addresses[0], &addresses[1]]].concat();
    let outcome = Adjtime::run(&asked);
    for address in &addresses {
        let line = outcome
            .stdout
            .lines()
            .find(|line| line.starts_with(&format!("{address}: ")))
            .unwrap();
        assert!(line.contains("the clock's offset from it is"), "{line}");
        assert!(line.contains(" ± "), "{line}");
    }
    let servers = outcome
        .stdout
        .lines()
        .find(|line| line.starts_with("servers: "));
    let servers = servers.unwrap();
    assert!(addresses.iter().all(|it| servers.contains(it)), "{servers}");
    assert!(outcome.stdout.contains("third server"), "{outcome:#?}");
}

/// The other programs: none of their failures is silent either.
#[test]
fn every_other_program_says_why_it_fails() {
    let (_socket, closed) = closed_port();
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().to_str().unwrap();
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let listen = ["--listen", &taken, "--state-dir", kept, "--no-sandbox"];
    let cert = [
        "--check",
        "--cert",
        "/nonexistent/c",
        "--key",
        "/nonexistent/k",
    ];
    for (program, words, code) in [
        ("tsq-server", &["--cert", "c"][..], 2),
        ("tsq-server", &["--holdover", "soon"], 2),
        ("tsq-server", &["--config", "/nonexistent/c.toml"], 2),
        ("tsq-server", &cert, 3),
        ("tsq-server", &listen, 4),
        ("tsq-perf", &["--pin", "x", "a"], 2),
        ("tsq-perf", &["https://a", "--pin", PIN], 2),
        (
            "tsq-perf",
            &["--pin", PIN, "--server-name", "[::1]", "::1"],
            2,
        ),
        ("tsq-perf", &["--pin", PIN, &closed], 3),
        ("tsq-certs", &["pin", "/nonexistent/c"], 1),
        (
            "tsq-certs",
            &["self-signed", "--out", kept, "--name", "a b"],
            2,
        ),
    ] {
        let mut command = Command::new(bin(program));
        command.args(words);
        let outcome = run(command, Duration::from_secs(60));
        assert_eq!(
            outcome.code,
            Some(code),
            "{program} {words:?}: {outcome:#?}"
        );
        let says = outcome.stderr.lines().any(|line| line.len() > 10);
        assert!(says, "{program} {words:?}: {outcome:#?}");
    }
}
