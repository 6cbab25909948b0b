//! Our server as a child process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::{Outcome, Process, bin, faketime, run};

/// A running `tsq-server`; killed on drop.
#[derive(Debug)]
pub struct Server {
    process: Process,
    address: SocketAddr,
    pin: String,
    /// Goes with the server when it is its own.
    _state: Option<TempDir>,
}

impl Server {
    /// Starts `tsq-server` with a state directory of its own on an unused port of 127.0.0.1, or
    /// where a `--listen` among `args` says, and waits until it serves.
    ///
    /// # Panics
    /// When it is not listening after 5 s.
    #[must_use]
    #[track_caller]
    pub fn start(args: &[&str]) -> Self {
        Self::with_own_state(args, |command| command)
    }

    /// Starts it as [`Self::start`] does, with a clock that is off by `shift`, as [`faketime`]
    /// takes it.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    #[track_caller]
    pub fn start_at(shift: &str, args: &[&str]) -> Self {
        Self::with_own_state(args, |command| faketime(command, shift))
    }

    /// Starts it as [`Self::start`] does, by the command that `prepare` makes of its own.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    #[track_caller]
    pub fn start_prepared(args: &[&str], prepare: impl Fn(Command) -> Command) -> Self {
        Self::with_own_state(args, prepare)
    }

    /// Starts it as [`Self::start`] does, with a state directory that outlives it.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    #[track_caller]
    pub fn start_in(state: &Path, args: &[&str]) -> Self {
        Self::serving(command(state, args))
    }

    /// Runs it to its end, with these arguments alone: for those it refuses.
    ///
    /// # Panics
    /// When it is still running after 5 s; it is killed then.
    #[must_use]
    #[track_caller]
    pub fn run(args: &[&str]) -> Outcome {
        let mut command = Command::new(bin("tsq-server"));
        command.args(args);
        run(command, START_LIMIT)
    }

    #[track_caller]
    fn with_own_state(args: &[&str], prepare: impl Fn(Command) -> Command) -> Self {
        let state = tempfile::tempdir().expect("the folder for temporary files is writable");
        let server = Self::serving(prepare(command(state.path(), args)));
        Self {
            _state: Some(state),
            ..server
        }
    }

    #[track_caller]
    fn serving(command: Command) -> Self {
        let process = Process::start(command);
        let pin = process.wait_for(START_LIMIT, |line| field(line, "certificate", "pin"));
        let address = process.wait_for(START_LIMIT, listening);
        Self {
            process,
            address,
            pin,
            _state: None,
        }
    }

    /// The address it serves; the first, when there are several.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The second address it serves, when `--listen` was given twice.
    ///
    /// # Panics
    /// When it does not say within 5 s that it serves a second one.
    #[must_use]
    #[track_caller]
    pub fn second_address(&self) -> SocketAddr {
        self.process.wait_for(START_LIMIT, |line| {
            listening(line).filter(|address| *address != self.address)
        })
    }

    /// The pin of its certificate: SHA-256 of the public key, 64 hex digits.
    #[must_use]
    pub fn pin(&self) -> &str {
        &self.pin
    }

    /// What it answers to `GET` of `path`, head and body, when it was given `--metrics 127.0.0.1:0`.
    ///
    /// # Panics
    /// When it does not answer within 10 s.
    #[must_use]
    #[track_caller]
    pub fn get(&self, path: &str) -> String {
        let find = |line: &str| {
            field(line, "metrics", "address")?
                .parse::<SocketAddr>()
                .ok()
        };
        let address = self.process.wait_for(START_LIMIT, find);
        let mut stream = TcpStream::connect(address).expect("metrics are told there");
        stream
            .set_read_timeout(Some(2 * START_LIMIT))
            .expect("a limit that is not 0");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("connected");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer in time");
        text
    }

    /// A number among its metrics, such as `tsq_connections`; with labels where there are any.
    ///
    /// # Panics
    /// When there is none of this name.
    #[must_use]
    #[track_caller]
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics");
        text.lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .find_map(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("no {name} in:\n{text}"))
    }

    /// The running process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends it by SIGTERM and waits.
    ///
    /// # Panics
    /// When it is still there after 10 s.
    #[track_caller]
    pub fn terminate(mut self) -> ExitStatus {
        self.process.terminate()
    }
}

const START_LIMIT: Duration = Duration::from_secs(5);

fn command(state: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(bin("tsq-server"));
    command
        // Nobody keeps the clock of a test machine.
        .args([
            "--serve-unsynchronised",
            "--log-format",
            "json",
            "--state-dir",
        ])
        .arg(state);
    if !args.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command.args(args);
    command
}

/// The address in the line that says it is served.
fn listening(line: &str) -> Option<SocketAddr> {
    field(line, "listening", "address")?.parse().ok()
}

/// A field of a JSON log line with this message.
fn field(line: &str, message: &str, name: &str) -> Option<String> {
    let event: Value = serde_json::from_str(line).ok()?;
    let fields = event.get("fields")?;
    (fields.get("message")? == message).then_some(())?;
    fields.get(name)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_is_read_from_its_own_message_only() {
        let line =
            r#"{"level":"INFO","fields":{"message":"listening","address":"127.0.0.1:40123"}}"#;
        assert_eq!(
            field(line, "listening", "address").as_deref(),
            Some("127.0.0.1:40123")
        );
        assert_eq!(field(line, "certificate", "address"), None);
        assert_eq!(field(line, "listening", "pin"), None);
        assert_eq!(
            field("listening on 127.0.0.1:40123", "listening", "address"),
            None
        );
    }
}
