//! `tsq-server` from start to end: what it refuses to start with, what it keeps, how it stops.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use tsq_interop::{Adjtime, Certs, Impairment, Outcome, Peer, Relay, Server, ServerCert};

/// It must say what is wrong in one line, and not serve for a moment.
#[track_caller]
fn assert_refused(outcome: &Outcome, code: i32, words: &[&str]) {
    assert_eq!(outcome.code, Some(code), "{outcome:#?}");
    assert!(!outcome.stderr.contains("listening"), "{outcome:#?}");
    for words in words {
        assert!(outcome.stderr.contains(words), "no {words} in {outcome:#?}");
    }
}

fn run_with(files: &ServerCert) -> Outcome {
    let listen = ["--listen", "127.0.0.1:0"];
    let identity = ["--cert", &files.cert, "--key", &files.key];
    Server::run(
        &[
            listen,
            [identity[0], identity[1]],
            [identity[2], identity[3]],
        ]
        .concat(),
    )
}

#[test]
fn taken_port_exits_4_and_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let state = tempfile::tempdir().unwrap();
    let state = state.path().to_str().unwrap();
    let outcome = Server::run(&["--listen", &address, "--state-dir", state]);
    assert_refused(&outcome, 4, &[&address, "another program has the port"]);
}

#[test]
fn port_of_a_running_server_exits_4() {
    let first = Server::start(&[]);
    let address = first.address().to_string();
    let state = tempfile::tempdir().unwrap();
    let state = state.path().to_str().unwrap();
    let outcome = Server::run(&["--listen", &address, "--state-dir", state]);
    assert_refused(&outcome, 4, &[&address]);
}

#[test]
fn unusable_certificate_or_key_exits_3_and_names_the_file() {
    let certs = Certs::new();
    let good = certs.server("good", "127.0.0.1", &[]);
    let other = certs.server("other", "127.0.0.1", &[]);
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.pem");
    fs::write(&garbage, "-----BEGIN NONSENSE-----\n").unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_string();
    let missing = path(&folder.path().join("missing.pem"));
    let with_key = |key: &str| ServerCert {
        cert: good.cert.clone(),
        key: key.to_string(),
    };
    let with_cert = |cert: &str| ServerCert {
        cert: cert.to_string(),
        key: good.key.clone(),
    };
    for (files, words) in [
        (with_key(&missing), missing.as_str()),
        (with_key(&path(&garbage)), "garbage.pem"),
        (with_key(&good.cert), &good.cert),
        (with_key(&other.key), "not the key of the certificate"),
        (with_cert(&missing), &missing),
        (with_cert(&path(&garbage)), "garbage.pem"),
    ] {
        assert_refused(&run_with(&files), 3, &[words]);
    }
}

/// The clock may be what is wrong, and a server that does not start cannot serve when it is right.
#[test]
fn certificate_outside_its_lifetime_is_a_warning_and_the_server_starts() {
    let certs = Certs::new();
    let expired = ["--not-before", "2020-01-01", "--not-after", "2021-02-03"];
    let expired = certs.server("expired", "127.0.0.1", &expired);
    let early = ["--not-before", "+10d", "--not-after", "+20d"];
    let early = certs.server("early", "127.0.0.1", &early);
    for (files, words) in [
        (&expired, "expired on Feb  3"),
        (&early, "not valid before"),
    ] {
        let pair = ["--cert", files.cert.as_str(), "--key", &files.key];
        let checked = Server::run(&[&pair[..], &["--check"]].concat());
        assert_eq!(checked.code, Some(0), "{checked:#?}");
        assert!(checked.stderr.contains(words), "{checked:#?}");
        let server = Server::start(&pair);
        let warning = |line: &String| line.contains("WARN") && line.contains(words);
        let lines = server.process().lines();
        assert!(lines.iter().any(warning), "{lines:#?}");
    }
}

#[test]
fn certificate_without_its_key_exits_2() {
    let outcome = Server::run(&["--cert", "cert.pem"]);
    assert_refused(&outcome, 2, &["--key"]);
    let outcome = Server::run(&["--key", "key.pem"]);
    assert_refused(&outcome, 2, &["--cert"]);
}

