//! A real server on the host's loopback.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Stdio};

use serde_json::Value;

use super::guarded::Guarded;
use tsq_workbench::process::Failure;

/// A running `tsq-server` with a certificate of its own.
pub(super) struct Server {
    pub(super) port: u16,
    pub(super) pin: String,
    // Ended with us. The log's reader stays open, or the server's next line would fail.
    _process: Guarded,
    _log: BufReader<ChildStderr>,
}

impl Server {
    /// Starts it and waits until it listens; `state` is kept from run to run. `identity` names its certificate and key,
    /// if it shall not make its own.
    pub(super) fn start(
        program: &Path,
        state: &Path,
        identity: &[PathBuf],
    ) -> Result<Self, Failure> {
        let mut process = Guarded::start(&program.to_string_lossy(), |command| {
            command
                .args([
                    "--listen",
                    "127.0.0.1:0",
                    "--log-format",
                    "json",
                    "--serve-unsynchronised",
                ])
                .arg("--state-dir")
                .arg(state)
                .args(identity)
                .stdin(Stdio::null())
                .stderr(Stdio::piped())
        })?;
        let stderr = process.child().stderr.take();
        let mut log = BufReader::new(stderr.expect("stderr was asked for as a pipe"));
        let pin = field(&mut log, "pin")?;
        let address = field(&mut log, "address")?;
        let port = address
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        Ok(Self {
            port: port.ok_or_else(|| Failure::new(format!("no port in {address:?}")))?,
            pin,
            _process: process,
            _log: log,
        })
    }
}

/// The value of `key` in the next log line that has it.
fn field(log: &mut impl BufRead, key: &str) -> Result<String, Failure> {
    let mut said = Vec::new();
    for line in log.lines().map_while(Result::ok) {
        let json: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(value) = json["fields"][key].as_str() {
            return Ok(value.to_owned());
        }
        said.push(line);
    }
    Err(Failure::new(format!(
        "tsq-server ended before it told its {key}: {}",
        said.join("; ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_order() {
        let mut log: &[u8] = br#"{"fields":{"pin":"ab"}}
            {"fields":{"message":"listening","address":"127.0.0.1:9"}}"#;
        assert_eq!(field(&mut log, "pin").unwrap(), "ab");
        assert_eq!(field(&mut log, "address").unwrap(), "127.0.0.1:9");
    }

    #[test]
    fn server_that_ends_is_quoted() {
        let mut log: &[u8] = b"cannot serve";
        let failure = field(&mut log, "pin").unwrap_err().to_string();
        assert!(failure.ends_with("its pin: cannot serve"), "{failure}");
    }
}
