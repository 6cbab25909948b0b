//! Signed answers and receipts, with the real programs.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tsq_interop::{Adjtime, Report, Server, bin, run};

/// Makes a key file; returns its path and that of what verifies it.
fn key(directory: &Path, id: &str, options: &[&str]) -> (String, String) {
    let file = directory.join(format!("key-{id}"));
    let mut command = Command::new(bin("tsq-certs"));
    command
        .arg("signing-key")
        .arg("--out")
        .arg(&file)
        .args(["--id", id])
        .args(options);
    assert_eq!(run(command, Duration::from_secs(10)).code, Some(0));
    let (file, public) = (
        file.to_str().unwrap().to_string(),
        format!("{}.pub", file.display()),
    );
    if Path::new(&public).exists() {
        (file, public)
    } else {
        (file.clone(), file)
    }
}

fn ask(server: &Server, options: &[&str]) -> Report {
    let address = server.address().to_string();
    Adjtime::dry_run(&[&["--pin", server.pin(), &address], options].concat())
}

#[track_caller]
fn assert_synced(report: &Report) {
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert_eq!(report.json["sources"][0]["answered"], 5, "{report:#?}");
    assert!(report.accepted(0) > 0, "{report:#?}");
    // A busy machine may delay an answer; nothing else may be held against it.
    let reasons = report.reasons(0);
    assert!(
        reasons.iter().all(|reason| *reason == "delayed"),
        "{report:#?}"
    );
}

// tsq: M4 M5 M6 T10 T13
#[test]
fn signed_answers_are_accepted_by_both_transports_and_algorithms() {
    let directory = tempfile::tempdir().unwrap();
    for (id, algorithm) in [("1", "ed25519"), ("2", "hmac-sha256")] {
        let (private, public) = key(directory.path(), id, &["--algorithm", algorithm]);
        let server = Server::start(&["--signing-key", &private]);
        for transport in ["datagram", "stream"] {
            for precision in [&[][..], &["--precision"]] {
                let options = ["--transport", transport, "--verify-key", &public];
                assert_synced(&ask(&server, &[&options, precision].concat()));
            }
        }
    }
}

// tsq: M5
#[test]
fn answers_without_the_right_signature_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (private, _) = key(directory.path(), "1", &[]);
    let (_, other) = key(&directory.path().join("."), "2", &[]);
    let strangers = tempfile::tempdir().unwrap();
    let (_, same_id) = key(strangers.path(), "1", &[]);
    let server = Server::start(&["--signing-key", &private]);
    for wrong in [&other, &same_id] {
        let report = ask(&server, &["--verify-key", wrong]);
        assert_eq!(report.outcome.code, Some(3), "{report:#?}");
        assert!(
            report
                .reasons(0)
                .iter()
                .all(|reason| *reason == "signature_invalid"),
            "{report:#?}"
        );
    }
}

// tsq: M5
#[test]
fn server_without_a_key_does_not_answer_unsigned() {
    let directory = tempfile::tempdir().unwrap();
    let (_, public) = key(directory.path(), "1", &[]);
    let server = Server::start(&[]);
    let stream = ask(&server, &["--verify-key", &public, "--transport", "stream"]);
    assert_eq!(stream.outcome.code, Some(3), "{stream:#?}");
    assert!(
        stream
            .reasons(0)
            .iter()
            .all(|reason| *reason == "server_error"),
        "{stream:#?}"
    );
    let options = [
        "--verify-key",
        &public,
        "--transport",
        "datagram",
        "--timeout",
        "400",
    ];
    let datagram = ask(&server, &options);
    assert_eq!(datagram.outcome.code, Some(3), "{datagram:#?}");
    assert!(datagram.reasons(0).is_empty(), "{datagram:#?}");
}

