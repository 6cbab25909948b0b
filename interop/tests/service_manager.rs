//! What systemd and `tsq-server` tell each other, and the unit files that are shipped.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tsq_interop::{Adjtime, Process, bin, run};

/// Listens where `NOTIFY_SOCKET` says, as systemd does.
struct Manager {
    folder: TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Self { folder, socket }
    }

    fn start(&self, watchdog: &str) -> Process {
        let state = self.folder.path().join("state");
        self.start_with(&state, &["--listen", "127.0.0.1:0"], watchdog)
    }

    fn start_with(&self, state: &Path, args: &[&str], watchdog: &str) -> Process {
        let mut command = server(state);
        command
            .args(args)
            .env("NOTIFY_SOCKET", self.folder.path().join("notify"))
            .env("WATCHDOG_USEC", watchdog);
        Process::start(command)
    }

    /// The next message that is not a watchdog's.
    fn told(&self) -> String {
        loop {
            let message = self.next();
            if message.trim() != "WATCHDOG=1" {
                return message;
            }
        }
    }

    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }
}

fn server(state: &Path) -> Command {
    let mut command = Command::new(bin("tsq-server"));
    command
        .args(["--serve-unsynchronised", "--log-format", "json"])
        .arg("--state-dir")
        .arg(state);
    command
}

/// What a line of the log says.
fn field(process: &Process, message: &str, name: &str) -> String {
    process.wait_for(LIMIT, |line| {
        let event: Value = serde_json::from_str(line).ok()?;
        let fields = event.get("fields")?;
        (fields.get("message")? == message).then_some(())?;
        fields.get(name)?.as_str().map(str::to_owned)
    })
}

const LIMIT: Duration = Duration::from_secs(60);

/// A watchdog's time, in microseconds, where nothing depends on it.
const WHATEVER: &str = "600000000";

#[test]
fn start_reload_and_end_are_told() {
    let manager = Manager::new();
    let mut server = manager.start(WHATEVER);
    assert_eq!(manager.told().trim(), "READY=1");
    let pid = Pid::from_raw(server.id().cast_signed()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    let reloading = manager.told();
    let lines: Vec<&str> = reloading.lines().collect();
    assert_eq!(lines[0], "RELOADING=1");
    assert!(lines[1].starts_with("MONOTONIC_USEC="), "{reloading}");
    assert_eq!(manager.told().trim(), "READY=1");
    assert_eq!(server.terminate().code(), Some(0));
    assert_eq!(manager.told().trim(), "STOPPING=1");
}

/// Two instances of a unit: each manager hears of its own process alone.
#[test]
fn take_over_is_a_start_here_and_an_end_there() {
    let (first, second) = (Manager::new(), Manager::new());
    let state = first.folder.path().join("state");
    let old = first.start_with(&state, &["--listen", "127.0.0.1:0"], WHATEVER);
    assert_eq!(first.told().trim(), "READY=1");
    let listen = field(&old, "listening", "address");
    let new = second.start_with(&state, &["--take-over", "--listen", &listen], WHATEVER);
    assert_eq!(second.told().trim(), "READY=1");
    assert_eq!(first.told().trim(), "STOPPING=1");
    assert_eq!(field(&new, "listening", "address"), listen);
}

#[test]
fn idle_server_tells_the_watchdog_that_its_threads_go_on() {
    let manager = Manager::new();
    let _server = manager.start("400000");
    assert_eq!(manager.told().trim(), "READY=1");
    for _ in 0..3 {
        assert_eq!(manager.next().trim(), "WATCHDOG=1");
    }
}

/// Passes a bound UDP socket as file descriptor 3, as systemd does.
const PASS: &str = "
import os, socket, sys
kind = socket.SOCK_DGRAM if sys.argv[1] == 'udp' else socket.SOCK_STREAM
bound = socket.socket(socket.AF_INET, kind)
bound.bind(('127.0.0.1', 0))
if bound.fileno() != 3:
    os.dup2(bound.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
";

fn passing(kind: &str, state: &Path) -> Command {
    let server = server(state);
    let mut command = Command::new("python3");
    command
        .args(["-c", PASS, kind])
        .arg(server.get_program())
        .args(server.get_args());
    command
}

#[test]
fn passed_socket_is_served() {
    let state = tempfile::tempdir().unwrap();
    let process = Process::start(passing("udp", state.path()));
    let pin = field(&process, "certificate", "pin");
    let address = field(&process, "listening", "address");
    // Not the port 443 it would bind by itself.
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let report = Adjtime::dry_run(&["--pin", &pin, "--timeout", "10000", &address]);
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
}

#[test]
fn passed_socket_of_another_kind_exits_4() {
    let state = tempfile::tempdir().unwrap();
    let outcome = run(passing("tcp", state.path()), LIMIT);
    assert_eq!(outcome.code, Some(4), "{outcome:#?}");
    assert!(outcome.stderr.contains("ListenDatagram="), "{outcome:#?}");
}

fn packaging(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../packaging")
        .join(file)
}

#[test]
fn shipped_units_are_exposed_less_than_2() {
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("skipped: there is no systemd-analyze here");
        return;
    }
    for unit in ["tsq-server.service", "tsq-adjtime.service"] {
        let mut command = Command::new("systemd-analyze");
        command
            .args(["security", "--offline=true", "--no-pager"])
            .arg(packaging(unit));
        let outcome = run(command, LIMIT);
        let words: Vec<&str> = outcome.stdout.split_whitespace().collect();
        let level = words.iter().rev().find_map(|word| word.parse::<f64>().ok());
        assert!(level.is_some_and(|level| level < 2.0), "{outcome:#?}");
    }
}
