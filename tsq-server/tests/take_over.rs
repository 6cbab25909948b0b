//! Servers replace each other while fifty clients ask without a pause: no answer is lost.
#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use common::clients::Clients;
use common::load::{LIMIT, Load};
use tsq_interop::Process;

mod common;

#[test]
fn clients_keep_their_answers_while_servers_take_over_from_each_other() {
    for threads in ["1", "2"] {
        let state = tempfile::tempdir().unwrap();
        let args = ["--listen", "127.0.0.1:0", "--threads", threads];
        let mut server = start(state.path(), &args);
        let address = listening(&server);
        let load = Load::default();
        std::thread::scope(|scope| {
            let _stop = load.stop_on_drop();
            let clients = scope.spawn(|| Clients::new(address).run(&load));
            load.wait_for_more(1000);
            // The second time goes back to the first one's sockets, the third to the second's.
            for _ in 0..3 {
                if load.stopped() {
                    break; // the clients tell why
                }
                let listen = address.to_string();
                let args = ["--take-over", "--listen", &listen, "--threads", threads];
                let new = start(state.path(), &args);
                assert_eq!(listening(&new), address);
                assert_eq!(server.terminate().code(), Some(0), "{:#?}", server.lines());
                assert!(served(&server) > 0, "{:#?}", server.lines());
                server = new;
                load.wait_for_more(1000);
            }
            load.stop();
            let failures = clients.join().unwrap();
            assert!(failures.is_empty(), "{failures:#?}");
        });
        assert_eq!(server.terminate().code(), Some(0), "{:#?}", server.lines());
        assert!(served(&server) > 0, "{:#?}", server.lines());
    }
}

#[test]
fn second_server_without_take_over_finds_the_port_taken() {
    let state = tempfile::tempdir().unwrap();
    let args = ["--listen", "127.0.0.1:0", "--threads", "2"];
    let server = start(state.path(), &args);
    let listen = listening(&server).to_string();
    for threads in ["1", "2"] {
        let second = run(state.path(), &["--listen", &listen, "--threads", threads]);
        assert_eq!(second.status.code(), Some(4), "{second:?}");
        let error = String::from_utf8(second.stderr).unwrap();
        assert!(error.contains("another program has the port"), "{error}");
    }
}

#[test]
fn take_over_where_nobody_serves_is_an_ordinary_start() {
    let state = tempfile::tempdir().unwrap();
    let mut server = start(state.path(), &["--take-over", "--listen", "127.0.0.1:0"]);
    listening(&server);
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn server_goes_on_when_the_one_that_was_to_take_over_cannot_start() {
    let state = tempfile::tempdir().unwrap();
    let args = ["--listen", "127.0.0.1:0", "--threads", "2"];
    let server = start(state.path(), &args);
    let address = listening(&server);
    let listen = address.to_string();
    // Its second address is another program's, so it ends between the offer and serving.
    let other = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    let args = ["--take-over", "--listen", &listen, "--listen", &taken];
    let second = run(state.path(), &args);
    assert_eq!(second.status.code(), Some(4), "{second:?}");
    let load = Load::default();
    std::thread::scope(|scope| {
        let _stop = load.stop_on_drop();
        let clients = scope.spawn(|| Clients::new(address).run(&load));
        load.wait_for_more(500);
        load.stop();
        let failures = clients.join().unwrap();
        assert!(failures.is_empty(), "{failures:#?}");
    });
}

fn command(state: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tsq-server"));
    command
        .args(["--serve-unsynchronised", "--no-chrony"])
        .args(["--log-format", "json"])
        .args(args)
        .arg("--state-dir")
        .arg(state);
    command
}

fn start(state: &Path, args: &[&str]) -> Process {
    Process::start(command(state, args))
}

fn run(state: &Path, args: &[&str]) -> Output {
    command(state, args).output().unwrap()
}

fn listening(server: &Process) -> SocketAddr {
    server.wait_for(LIMIT, |line| {
        let fields = fields_of(line, "listening")?;
        fields["address"].as_str()?.parse().ok()
    })
}

/// Requests answered, as the server's last line says.
fn served(server: &Process) -> u64 {
    server.wait_for(LIMIT, |line| {
        let fields = fields_of(line, "served")?;
        Some(fields["datagrams"].as_u64()? + fields["streams"].as_u64()?)
    })
}

fn fields_of(line: &str, message: &str) -> Option<serde_json::Value> {
    let mut event: serde_json::Value = serde_json::from_str(line).ok()?;
    let fields = event.get_mut("fields")?.take();
    (fields["message"] == message).then_some(fields)
}
