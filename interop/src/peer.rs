//! The Python peers as child processes.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::Duration;

use crate::binaries::interop_folder;
use crate::{Outcome, Process, run};

/// A running server of `interop/peers`; killed on drop.
#[derive(Debug)]
pub struct Peer {
    process: Process,
    address: SocketAddr,
    pin: String,
}

impl Peer {
    /// Starts a server script, such as `"hostile_server.py"`, on an unused port of 127.0.0.1 and
    /// waits until it serves. Without `--cert` it makes itself a certificate.
    ///
    /// # Panics
    /// When it is not listening after 20 s: an interpreter on a busy machine takes its time.
    #[must_use]
    #[track_caller]
    pub fn start(script: &str, args: &[&str]) -> Self {
        let process = Process::start(command(script, args));
        let pin = process.wait_for(START_LIMIT, |line| {
            line.strip_prefix("pin ").map(str::to_owned)
        });
        let address = process.wait_for(START_LIMIT, |line| {
            line.strip_prefix("listening on ")?.parse().ok()
        });
        Self {
            process,
            address,
            pin,
        }
    }

    /// Runs a client script against a server to its end; it prints one JSON object.
    ///
    /// # Panics
    /// When it is still running after 60 s; it is killed then.
    #[must_use]
    #[track_caller]
    pub fn run(script: &str, server: SocketAddr, args: &[&str]) -> Outcome {
        let (host, port) = (server.ip().to_string(), server.port().to_string());
        let address = ["--host", &host, "--port", &port];
        run(command(script, &[&address, args].concat()), RUN_LIMIT)
    }

    /// The address it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The pin of its certificate: SHA-256 of the public key, 64 hex digits.
    #[must_use]
    pub fn pin(&self) -> &str {
        &self.pin
    }

    /// Waits until it prints this line.
    ///
    /// # Panics
    /// When it has not after `limit`.
    #[track_caller]
    pub fn must_say(&self, limit: Duration, wanted: &str) {
        self.process
            .wait_for(limit, |line| (line == wanted).then_some(()));
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

const START_LIMIT: Duration = Duration::from_secs(20);
const RUN_LIMIT: Duration = Duration::from_secs(60);
/// Making the environment downloads packages, once.
const SETUP_LIMIT: Duration = Duration::from_secs(300);

fn command(script: &str, args: &[&str]) -> Command {
    let mut command = Command::new(interpreter());
    command.arg("-u"); // each line at once
    command
        .arg(interop_folder().join("peers").join(script))
        .args(args);
    command
}

/// `TSQ_INTEROP_PYTHON`, or else the environment that `setup.sh` makes.
fn interpreter() -> &'static PathBuf {
    static INTERPRETER: OnceLock<PathBuf> = OnceLock::new();
    INTERPRETER.get_or_init(|| env::var_os("TSQ_INTEROP_PYTHON").map_or_else(set_up, PathBuf::from))
}

fn set_up() -> PathBuf {
    let outcome = run(Command::new(interop_folder().join("setup.sh")), SETUP_LIMIT);
    assert_eq!(
        outcome.code,
        Some(0),
        "interop/setup.sh failed:\n{outcome:#?}"
    );
    PathBuf::from(outcome.stdout.trim())
}