#[test]
fn key_is_rotated_while_clients_have_both() {
    let directory = tempfile::tempdir().unwrap();
    let (old, old_public) = key(directory.path(), "1", &[]);
    let (new, new_public) = key(directory.path(), "2", &["--valid-from", "-1h"]);
    let (next, next_public) = key(directory.path(), "3", &["--valid-from", "+10d"]);
    let server = Server::start(&[
        "--signing-key",
        &old,
        "--signing-key",
        &new,
        "--signing-key",
        &next,
    ]);
    let all = [
        "--verify-key",
        &old_public,
        "--verify-key",
        &new_public,
        "--verify-key",
        &next_public,
    ];
    assert_synced(&ask(&server, &all));
    assert_synced(&ask(&server, &["--verify-key", &new_public]));
    for not_used in [&old_public, &next_public] {
        assert_eq!(
            ask(&server, &["--verify-key", not_used]).outcome.code,
            Some(3)
        );
    }
}

#[test]
fn receipts_of_a_run_hold_and_a_changed_one_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let (private, public) = key(directory.path(), "7", &[]);
    let server = Server::start(&["--signing-key", &private]);
    let file = directory.path().join("receipts");
    let path = file.to_str().unwrap();
    for transport in ["datagram", "stream"] {
        assert_synced(&ask(
            &server,
            &[
                "--verify-key",
                &public,
                "--receipt",
                path,
                "--transport",
                transport,
            ],
        ));
    }
    let good = Adjtime::run(&["verify-receipt", path, "--key", &public]);
    assert_eq!(good.code, Some(0), "{good:#?}");
    assert!(good.stdout.contains("10 receipts hold"), "{good:#?}");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("\"t1_ns\":1", "\"t1_ns\":2", 1)).unwrap();
    let bad = Adjtime::run(&["verify-receipt", path, "--key", &public]);
    assert_eq!(bad.code, Some(1), "{bad:#?}");
    assert!(bad.stderr.contains("line 1"), "{bad:#?}");
}

// tsq: T6 T9 T11 M10
#[test]
fn clients_learn_what_the_clock_is_worth() {
    let server = Server::start(&["--stratum", "4", "--annotate", "site=here"]);
    let report = ask(&server, &[]);
    assert_synced(&report);
    assert_eq!(report.source(0, "stratum"), 4, "{report:#?}");
    let silent = ask(&server, &["--no-metadata"]);
    assert_synced(&silent);
    assert!(silent.source(0, "stratum").is_null(), "{silent:#?}");
}

#[test]
fn unusable_keys_are_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let (private, public) = key(directory.path(), "1", &[]);
    let readable = directory.path().join("readable");
    std::fs::copy(&private, &readable).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&readable, mode).unwrap();
    let readable = readable.to_str().unwrap();
    for (keys, word) in [
        (&[readable][..], "644"),
        (&[&private, &private], "1"),
        (&[&public], "1"),
        (&["/nonexistent"], "/nonexistent"),
    ] {
        let options: Vec<&str> = keys.iter().flat_map(|key| ["--signing-key", key]).collect();
        let state = directory.path().join("state");
        let outcome =
            Server::run(&[&["--state-dir", state.to_str().unwrap()], &options[..]].concat());
        assert_eq!(outcome.code, Some(3), "{outcome:#?}");
        assert!(outcome.stderr.contains(word), "{outcome:#?}");
    }
}

#[test]
fn receipt_that_cannot_be_kept_is_said_before_anything_is_sent() {
    let directory = tempfile::tempdir().unwrap();
    let (_, public) = key(directory.path(), "1", &[]);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let server = socket.local_addr().unwrap().to_string();
    let pin = "0".repeat(64);
    for path in ["/nonexistent/receipts", directory.path().to_str().unwrap()] {
        let options = [
            "--dry-run",
            "--pin",
            &pin,
            "--verify-key",
            &public,
            "--receipt",
            path,
            &server,
        ];
        let outcome = Adjtime::run(&options);
        assert_eq!(outcome.code, Some(2), "{outcome:#?}");
        assert!(outcome.stderr.contains(path), "{outcome:#?}");
        assert!(socket.recv(&mut [0; 1]).is_err(), "a packet was sent");
    }
}
