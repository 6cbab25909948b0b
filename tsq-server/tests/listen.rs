//! Addresses that come later, that stand beside each other, and hosts that lack something.
#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use common::clients::Clients;
use common::load::{LIMIT, Load};
use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::Eq;
use seccompiler::{SeccompAction, SeccompCondition, SeccompFilter, SeccompRule};
use tsq_interop::Process;

mod common;

#[test]
fn both_wildcards_of_a_port_are_served() {
    let state = tempfile::tempdir().unwrap();
    // Free a moment ago; should another have taken it since, the next is tried.
    let mut server = (0..20)
        .find_map(|_| {
            let free = std::net::UdpSocket::bind("[::]:0").unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let (v4, v6) = (format!("0.0.0.0:{port}"), format!("[::]:{port}"));
            let server = Process::start(command(state.path(), &["--listen", &v4, "--listen", &v6]));
            let taken = server.wait_for(LIMIT, |line| {
                let last = line.contains("another program has the port");
                (last || line.contains(&format!("\"{v6}\""))).then_some(last)
            });
            (!taken).then_some((server, port))
        })
        .unwrap();
    ask(SocketAddr::from(([127, 0, 0, 1], server.1)));
    assert_eq!(server.0.terminate().code(), Some(0));
}

#[test]
fn host_without_ipv6_is_served_by_ipv4() {
    let state = tempfile::tempdir().unwrap();
    let args = ["--listen", "[::]:0", "--threads", "2"];
    let without = [(libc::SYS_socket, 0, libc::AF_INET6, libc::EAFNOSUPPORT)];
    let mut server = start_without(&without, command(state.path(), &args));
    let address = listening(&server);
    assert!(address.is_ipv4(), "{address}");
    assert!(says(&server, "no IPv6"));
    ask(SocketAddr::from(([127, 0, 0, 1], address.port())));
    assert_eq!(server.terminate().code(), Some(0));
    // What is asked for by its address is not to be had.
    let args = ["--listen", "[::1]:0"];
    let mut server = start_without(&without, command(state.path(), &args));
    assert_eq!(server.wait_for_end(LIMIT).code(), Some(4));
    assert!(says(&server, "leave this --listen out"));
}

#[test]
fn host_that_cannot_spread_packets_is_served_by_one_thread() {
    for option in [libc::SO_REUSEPORT, libc::SO_ATTACH_REUSEPORT_CBPF] {
        let state = tempfile::tempdir().unwrap();
        let without = [(libc::SYS_setsockopt, 2, option, libc::ENOPROTOOPT)];
        for (threads, told) in [("2", true), ("1", false)] {
            let args = ["--listen", "127.0.0.1:0", "--threads", threads];
            let mut server = start_without(&without, command(state.path(), &args));
            ask(listening(&server));
            assert_eq!(says(&server, "--threads 1"), told, "{:#?}", server.lines());
            assert_eq!(server.terminate().code(), Some(0));
        }
    }
}

/// Tells [`in_namespace`] that it is.
const INSIDE: &str = "TSQ_TEST_INSIDE";

#[test]
fn address_that_comes_up_after_the_start_is_served() {
    let possible = Command::new("unshare")
        .args(["-rn", "ip", "link", "set", "lo", "up"])
        .output();
    if !possible.is_ok_and(|outcome| outcome.status.success()) {
        eprintln!("skipped: unshare and ip make no network namespace here");
        return;
    }
    let mut child = Command::new("unshare");
    child.arg("-rn").arg(std::env::current_exe().unwrap());
    child.args(["--exact", "in_namespace", "--ignored", "--nocapture"]);
    let outcome = child.env(INSIDE, "1").output().unwrap();
    let text = String::from_utf8_lossy(&outcome.stdout) + String::from_utf8_lossy(&outcome.stderr);
    assert!(outcome.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

/// The process of the test above, which has addresses as it likes.
#[test]
#[ignore = "needs a network namespace of its own, in which it is started"]
fn in_namespace() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let ip = |words: &str| {
        let status = Command::new("ip").args(words.split(' ')).status().unwrap();
        assert!(status.success(), "ip {words}");
    };
    ip("link set lo up");
    let state = tempfile::tempdir().unwrap();
    let args = ["--listen", "10.44.0.2:443", "--threads", "2"];
    let mut server = Process::start(command(state.path(), &args));
    let address = listening(&server);
    assert!(says(&server, "no interface has this address"));
    ip("address add 10.44.0.2/32 dev lo");
    ask(address);
    assert_eq!(server.terminate().code(), Some(0));
}

/// Clients get their answers there.
fn ask(address: SocketAddr) {
    let load = Load::default();
    std::thread::scope(|scope| {
        let _stop = load.stop_on_drop();
        let clients = scope.spawn(|| Clients::new(address).run(&load));
        load.wait_for_more(200);
        load.stop();
        let failures = clients.join().unwrap();
        assert!(failures.is_empty(), "{failures:#?}");
    });
}

/// Starts it where these calls fail: call, argument, its value, error. A filter holds for what its thread starts.
fn start_without(calls: &[(libc::c_long, u8, i32, i32)], command: Command) -> Process {
    let program = |&(call, argument, value, error): &(libc::c_long, u8, i32, i32)| {
        let condition = SeccompCondition::new(argument, Dword, Eq, value.unsigned_abs().into());
        let rule = SeccompRule::new(vec![condition.unwrap()]).unwrap();
        SeccompFilter::new(
            [(call, vec![rule])].into(),
            SeccompAction::Allow,
            SeccompAction::Errno(error.unsigned_abs()),
            std::env::consts::ARCH.try_into().unwrap(),
        )
        .and_then(seccompiler::BpfProgram::try_from)
        .unwrap()
    };
    std::thread::scope(|scope| {
        let start = || {
            for call in calls {
                seccompiler::apply_filter(&program(call)).unwrap();
            }
            Process::start(command)
        };
        scope.spawn(start).join().unwrap()
    })
}

fn command(state: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tsq-server"));
    command
        .args(["--serve-unsynchronised", "--no-chrony"])
        .args(["--log-format", "json", "--state-dir"])
        .arg(state)
        .args(args);
    command
}

fn listening(server: &Process) -> SocketAddr {
    server.wait_for(LIMIT, |line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        (line["fields"]["message"] == "listening").then_some(())?;
        line["fields"]["address"].as_str()?.parse().ok()
    })
}

fn says(server: &Process, text: &str) -> bool {
    server.lines().iter().any(|line| line.contains(text))
}
