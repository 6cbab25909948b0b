//! A signing key of tsq-certs, for a server that signs.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tsq_interop::{bin, run};

use crate::Error;
use crate::args::Signing;

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
