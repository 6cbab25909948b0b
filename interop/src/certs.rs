//! Certificates made by our own `tsq-certs`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::{bin, run};

/// A certificate authority in a temporary folder, which goes when this is dropped.
#[derive(Debug)]
pub struct Certs {
    folder: TempDir,
}

/// The files of a server certificate; they live as long as the [`Certs`] that made them.
#[derive(Clone, Debug)]
pub struct ServerCert {
    /// The certificate chain, PEM.
    pub cert: String,
    /// The private key, PEM.
    pub key: String,
}

impl Certs {
    /// Makes a new authority.
    ///
    /// # Panics
    /// When `tsq-certs` fails.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("the folder for temporary files is writable");
        let certs = Self { folder };
        tsq_certs(&["ca", "--out", &certs.path(AUTHORITY)]);
        certs
    }

    /// The authority's certificate, PEM: for `--ca`.
    #[must_use]
    pub fn ca(&self) -> String {
        self.path("authority/ca.pem")
    }

    /// Makes a server certificate for one name or IP address.
    ///
    /// `options` go to `tsq-certs server` as they are: `--key ed25519`, `--not-after -2d`, more `--name`s.
    ///
    /// # Panics
    /// When `tsq-certs` fails, as it does when `label` is used again.
    #[must_use]
    #[track_caller]
    pub fn server(&self, label: &str, name: &str, options: &[&str]) -> ServerCert {
        let out = self.path(label);
        let args = [
            "server",
            "--ca",
            &self.path(AUTHORITY),
            "--out",
            &out,
            "--name",
            name,
        ];
        tsq_certs(&[&args, options].concat());
        ServerCert {
            cert: format!("{out}/cert.pem"),
            key: format!("{out}/key.pem"),
        }
    }

    /// Makes a client certificate, for servers run with `--client-ca`.
    ///
    /// # Panics
    /// When `tsq-certs` fails, as it does when `label` is used again.
    #[must_use]
    #[track_caller]
    pub fn client(&self, label: &str) -> ServerCert {
        let (ca, out) = (self.path(AUTHORITY), self.path(label));
        tsq_certs(&["client", "--ca", &ca, "--out", &out, "--name", label]);
        ServerCert {
            cert: format!("{out}/cert.pem"),
            key: format!("{out}/key.pem"),
        }
    }

    fn path(&self, name: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        path.into_os_string()
            .into_string()
            .expect("the folder for temporary files has a UTF-8 name")
    }
}

impl Default for Certs {
    fn default() -> Self {
        Self::new()
    }
}

const AUTHORITY: &str = "authority";

#[track_caller]
fn tsq_certs(args: &[&str]) {
    let mut command = Command::new(bin("tsq-certs"));
    command.args(args);
    let outcome = run(command, Duration::from_secs(10));
    assert_eq!(
        outcome.code,
        Some(0),
        "tsq-certs {args:?} failed:\n{outcome:#?}"
    );
}
