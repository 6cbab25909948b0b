//! Programs whose reader has gone: `tsq-certs pin cert.pem | true`.

use std::fs::File;
use std::process::{Command, Stdio};

use tsq_interop::{Certs, Server, bin};

/// Runs it with a closed standard output; gives its exit code and what it says on standard error.
fn without_a_reader(mut command: Command) -> (Option<i32>, String) {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), told)
}

#[test]
fn every_program_ends_quietly_when_nobody_reads_it() {
    let certs = Certs::new();
    let server = Server::start(&[]);
    let address = server.address().to_string();
    let reach = ["--pin", server.pin(), "--timeout", "10s", &address];
    let ca = certs.ca();
    for (program, words, code) in [
        ("tsq-certs", vec!["pin", ca.as_str()], 0),
        ("tsq-server", vec!["--print-config"], 0),
        ("tsq-adjtime", [&["check"], &reach[..]].concat(), 0),
        ("tsq-adjtime", [&["explain"], &reach[..]].concat(), 0),
        (
            "tsq-adjtime",
            [&["wait", "--max-error", "1s"], &reach[..]].concat(),
            0,
        ),
        // Its only line says where it listens; as a signal would have ended it.
        (
            "tsq-relay",
            vec!["--listen", "127.0.0.1:0", "--upstream", &address],
            128 + 13,
        ),
    ] {
        let mut command = match program {
            "tsq-relay" => Command::new(env!("CARGO_BIN_EXE_tsq-relay")),
            _ => Command::new(bin(program)),
        };
        command.args(&words);
        let (found, told) = without_a_reader(command);
        assert_eq!(found, Some(code), "{program} {words:?}: {told}");
        assert_eq!(told, "", "{program} {words:?}");
    }
}

#[test]
fn full_output_is_one_line_and_a_failure() {
    let certs = Certs::new();
    let server = Server::start(&[]);
    let address = server.address().to_string();
    let reach = ["--pin", server.pin(), "--timeout", "9s", &address];
    let ca = certs.ca();
    for (program, words) in [
        ("tsq-certs", vec!["pin", ca.as_str()]),
        ("tsq-server", vec!["--print-config"]),
        ("tsq-adjtime", [&["--dry-run"], &reach[..]].concat()),
        ("tsq-adjtime", [&["check", "--json"], &reach[..]].concat()),
        ("tsq-adjtime", [&["explain"], &reach[..]].concat()),
        ("tsq-adjtime", vec!["self-test", "--queries", "1", "--json"]),
        (
            "tsq-perf",
            [&["-d", "1", "--warm-up", "0", "--json"], &reach[..]].concat(),
        ),
    ] {
        let output = Command::new(bin(program))
            .args(&words)
            .stdout(File::options().write(true).open("/dev/full").unwrap())
            .output()
            .expect("it ends");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{program} {words:?}: {told}");
        assert!(
            told.contains("standard output: No space left on device"),
            "{program} {words:?}: {told}"
        );
        assert_eq!(told.lines().count(), 1, "{program} {words:?}: {told}");
    }
}
