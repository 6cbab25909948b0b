//! Servers whose certificates began an hour ago: to a wrong clock they are not yet valid, or expired.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::server::Server;
use tsq_workbench::process::{Failure, run};

/// Three servers with certificates of one authority and keys of their own.
pub(super) struct Dated {
    /// The authority's certificate.
    pub(super) authority: PathBuf,
    servers: Vec<Server>,
}

impl Dated {
    /// Makes the certificates anew and starts the servers.
    pub(super) fn start(programs: &Path, folder: &Path) -> Result<Self, Failure> {
        let folder = folder.join("dated");
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let path = folder.display();
                return Err(Failure::new(format!("removing {path}: {error}")));
            }
            _ => {}
        }
        let certs = || Command::new(programs.join("tsq-certs"));
        let authority = folder.join("authority");
        run(certs().args(["ca", "--out"]).arg(&authority))?;
        let server = |number: usize| {
            let files = folder.join(format!("certificate-{number}"));
            let mut command = certs();
            command
                .args(["server", "--name", "10.0.2.2", "--ca"])
                .arg(&authority);
            command.arg("--out").arg(&files);
            run(command.args(["--not-before", "-1h", "--not-after", "+10d"]))?;
            let (cert, key) = (files.join("cert.pem"), files.join("key.pem"));
            let identity = ["--cert".into(), cert, "--key".into(), key];
            let state = folder.join(format!("state-{number}"));
            Server::start(&programs.join("tsq-server"), &state, &identity)
        };
        Ok(Self {
            servers: (0..3).map(server).collect::<Result<_, _>>()?,
            authority: authority.join("ca.pem"),
        })
    }

    /// How the guest asks them.
    pub(super) fn words(&self) -> String {
        let mut words = vec!["--json --ca /etc/ca.pem".to_owned()];
        let address = |server: &Server| format!("10.0.2.2:{}", server.port);
        words.extend(self.servers.iter().map(address));
        words.join(" ")
    }
}
