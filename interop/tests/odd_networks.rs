//! Networks that are not as they should be, each made in a namespace of its own: full queues, no way yet, small packets
//! only, and addresses that need their interface.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::env;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tsq_interop::{Adjtime, Certs, Chronyd, Report, Server, bin};

/// Tells a test that it runs in a namespace.
const INSIDE: &str = "TSQ_TEST_INSIDE";

/// Runs `test` of this file, which is ignored elsewhere, in a network namespace where only it is; without privilege where
/// the kernel lets users make them.
#[track_caller]
fn in_namespace(test: &str) {
    let possible = Command::new("unshare")
        .args(["-rn", "ip", "address"])
        .output();
    if !possible.is_ok_and(|outcome| outcome.status.success()) {
        eprintln!("skipped: unshare and ip make no network namespace here");
        return;
    }
    let mut child = Command::new("unshare");
    child.arg("-rn").arg(env::current_exe().unwrap());
    child.args(["--exact", test, "--ignored", "--nocapture"]);
    // Built out here, where cargo finds all it may need.
    let server = bin("tsq-server");
    child.env("TSQ_BIN_DIR", server.parent().unwrap());
    let outcome = child.env(INSIDE, "1").output().unwrap();
    let text = String::from_utf8_lossy(&outcome.stdout) + String::from_utf8_lossy(&outcome.stderr);
    assert!(outcome.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

#[track_caller]
fn system(words: &str) -> String {
    let (program, arguments) = words.split_once(' ').unwrap();
    let outcome = Command::new(program).args(arguments.split(' ')).output();
    let outcome = outcome.unwrap();
    assert!(outcome.status.success(), "{words}: {outcome:?}");
    String::from_utf8_lossy(&outcome.stdout).into_owned()
}

/// Packets that the queue of loopback refused.
fn dropped() -> u64 {
    let shown = system("tc -s qdisc show dev lo");
    let (_, rest) = shown.split_once("(dropped ").unwrap();
    rest.split_once(',').unwrap().0.parse().unwrap()
}

#[track_caller]
fn assert_answered(report: &Report) {
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert_eq!(report.source(0, "answered"), 5, "{report:#?}");
}

/// A dry run of TSQ alone, in the background.
fn ask(server: &Server, timeout: &str) -> thread::JoinHandle<Report> {
    ask_at(server, &server.address().to_string(), timeout)
}

fn ask_at(server: &Server, address: &str, timeout: &str) -> thread::JoinHandle<Report> {
    let (pin, address) = (server.pin().to_owned(), address.to_owned());
    let options = ["--fallback", "none", "--timeout", timeout].map(str::to_owned);
    thread::spawn(move || {
        let words: Vec<&str> = options.iter().map(String::as_str).collect();
        Adjtime::dry_run(&[&words[..], &["--pin", &pin, &address]].concat())
    })
}

fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn full_send_queue_costs_packets_and_no_run() {
    in_namespace("full_send_queue");
}

#[test]
#[ignore = "needs a network namespace of its own, in which it is started"]
fn full_send_queue() {
    if !is_inside() {
        return;
    }
    system("ip link set lo up");
    let server = Server::start(&[]);
    let no_room = "root pfifo limit 0";
    // Full from the beginning, for a moment.
    system(&format!("tc qdisc add dev lo {no_room}"));
    let run = ask(&server, "10000");
    until("packets are dropped", || dropped() >= 3);
    system("tc qdisc del dev lo root");
    assert_answered(&run.join().unwrap());
    // Full to the end: the reason is told.
    system(&format!("tc qdisc add dev lo {no_room}"));
    let report = ask(&server, "500").join().unwrap();
    assert_eq!(report.outcome.code, Some(3), "{report:#?}");
    assert_eq!(report.source(0, "verdict"), "silent", "{report:#?}");
    let reason = report.source(0, "reason").to_string();
    assert!(reason.contains("did not leave this host"), "{reason}");
    assert!(reason.contains("No buffer space available"), "{reason}");
}

#[test]
fn network_that_comes_up_within_the_timeout_is_used() {
    in_namespace("network_comes_up");
}

#[test]
#[ignore = "needs a network namespace of its own, in which it is started"]
fn network_comes_up() {
    if !is_inside() {
        return;
    }
    system("ip link set lo up");
    let server = Server::start(&["--listen", "0.0.0.0:0"]);
    let address = format!("192.0.2.1:{}", server.address().port());
    let report = ask_at(&server, &address, "500").join().unwrap();
    assert_eq!(report.outcome.code, Some(3), "{report:#?}");
    assert_eq!(report.source(0, "verdict"), "unreachable", "{report:#?}");
    let reason = report.source(0, "reason").to_string();
    assert!(reason.contains("Network is unreachable"), "{reason}");
    let run = ask_at(&server, &address, "10000");
    // Not to be on time: a client that begins later than this finds the network up and proves less.
    thread::sleep(Duration::from_millis(400));
    system("ip address add 192.0.2.1/32 dev lo");
    assert_answered(&run.join().unwrap());
}

/// A host without IPv6 must not wait for a server that has nothing else, once others have answered.
#[test]
fn nobody_waits_for_a_way_while_others_have_answered() {
    in_namespace("no_way_to_one");
}

#[test]
#[ignore = "needs a network namespace of its own, in which it is started"]
fn no_way_to_one() {
    if !is_inside() {
        return;
    }
    system("ip link set lo up");
    let server = Server::start(&[]);
    let address = server.address().to_string();
    let options = [
        "--fallback",
        "none",
        "--timeout",
        "20000",
        "--pin",
        server.pin(),
    ];
    let report = Adjtime::dry_run(&[&options[..], &[&address, "[2001:db8::1]:443"]].concat());
    assert_answered(&report);
    assert_eq!(report.source(1, "verdict"), "unreachable", "{report:#?}");
    assert!(
        report.outcome.elapsed < Duration::from_secs(15),
        "{report:#?}"
    );
}

#[test]
fn path_too_narrow_for_quic_is_named_at_once() {
    in_namespace("path_too_narrow");
}

#[test]
#[ignore = "needs a network namespace of its own, in which it is started"]
fn path_too_narrow() {
    if !is_inside() {
        return;
    }
    system("ip link set lo up");
    let server = Server::start(&[]);
    // The headers of IPv4 and UDP take 28 bytes: one less than what 1200 need, and just what they need.
    system("ip link set lo mtu 1227");
    let report = ask(&server, "20000").join().unwrap();
    assert_eq!(report.outcome.code, Some(3), "{report:#?}");
    assert_eq!(
        report.source(0, "verdict"),
        "path_too_narrow",
        "{report:#?}"
    );
    let in_time = report.outcome.elapsed < Duration::from_secs(15);
    assert!(in_time, "{report:#?}");
    let reason = report.source(0, "reason").to_string();
    assert!(
        reason.contains("carries no packets of 1200 bytes"),
        "{reason}"
    );
    assert!(!reason.contains("Message too long"), "{reason}");
    system("ip link set lo mtu 1228");
    assert_answered(&ask(&server, "20000").join().unwrap());
}

#[test]
fn path_too_narrow_for_quic_leads_to_nts() {
    in_namespace("path_for_nts_alone");
}

#[test]
#[ignore = "needs a network namespace of its own, in which it is started"]
fn path_for_nts_alone() {
    if !is_inside() {
        return;
    }
    system("ip link set lo up");
    system("ip link set lo mtu 1220");
    let certs = Certs::new();
    let chronyd = Chronyd::start(&certs.server("chronyd", "127.0.0.1", &[]));
    let (nts, ca) = (chronyd.nts().port().to_string(), certs.ca());
    let options = ["--timeout", "10000", "--ca", &ca, "--nts-port", &nts];
    let report = Adjtime::dry_run(&[&options[..], &["127.0.0.1:443"]].concat());
    assert_answered(&report);
    assert_eq!(report.source(0, "protocol"), "nts", "{report:#?}");
    let tried = report.source(0, "attempts")[0]["problem"].to_string();
    assert!(tried.contains("QUIC cannot work here"), "{tried}");
}

#[test]
fn link_local_addresses_are_served_and_asked_by_name_and_number() {
    in_namespace("link_local_addresses");
}

#[test]
#[ignore = "needs a network namespace of its own, in which it is started"]
fn link_local_addresses() {
    if !is_inside() {
        return;
    }
    system("ip link set lo up");
    system("ip address add fe80::7/64 dev lo nodad");
    for listen in ["[fe80::7%lo]:0", "[fe80::7%1]:0", "[::]:0"] {
        let server = Server::start(&["--listen", listen]);
        let port = server.address().port();
        for host in ["[fe80::7%lo]", "[fe80::7%1]"] {
            let address = format!("{host}:{port}");
            let report = Adjtime::dry_run(&["--pin", server.pin(), "--timeout", "10000", &address]);
            assert_answered(&report);
            let used = report.source(0, "address");
            assert_eq!(used, &format!("[fe80::7%1]:{port}"), "{report:#?}");
        }
    }
    for (address, words) in [
        ("[fe80::7]:443", "needs its interface"),
        ("fe80::7%none0", "no interface"),
    ] {
        let outcome = Adjtime::run(&["--dry-run", "--insecure", address]);
        assert_eq!(outcome.code, Some(2), "{outcome:#?}");
        assert!(outcome.stderr.contains(words), "{outcome:#?}");
    }
    let outcome = Server::run(&["--check", "--listen", "[fe80::7]:443"]);
    assert_eq!(outcome.code, Some(2), "{outcome:#?}");
    assert!(
        outcome.stderr.contains("needs its interface"),
        "{outcome:#?}"
    );
}