#[test]
fn half_a_kept_certificate_exits_3_and_is_left_alone() {
    let state = tempfile::tempdir().unwrap();
    drop(Server::start_in(state.path(), &[]));
    let key = state.path().join("key.pem");
    fs::remove_file(&key).unwrap();
    let directory = state.path().to_str().unwrap();
    let outcome = Server::run(&["--listen", "127.0.0.1:0", "--state-dir", directory]);
    assert_refused(&outcome, 3, &["key.pem"]);
    assert!(!key.exists());
}

#[test]
fn made_certificate_is_private_and_kept_across_a_clean_end_and_a_kill() {
    let state = tempfile::tempdir().unwrap();
    let first = Server::start_in(state.path(), &[]);
    let pin = first.pin().to_string();
    let key = state.path().join("key.pem");
    let mode = fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(first.terminate().code(), Some(0));

    let second = Server::start_in(state.path(), &[]);
    assert_eq!(second.pin(), pin);
    drop(second); // by SIGKILL

    let third = Server::start_in(state.path(), &[]);
    assert_eq!(third.pin(), pin);
    let address = third.address().to_string();
    let report = Adjtime::dry_run(&["--pin", &pin, &address]);
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
}

#[test]
fn made_certificate_carries_the_names_asked_for() {
    let state = tempfile::tempdir().unwrap();
    let server = Server::start_in(
        state.path(),
        &["--name", "time.example", "--name", "127.0.0.1"],
    );
    let cert = state.path().join("cert.pem");
    let address = server.address().to_string();
    let ca = ["--ca", cert.to_str().unwrap()];
    for name in ["time.example", "127.0.0.1"] {
        let report = Adjtime::dry_run(&[&ca[..], &["--server-name", name, &address]].concat());
        assert_eq!(report.outcome.code, Some(0), "{name}: {report:#?}");
    }
    let report = Adjtime::dry_run(&[&ca[..], &["--server-name", "localhost", &address]].concat());
    assert_eq!(report.outcome.code, Some(7), "{report:#?}");
}

#[test]
fn sigterm_ends_it_at_once_with_0_while_a_client_is_connected() {
    let server = Server::start(&["--log-level", "debug"]);
    let direct = Impairment::round_trip(Duration::ZERO);
    let relay = Relay::start(server.address(), direct).unwrap();
    // The peer keeps its connection until it has asked all this.
    let client = std::thread::scope(|scope| {
        let address = relay.address();
        let options = ["--insecure", "--count", "100000", "--timeout", "0.5"];
        let client = scope.spawn(move || Peer::run("stream_client.py", address, &options));
        let begun = Instant::now();
        while relay.counters().forwarded < MORE_THAN_A_HANDSHAKE {
            assert!(begun.elapsed() < Duration::from_secs(30), "no client came");
            std::thread::sleep(Duration::from_millis(5));
        }
        let begun = Instant::now();
        assert_eq!(server.terminate().code(), Some(0));
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(5), "took {took:?}");
        client.join().unwrap()
    });
    let report = client.json();
    assert!(report["answered"].as_u64().unwrap() > 0, "{client:#?}");
    let closed = report["closed"].as_str().unwrap();
    assert!(closed.contains("shutting down"), "{client:#?}");
}

/// A log that cannot be written must not end the service, nor change how it ends.
#[test]
fn server_without_a_readable_log_serves_on() {
    let state = tempfile::tempdir().unwrap();
    let first = Server::start_in(state.path(), &[]);
    let (address, pin) = (first.address().to_string(), first.pin().to_string());
    assert!(first.terminate().success());
    let mut server = std::process::Command::new(tsq_interop::bin("tsq-server"))
        .args([
            "--serve-unsynchronised",
            "--log-level",
            "trace",
            "--listen",
            &address,
            "--state-dir",
        ])
        .arg(state.path())
        .stderr(fs::File::options().write(true).open("/dev/full").unwrap())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let report = loop {
        let report = Adjtime::dry_run(&["--pin", &pin, &address]);
        if report.outcome.code == Some(0) || begun.elapsed() > Duration::from_secs(5) {
            break report;
        }
    };
    let ended = server.try_wait().unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert_eq!(ended, None, "it must still serve");
}

/// Packets, both ways; after so many the client is in the middle of its queries.
const MORE_THAN_A_HANDSHAKE: u64 = 40;
