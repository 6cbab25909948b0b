//! Every documented exit code of `tsq-adjtime`, each by what causes it.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::geteuid;
use tsq_interop::{
    Adjtime, Certs, Outcome, Peer, Report, Server, bin, closed_port, run, silent_port,
};

/// What a run may take beyond its `--timeout`.
const OVERHEAD: Duration = Duration::from_millis(500);

fn ask(server: &Server, options: &[&str]) -> Report {
    let address = server.address().to_string();
    Adjtime::dry_run(&[&["--pin", server.pin(), &address], options].concat())
}

#[track_caller]
fn assert_got_nothing(socket: &UdpSocket) {
    socket.set_nonblocking(true).unwrap();
    let error = socket.recv(&mut [0; 2048]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

const PIN: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn dry_run_exits_0_and_prints_one_object_and_nothing_else() {
    let server = Server::start(&[]);
    let report = ask(&server, &[]);
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert_eq!(report.outcome.stdout.lines().count(), 1, "{report:#?}");
    assert_eq!(report.outcome.stderr, "", "{report:#?}");
    assert_eq!(report.json["dry_run"], true, "{report:#?}");
    assert_eq!(report.json["exit_code"], 0, "{report:#?}");
    assert_eq!(report.source(0, "answered"), 5, "{report:#?}");
}

#[test]
fn wrong_usage_exits_2_with_a_reason_and_sends_nothing() {
    let (socket, address) = silent_port();
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    fs::write(&empty, "no certificate here\n").unwrap();
    let empty = empty.to_str().unwrap();
    for (words, reason) in [
        (&[][..], "SERVER"),
        (&["time example", "--pin", PIN], "names no server"),
        (&["[::1", "--pin", PIN], "bracket"),
        (&["127.0.0.1:0", "--pin", PIN], "port"),
        (&[&address, "--pin", "abc"], "--pin"),
        (&[&address, "--insecure"], "--dry-run"),
        (
            &[&address, "--ca", "/nonexistent/ca.pem"],
            "/nonexistent/ca.pem",
        ),
        (&[&address, "--ca", empty], "no PEM section"),
        (&[&address, "--max-offset", "soon"], "--max-offset"),
    ] {
        let outcome = Adjtime::run(words);
        assert_eq!(outcome.code, Some(2), "{words:?}: {outcome:#?}");
        assert!(outcome.stderr.contains(reason), "{words:?}: {outcome:#?}");
        assert_eq!(outcome.stdout, "", "{words:?}: {outcome:#?}");
    }
    assert_got_nothing(&socket);
}

#[test]
fn closed_port_exits_3_at_once() {
    let (_socket, address) = closed_port();
    let report = Adjtime::dry_run(&["--pin", PIN, &address]);
    assert_eq!(report.outcome.code, Some(3), "{report:#?}");
    assert_eq!(report.source(0, "verdict"), "port_closed", "{report:#?}");
    // The default timeout is 3 s.
    assert!(report.outcome.elapsed < OVERHEAD, "{report:#?}");
}

#[test]
fn silent_server_exits_3_within_the_timeout() {
    let (_socket, address) = silent_port();
    let report = Adjtime::dry_run(&["--pin", PIN, "--timeout", "700", &address]);
    assert_eq!(report.outcome.code, Some(3), "{report:#?}");
    assert_eq!(report.source(0, "verdict"), "silent", "{report:#?}");
    let timeout = Duration::from_millis(700);
    let allowed = timeout..timeout + OVERHEAD;
    assert!(allowed.contains(&report.outcome.elapsed), "{report:#?}");
}

#[test]
fn servers_with_different_clocks_exit_4() {
    let (right, wrong) = (Server::start(&[]), Server::start_at("+30s", &[]));
    let servers = [right.address().to_string(), wrong.address().to_string()];
    let pins = ["--pin", right.pin(), "--pin", wrong.pin()];
    let report = Adjtime::dry_run(&[&pins[..], &[&servers[0], &servers[1]]].concat());
    assert_eq!(report.outcome.code, Some(4), "{report:#?}");
    assert_eq!(report.json["action"], "refused", "{report:#?}");
    for index in 0..2 {
        assert_eq!(report.source(index, "verdict"), "unresolved", "{report:#?}");
    }
    let reason = report.json["reason"].as_str().unwrap();
    assert!(reason.contains("1 of 2"), "{reason}");
}

#[test]
fn offset_past_the_limit_exits_5_and_names_the_option() {
    let server = Server::start_at("+2s", &[]);
    for (limit, code) in [("1000", 5), ("3000", 0)] {
        let report = ask(&server, &["--max-offset", limit]);
        assert_eq!(report.outcome.code, Some(code), "{report:#?}");
        let offset = report.offset_ms().unwrap();
        assert!((offset - 2000.0).abs() < 50.0, "{report:#?}");
    }
    let report = ask(&server, &[]);
    let reason = report.json["reason"].as_str().unwrap();
    assert!(reason.contains("past the limit of 1000 ms"), "{reason}");
    assert!(reason.contains("raise --max-offset"), "{reason}");
}

#[test]
fn certificate_of_ours_that_the_server_refuses_is_told_as_such() {
    let (ours, others) = (Certs::new(), Certs::new());
    let authority = ours.ca();
    let server = Server::start(&["--client-ca", &authority]);
    let stranger = others.client("stranger");
    let shown = [
        "--client-cert",
        &stranger.cert,
        "--client-key",
        &stranger.key,
    ];
    let report = ask(&server, &shown);
    assert_eq!(report.outcome.code, Some(3), "{report:#?}");
    assert_eq!(
        report.source(0, "verdict"),
        "client_certificate_refused",
        "{report:#?}"
    );
    let told = &report.outcome.stderr;
    assert!(
        told.contains("refused the certificate that we showed it"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
}

/// Runs `tsq-adjtime` without the right to set the clock.
fn run_without_permission(program: &Path, privileges: &[&str], args: &[&str]) -> Outcome {
    let mut command = if geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(privileges).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(args);
    run(command, Duration::from_secs(10))
}

const OF_NOBODY: &[&str] = &[
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--bounding-set=-all",
];
/// As in a container: root by name only.
const OF_POWERLESS_ROOT: &[&str] = &["--bounding-set=-sys_time"];

#[test]
fn run_that_may_not_set_the_clock_exits_6_before_it_sends_anything() {
    let (socket, address) = silent_port();
    // Nobody must be able to read the program: the build folder may be private.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("tsq-adjtime");
    fs::copy(bin("tsq-adjtime"), &program).unwrap();
    for privileges in [OF_NOBODY, OF_POWERLESS_ROOT] {
        let words = ["--pin", PIN, &address];
        let outcome = run_without_permission(&program, privileges, &words);
        assert_eq!(outcome.code, Some(6), "{privileges:?}: {outcome:#?}");
        assert!(outcome.stderr.contains("--dry-run"), "{outcome:#?}");
        assert_eq!(outcome.stdout, "", "{outcome:#?}");
    }
    assert_got_nothing(&socket);
}

#[test]
fn dry_run_needs_no_permission() {
    let server = Server::start(&[]);
    let address = server.address().to_string();
    let words = ["--dry-run", "--pin", server.pin(), &address];
    let program = bin("tsq-adjtime");
    let outcome = run_without_permission(&program, OF_POWERLESS_ROOT, &words);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
}

/// Trust is refused for this reason; the words are those of the verdict.
#[track_caller]
fn assert_trust_refused(report: &Report, name: &str, words: &str) {
    assert_eq!(report.outcome.code, Some(7), "{report:#?}");
    assert_eq!(report.source(0, "verdict"), name, "{report:#?}");
    let reason = report.source(0, "reason").as_str().unwrap();
    assert!(reason.contains(words), "{words} is not in: {reason}");
    assert_eq!(report.source(0, "answered"), 0, "{report:#?}");
}

// tsq: C1
#[test]
fn certificate_of_another_key_authority_or_name_exits_7() {
    let (certs, foreign) = (Certs::new(), Certs::new());
    let files = certs.server("server", "127.0.0.1", &["--name", "time.example"]);
    let server = Server::start(&["--cert", &files.cert, "--key", &files.key]);
    let (address, ca) = (server.address().to_string(), certs.ca());
    let ask = |options: &[&str]| Adjtime::dry_run(&[options, &[&address]].concat());

    let report = ask(&["--pin", PIN]);
    assert_trust_refused(&report, "certificate_wrong_pin", server.pin());
    // It has the name of the right one.
    let report = ask(&["--ca", &foreign.ca()]);
    assert_trust_refused(&report, "certificate_unknown_issuer", "--ca");
    let report = ask(&["--ca", &ca, "--server-name", "other.example"]);
    assert_trust_refused(&report, "certificate_wrong_name", "time.example");
    let report = ask(&["--ca", &ca, "--pin", PIN]);
    assert_trust_refused(&report, "certificate_wrong_pin", server.pin());

    for trusted in [
        &["--ca", &ca][..],
        &["--ca", &ca, "--server-name", "time.example"],
        &["--ca", &ca, "--pin", server.pin()],
    ] {
        assert_eq!(ask(trusted).outcome.code, Some(0), "{trusted:?}");
    }
}

/// A server whose certificate is not valid now, asked under its authority and under its pin.
fn ask_outside_lifetime(lifetime: &[&str]) -> [Report; 2] {
    let certs = Certs::new();
    let files = certs.server("server", "127.0.0.1", lifetime);
    // Ours would refuse to start.
    let identity = ["--cert", &files.cert, "--key", &files.key];
    let peer = Peer::start("datagram_server.py", &identity);
    let (address, ca) = (peer.address().to_string(), certs.ca());
    // Under a pin the dates might wait where nobody keeps the clock, and would then be refused by the
    // server's own time.
    [["--ca", &ca], ["--pin", peer.pin()]].map(|trust| {
        let words = [&trust[..], &["--bootstrap", "never", &address]].concat();
        Adjtime::dry_run(&words)
    })
}

#[test]
fn expired_certificate_exits_7_and_a_fast_clock_is_suspected() {
    for report in ask_outside_lifetime(&["--not-before", "-20d", "--not-after", "-10d"]) {
        assert_trust_refused(&report, "certificate_expired", "the clock is fast");
    }
}

#[test]
fn certificate_not_yet_valid_exits_7_and_a_slow_clock_is_suspected() {
    for report in ask_outside_lifetime(&["--not-before", "+10d", "--not-after", "+20d"]) {
        assert_trust_refused(&report, "certificate_not_yet_valid", "the clock is slow");
    }
}

#[test]
fn certificate_that_has_really_expired_does_not_hold_at_its_own_servers_time() {
    let certs = Certs::new();
    let lifetime = ["--not-before", "-20d", "--not-after", "-10d"];
    let files = certs.server("server", "127.0.0.1", &lifetime);
    let identity = ["--cert", &files.cert, "--key", &files.key];
    let peer = Peer::start("datagram_server.py", &identity);
    let address = peer.address().to_string();
    let words = ["--bootstrap", "always", "--pin", peer.pin(), &address];
    let report = Adjtime::dry_run(&words);
    assert_trust_refused(&report, "certificate_expired", "the servers agree");
}

/// The same from the other side: the certificate is right and our clock is not.
#[test]
fn wrong_clock_of_ours_exits_7_and_is_suspected() {
    let certs = Certs::new();
    let files = certs.server("server", "127.0.0.1", &[]);
    let server = Server::start(&["--cert", &files.cert, "--key", &files.key]);
    let (address, ca) = (server.address().to_string(), certs.ca());
    for (shift, name) in [
        ("+5000d", "certificate_expired"),
        ("-5000d", "certificate_not_yet_valid"),
    ] {
        let report = Adjtime::dry_run_at(shift, &["--ca", &ca, &address]);
        assert_trust_refused(&report, name, "the clock is");
    }
}

#[test]
fn clock_before_1970_is_said_in_one_line() {
    let outcome = Adjtime::run_at(
        "-2000000000",
        &["--dry-run", "--pin", &"0".repeat(64), "127.0.0.1:9"],
    );
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert!(outcome.stderr.contains("before 1970"), "{outcome:#?}");
    assert!(!outcome.stderr.contains("panicked"), "{outcome:#?}");
}
