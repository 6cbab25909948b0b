//! A thread of the server dies by a bug: the whole process ends, cleanly and with its exit code, so that the service
//! manager starts another; never is there half a server.
//!
//! The bug is built into debug builds only: the thread panics that reads a packet from a certain address.
#![cfg(debug_assertions)]

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;

use common::clients::Clients;
use common::load::{LIMIT, Load};
use tsq_interop::Process;

mod common;

#[test]
fn shard_that_panics_ends_the_process_and_the_others_drain() {
    for shard in [0, 1] {
        let state = tempfile::tempdir().unwrap();
        let mut server = start(state.path(), "127.66.6.6");
        let address = listening(&server);
        let load = Load::default();
        let failures = std::thread::scope(|scope| {
            let _stop = load.stop_on_drop();
            let clients = scope.spawn(|| Clients::new(address).run(&load));
            load.wait_for_more(1000);
            // The first byte of its connection ID says which of the two reads an Initial.
            let fatal = [&[0xc0, 0, 0, 0, 1, 20][..], &[shard; 20], &[0; 1174]].concat();
            let stranger = UdpSocket::bind("127.66.6.6:0").unwrap();
            stranger.send_to(&fatal, address).unwrap();
            // Ended by the first of those of the other shard that the server takes leave of.
            clients.join().unwrap()
        });
        assert!(!failures.is_empty());
        for failure in failures {
            assert!(failure.contains("shutting down"), "{failure}");
        }
        let ended = server.wait_for_end(LIMIT);
        assert_eq!(ended.code(), Some(1), "{:#?}", server.lines());
        said(
            &server,
            &format!("thread tsq-{shard} panicked: fault at a packet"),
        );
        let lines = server.lines();
        // Once, with its place in the source, in the log.
        let located = |line: &&String| line.contains("\"panic\"") && line.contains("faults.rs");
        assert_eq!(lines.iter().filter(located).count(), 1, "{lines:#?}");
        // Nobody has the port any more: the next start finds it free.
        UdpSocket::bind(address).unwrap();
    }
}

#[test]
fn process_that_no_longer_knows_its_clock_ends() {
    let state = tempfile::tempdir().unwrap();
    let mut server = start(state.path(), "own-clock");
    let ended = server.wait_for_end(LIMIT);
    assert_eq!(ended.code(), Some(1), "{:#?}", server.lines());
    said(
        &server,
        "the thread that watches this host's clock panicked",
    );
}

fn start(state: &Path, fault: &str) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tsq-server"));
    command
        .args(["--serve-unsynchronised", "--no-chrony", "--threads", "2"])
        .args(["--listen", "127.0.0.1:0", "--log-format", "json"])
        .arg("--state-dir")
        .arg(state)
        .env("TSQ_FAULT_PANIC", fault);
    Process::start(command)
}

/// What it says at its end.
#[track_caller]
fn said(server: &Process, reason: &str) {
    let last = format!("\"message\":\"failed while running: {reason}");
    server.wait_for(LIMIT, |line| line.contains(&last).then_some(()));
}

fn listening(server: &Process) -> SocketAddr {
    server.wait_for(LIMIT, |line| {
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        let fields = event.get("fields")?;
        (fields["message"] == "listening").then_some(())?;
        fields["address"].as_str()?.parse().ok()
    })
}
