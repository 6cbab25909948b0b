//! Too few file descriptors: the server says so and ends, or it serves; never something between.
#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use common::clients::Clients;
use common::load::Load;

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
            let id = rustix::process::Pid::from_child(&server);
            rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
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
