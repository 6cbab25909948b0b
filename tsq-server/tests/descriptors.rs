//! Too few file descriptors: the server says so and ends, or it serves; never something between.
#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use common::clients::Clients;
use common::load::{LIMIT, Load};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use tsq_interop::Process;

mod common;

#[test]
fn with_any_number_of_descriptors_it_serves_or_says_what_it_lacks() {
    let state = tempfile::tempdir().unwrap();
    let (mut refused, mut served) = (0, 0);
    // Enough for the program to start at all, up to what two threads need with room to spare.
    for limit in 8..=40 {
        let mut server = start(limit, state.path());
        let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let address = listening(&line);
            said.push(line);
            address
        });
        if let Some(address) = address {
            answer_fifty(address);
            kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
            // What it logs goes unread; it must end all the same.
            assert_eq!(server.wait().unwrap().code(), Some(0), "{limit}: {said:#?}");
            served += 1;
        } else {
            let code = server.wait().unwrap().code();
            assert!(
                matches!(code, Some(1 | 3 | 4)),
                "{limit}: {code:?} {said:#?}"
            );
            let last = said.last().unwrap();
            assert!(last.contains("Too many open files"), "{limit}: {said:#?}");
            refused += 1;
        }
    }
    assert!(
        refused > 0 && served > 0,
        "{refused} refused, {served} served"
    );
}

/// Those it has are enough to serve; what needs another fails with a reason, and works again when there is one.
#[test]
fn server_that_runs_out_of_descriptors_serves_on() {
    let state = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tsq-server"));
    command
        .args(["--serve-unsynchronised", "--threads", "2"])
        .args(["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"])
        .args(["--log-format", "json", "--state-dir"])
        .arg(state.path());
    let mut server = Process::start(command);
    let address = server.wait_for(LIMIT, listening);
    let metrics: SocketAddr = server.wait_for(LIMIT, |line| {
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        let fields = &event["fields"];
        (fields["message"] == "metrics").then_some(())?;
        fields["address"].as_str()?.parse().ok()
    });
    let id = Pid::from_raw(server.id().cast_signed()).unwrap();
    let before = getrlimit(Resource::Nofile);
    // Fewer than it has; but poll(2) takes no longer list than that.
    let none = Rlimit {
        current: Some(6),
        ..before
    };
    prlimit(Some(id), Resource::Nofile, none).unwrap();
    // Accepted by the kernel alone.
    let mut scraper = TcpStream::connect(metrics).unwrap();
    kill_process(id, Signal::HUP).unwrap();
    server.wait_for(LIMIT, |line| {
        let told =
            line.contains("certificates not read again") && line.contains("Too many open files");
        told.then_some(())
    });
    answer_fifty(address);
    prlimit(Some(id), Resource::Nofile, before).unwrap();
    scraper.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
    let mut text = String::new();
    scraper.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("ok\n"), "{text}");
    kill_process(id, Signal::HUP).unwrap();
    server.wait_for(LIMIT, |line| {
        line.contains("certificates read again").then_some(())
    });
    answer_fifty(address);
    assert_eq!(server.terminate().code(), Some(0));
}

fn start(limit: u32, state: &std::path::Path) -> Child {
    Command::new("sh")
        .args(["-c", "ulimit -n $0; exec \"$@\""])
        .arg(limit.to_string())
        .arg(env!("CARGO_BIN_EXE_tsq-server"))
        .args(["--serve-unsynchronised", "--no-chrony", "--threads", "2"])
        .args(["--listen", "127.0.0.1:0", "--log-format", "json"])
        .arg("--state-dir")
        .arg(state)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn listening(line: &str) -> Option<SocketAddr> {
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    let fields = event.get("fields")?;
    (fields["message"] == "listening").then_some(())?;
    fields["address"].as_str()?.parse().ok()
}

fn answer_fifty(address: SocketAddr) {
    let load = Load::default();
    std::thread::scope(|scope| {
        let clients = scope.spawn(|| Clients::new(address).run(&load));
        load.wait_for_more(50);
        load.stop();
        let failures = clients.join().unwrap();
        assert!(failures.is_empty(), "{failures:#?}");
    });
}
