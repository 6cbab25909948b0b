//! Where the programs of others are.

use std::path::{Path, PathBuf};

/// The folder into which `cargo xtask bench-peers` puts what it unpacks and builds, and the machine's own folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    folder: Option<PathBuf>,
}

impl Tools {
    /// The variable that names the folder.
    pub const VARIABLE: &str = "TSQ_BENCH_TOOLS";

    /// Those of [`Self::VARIABLE`].
    #[must_use]
    pub fn from_env() -> Self {
        Self {
            folder: std::env::var_os(Self::VARIABLE).map(PathBuf::from),
        }
    }

    /// A program by its name: of the tools, else of the machine. Daemons are in folders that are not in every `PATH`.
    ///
    /// # Errors
    /// It is nowhere; says what to do.
    pub fn find(&self, name: &str) -> Result<PathBuf, String> {
        if let Some(chronyd) = std::env::var_os("TSQ_CHRONYD").filter(|_| name == "chronyd") {
            return Ok(chronyd.into());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let ours = self.folder.iter().flat_map(|folder| {
            ["usr/sbin", "usr/bin", "bin", "cargo/bin"].map(|part| folder.join(part))
        });
        ours.chain(std::env::split_paths(&path))
            .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
            .ok_or_else(|| {
                format!("{name} is not installed (`cargo xtask bench-peers` installs it)")
            })
    }

    /// Where unpacked Python modules are, when they are.
    #[must_use]
    pub fn python(&self) -> Option<PathBuf> {
        let folder = self
            .folder
            .as_deref()?
            .join("usr/lib/python3/dist-packages");
        folder.is_dir().then_some(folder)
    }

    /// The folder that was named.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn unpacked_program_comes_before_the_installed_one() {
        let folder = tempfile::tempdir().unwrap();
        let tools = Tools {
            folder: Some(folder.path().to_owned()),
        };
        assert!(tools.find("sh").unwrap().ends_with("bin/sh"));
        fs::create_dir_all(folder.path().join("usr/bin")).unwrap();
        let own = folder.path().join("usr/bin/sh");
        fs::write(&own, "").unwrap();
        assert_eq!(tools.find("sh").unwrap(), own);
    }

    #[test]
    fn absent_program_is_named_with_the_way_to_it() {
        let reason = Tools { folder: None }.find("no-such-program").unwrap_err();
        assert!(reason.contains("no-such-program"), "{reason}");
        assert!(reason.contains("cargo xtask bench-peers"), "{reason}");
    }
}
