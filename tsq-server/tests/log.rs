//! The log: nobody waits for who reads it, it has one format to the last line, and it names no client.
#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Instant;

use common::clients::Clients;
use common::load::{LIMIT, Load};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use tsq_interop::Process;

mod common;

/// A server whose log goes into a pipe.
struct Server {
    child: Child,
    log: BufReader<PipeReader>,
    other_end: PipeWriter,
    address: SocketAddr,
    metrics: SocketAddr,
}

impl Server {
    fn start(state: &Path) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut log = BufReader::new(reader);
        let args = ["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"];
        let child = command(state, &args)
            .args(["--log-level", "trace"])
            .stderr(writer.try_clone().unwrap())
            .spawn()
            .unwrap();
        let metrics = address_in(&mut log, "metrics");
        let address = address_in(&mut log, "listening");
        Self {
            child,
            log,
            other_end: writer,
            address,
            metrics,
        }
    }

    /// Fills what the pipe has left: the next line finds no room.
    fn fill_pipe(&mut self) {
        let ready = |pipe: &PipeWriter| {
            poll(
                &mut [PollFd::new(pipe, PollFlags::OUT)],
                Some(&Timespec::default()),
            )
            .unwrap()
                > 0
        };
        while ready(&self.other_end) {
            self.other_end.write_all(&[b'\n'; 4096]).unwrap();
        }
    }

    /// Lets clients ask until more has been logged than can wait.
    fn lose_lines(&mut self) {
        let load = Load::default();
        std::thread::scope(|scope| {
            let _stop = load.stop_on_drop();
            let clients = scope.spawn(|| Clients::new(self.address).run(&load));
            let begun = Instant::now();
            while self.lost() == 0 {
                assert!(begun.elapsed() < LIMIT, "nothing is lost");
                load.wait_for_more(10);
            }
            // It serves all the same.
            load.wait_for_more(500);
            load.stop();
            let failures = clients.join().unwrap();
            assert!(failures.is_empty(), "{failures:#?}");
        });
    }

    fn lost(&self) -> u64 {
        let mut stream = TcpStream::connect(self.metrics).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.lines()
            .find_map(|line| line.strip_prefix("tsq_log_lines_lost_total "))
            .unwrap()
            .parse()
            .unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn server_whose_log_nobody_reads_serves_and_obeys_signals() {
    let state = tempfile::tempdir().unwrap();
    let mut server = Server::start(state.path());
    server.fill_pipe();
    server.lose_lines();
    server.signal(Signal::HUP);
    server.signal(Signal::USR1);
    server.lose_lines();
    server.signal(Signal::TERM);
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = server.child.try_wait().unwrap() {
            break status;
        }
        assert!(begun.elapsed() < LIMIT, "SIGTERM does not end it");
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(0));
}

#[test]
fn lost_lines_are_told_when_the_reader_goes_on() {
    let state = tempfile::tempdir().unwrap();
    let mut server = Server::start(state.path());
    server.fill_pipe();
    server.lose_lines();
    let lost = server.lost();
    let told = fields_in(&mut server.log, |fields| {
        let text = fields["message"].as_str()?;
        text.contains("lines were lost")
            .then(|| fields["lines"].as_u64())?
    });
    assert!(told >= lost, "{told} of {lost}");
}

#[test]
fn last_line_has_the_format_of_all_others() {
    let state = tempfile::tempdir().unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = state.path().join("tsq.toml");
    std::fs::write(&config, "stratm = 2\n").unwrap();
    for (args, code, reason) in [
        (["--listen", &address], 4, "another program has the port"),
        (["--cert", "missing.pem"], 2, "--key"),
        (["--config", config.to_str().unwrap()], 2, "unknown key"),
    ] {
        let outcome = command(state.path(), &args).output().unwrap();
        let text = String::from_utf8(outcome.stderr).unwrap();
        assert_eq!(outcome.status.code(), Some(code), "{text}");
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last["level"], "ERROR", "{text}");
        let message = last["fields"]["message"].as_str().unwrap();
        assert!(message.contains(reason), "{text}");
    }
}

/// All levels but the last, which the documentation says so of.
#[test]
fn no_line_names_a_client_above_trace() {
    for (level, named) in [("debug", false), ("trace", true)] {
        let state = tempfile::tempdir().unwrap();
        let args = ["--listen", "127.0.0.2:0", "--log-level", level];
        let mut server = Process::start(command(state.path(), &args));
        let address = server.wait_for(LIMIT, |line| address_of(line, "listening"));
        let load = Load::default();
        std::thread::scope(|scope| {
            let _stop = load.stop_on_drop();
            let clients = scope.spawn(|| Clients::new(address).run(&load));
            load.wait_for_more(200);
            load.stop();
            let failures = clients.join().unwrap();
            assert!(failures.is_empty(), "{failures:#?}");
        });
        assert_eq!(server.terminate().code(), Some(0));
        let lines = server.lines();
        let client = lines.iter().find(|line| line.contains("127.0.0.1"));
        assert_eq!(client.is_some(), named, "{client:?}");
        // The test would see nothing where nothing is logged.
        assert!(lines.iter().any(|line| line.contains("127.0.0.2")));
    }
}

fn command(state: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tsq-server"));
    command
        .args(["--serve-unsynchronised", "--no-chrony", "--threads", "1"])
        .args(["--log-format", "json", "--state-dir"])
        .arg(state)
        .args(args);
    command
}

fn address_in(log: &mut impl BufRead, message: &str) -> SocketAddr {
    fields_in(log, |fields| {
        (fields["message"] == message).then_some(())?;
        fields["address"].as_str()?.parse().ok()
    })
}

fn address_of(line: &str, message: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    (line["fields"]["message"] == message).then_some(())?;
    line["fields"]["address"].as_str()?.parse().ok()
}

/// The first thing found in the fields of a line that is still to come.
fn fields_in<T>(log: &mut impl BufRead, find: impl Fn(&serde_json::Value) -> Option<T>) -> T {
    for line in log.lines() {
        let line: Result<serde_json::Value, _> = serde_json::from_str(&line.unwrap());
        if let Some(found) = line.ok().and_then(|line| find(&line["fields"])) {
            return found;
        }
    }
    panic!("the log has ended")
}
