//! Programs, certificates and keys that the cells share.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tsq_interop::{Adjtime, Certs, Outcome, Process, Report, Server, ServerCert, bin};

use super::stack::{self, Stack};
use tsq_workbench::workspace::Workspace;

/// What the cells share.
pub(crate) struct Bench {
    programs: PathBuf,
    certs: Certs,
    server: ServerCert,
    keys: TempDir,
}

/// A key of tsq-certs, in the forms its users take.
pub(crate) struct SigningKey {
    /// The file for tsq-server, which signs.
    pub(crate) file: String,
    /// The file for tsq-adjtime, which verifies.
    pub(crate) public_file: String,
    /// For a peer that verifies.
    pub(crate) public: String,
    /// For a peer that signs.
    pub(crate) secret: String,
}

/// A running server of interop/stacks.
pub(crate) struct PeerServer {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Bench {
    pub(crate) fn new(workspace: &Workspace) -> Self {
        tsq_interop::use_programs_in(&workspace.target.join("debug"));
        let certs = Certs::new();
        Self {
            programs: stack::target(workspace).join("debug"),
            server: certs.server("server", "localhost", &[]),
            certs,
            keys: tempfile::tempdir().expect("the folder for temporary files is writable"),
        }
    }

    /// What every server here is started with.
    pub(crate) fn identity(&self) -> [&str; 4] {
        ["--cert", &self.server.cert, "--key", &self.server.key]
    }

    /// Starts tsq-server.
    pub(crate) fn our_server(&self, options: &[&str]) -> Server {
        Server::start(&[&self.identity(), options].concat())
    }

    /// Runs tsq-adjtime against a server with our certificate.
    pub(crate) fn our_client(&self, server: SocketAddr, options: &[&str]) -> Report {
        let ca = self.certs.ca();
        let server = server.to_string();
        let trust = ["--ca", &ca, "--server-name", "localhost", &server];
        Adjtime::dry_run(&[&trust, options].concat())
    }

    /// Runs tsq-perf, which makes connections again and again; what it printed.
    pub(crate) fn our_load(&self, server: SocketAddr, options: &[&str]) -> Result<Value, String> {
        let mut command = Command::new(bin("tsq-perf"));
        // One at a time, so that each has the ticket of the one before.
        let pace = ["--connections", "1", "--duration", "1", "--warm-up", "0"];
        command
            .args([
                "--handshakes",
                "--json",
                "--timeout",
                "9000",
                "--server-name",
                "localhost",
            ])
            .args(["--ca", &self.certs.ca(), &server.to_string()])
            .args(pace)
            .args(options);
        let outcome = tsq_interop::run(command, RUN_LIMIT);
        match outcome.code {
            Some(0) => Ok(outcome.json()),
            code => Err(format!(
                "tsq-perf: exit {code:?}, {}",
                outcome.stderr.trim()
            )),
        }
    }

    /// Starts a peer's server.
    pub(crate) fn peer_server(&self, stack: Stack, options: &[&str]) -> PeerServer {
        let mut command = Command::new(self.programs.join(stack.program()));
        command.arg("server").args(self.identity()).args(options);
        let process = Process::start(command);
        let address = process.wait_for(START_LIMIT, |line| {
            line.strip_prefix("listening on ")?.parse().ok()
        });
        PeerServer { process, address }
    }

    /// Runs a peer's client; what it printed, or why it was not content.
    pub(crate) fn peer_client(
        &self,
        stack: Stack,
        server: SocketAddr,
        options: &[&str],
    ) -> Result<Value, String> {
        let mut command = Command::new(self.programs.join(stack.program()));
        command
            .args(["client", &server.to_string(), "--ca", &self.certs.ca()])
            .args(options);
        let outcome = tsq_interop::run(command, RUN_LIMIT);
        content(&outcome)
    }

    /// The authority of all certificates here.
    pub(crate) fn ca(&self) -> String {
        self.certs.ca()
    }

    /// Makes a key by tsq-certs, or finds the one made before.
    pub(crate) fn signing_key(&self, id: u32, algorithm: &str) -> SigningKey {
        let file = self.keys.path().join(id.to_string());
        if !file.exists() {
            make_key(&file, id, algorithm);
        }
        let public_file = match algorithm {
            "ed25519" => file.with_extension("pub"),
            // Who verifies shares the secret.
            _ => file.clone(),
        };
        let public_name = if public_file == file { "" } else { "-public" };
        let (secret, public) = (hex(&file, "secret"), hex(&public_file, "public"));
        SigningKey {
            public: format!(
                "{algorithm}{public_name}:{id}:{}",
                public.unwrap_or_else(|| secret.clone().unwrap_or_default())
            ),
            secret: format!("{algorithm}:{id}:{}", secret.unwrap_or_default()),
            file: text(&file),
            public_file: text(&public_file),
        }
    }
}

/// The object a client printed, if it was content.
pub(crate) fn content(outcome: &Outcome) -> Result<Value, String> {
    let report = outcome.json();
    if outcome.code == Some(0) {
        return Ok(report);
    }
    let (answered, asked) = (&report["answered"], &report["asked"]);
    let reason = report["error"].as_str().unwrap_or("no reason given");
    Err(format!("{answered} of {asked} answered, {reason}"))
}

fn make_key(file: &Path, id: u32, algorithm: &str) {
    let mut command = Command::new(bin("tsq-certs"));
    command
        .args([
            "signing-key",
            "--id",
            &id.to_string(),
            "--algorithm",
            algorithm,
        ])
        .arg("--out")
        .arg(file);
    let outcome = tsq_interop::run(command, START_LIMIT);
    assert_eq!(outcome.code, Some(0), "tsq-certs: {}", outcome.stderr);
}

/// The value of a key in a key file, which has one line for each.
fn hex(file: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='))?;
    Some(line.trim().trim_matches('"').to_owned())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

const START_LIMIT: Duration = Duration::from_secs(10);
const RUN_LIMIT: Duration = Duration::from_secs(40);
