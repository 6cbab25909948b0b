//! A signing key of tsq-certs, for a server that signs.

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clap::ValueEnum;
use tempfile::TempDir;
use tsq_interop::{bin, run};

use crate::Error;

/// How answers are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Signing {
    /// Not at all.
    None,
    /// By Ed25519.
    Ed25519,
    /// By HMAC-SHA256.
    HmacSha256,
}

impl Signing {
    /// As tsq-certs names it.
    #[must_use]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ed25519 => "ed25519",
            Self::HmacSha256 => "hmac-sha256",
        }
    }
}

impl fmt::Display for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Goes with its folder when dropped.
pub(super) struct Key {
    _folder: TempDir,
    file: String,
}

impl Key {
    /// A new key; none where nothing is signed.
    pub(super) fn make(signing: Signing) -> Result<Option<Self>, Error> {
        if signing == Signing::None {
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        let file = text(&folder.path().join("key"));
        let mut command = Command::new(bin("tsq-certs"));
        let algorithm = ["--algorithm", signing.name()];
        command
            .args(["signing-key", "--id", "1", "--out", &file])
            .args(algorithm);
        let outcome = run(command, LIMIT);
        if outcome.code != Some(0) {
            return Err(format!("tsq-certs: {}", outcome.stderr).into());
        }
        Ok(Some(Self {
            _folder: folder,
            file,
        }))
    }

    /// For `tsq-server --signing-key`.
    pub(super) fn file(&self) -> &str {
        &self.file
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

const LIMIT: Duration = Duration::from_secs(10);
