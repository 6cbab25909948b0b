//! `tsq-counts` under valgrind.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use tsq_workbench::process::{Failure, capture, run};

/// The program that goes a hot path so many times.
pub(super) struct Program {
    binary: PathBuf,
    scratch: TempDir,
}

/// A hot path, and how many passes make a count.
pub(super) struct Path {
    pub(super) name: String,
    passes: u64,
}

impl Program {
    pub(super) fn new(binary: PathBuf) -> Result<Self, Failure> {
        let scratch = TempDir::new()
            .map_err(|error| Failure::new(format!("no folder for callgrind's files: {error}")))?;
        Ok(Self { binary, scratch })
    }

    /// Its hot paths.
    pub(super) fn paths(&self) -> Result<Vec<Path>, Failure> {
        let listed = capture(Command::new(&self.binary).arg("list"))?;
        listed.lines().map(Path::parse).collect()
    }

    /// The features of the processor as valgrind shows them.
    pub(super) fn cpu(&self) -> Result<Vec<String>, Failure> {
        let features = capture(valgrind().arg("--tool=none").arg(&self.binary).arg("cpu"))?;
        Ok(features.split_whitespace().map(str::to_owned).collect())
    }

    pub(super) fn valgrind(&self) -> Result<String, Failure> {
        Ok(capture(Command::new("valgrind").arg("--version"))?
            .trim()
            .into())
    }

    /// Instructions of one pass.
    pub(super) fn count(&self, path: &Path) -> Result<u64, Failure> {
        let out = self.scratch.path().join("out");
        run(valgrind()
            .arg("--tool=callgrind")
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(format!("--toggle-collect=*{MEASURED}*"))
            .arg(&self.binary)
            .args(["run", &path.name, &path.passes.to_string()]))?;
        let profile = fs::read_to_string(&out)
            .map_err(|error| Failure::new(format!("callgrind left no profile: {error}")))?;
        match total(&profile) {
            Some(total) if total >= path.passes => Ok(total / path.passes),
            _ => Err(Failure::new(format!(
                "callgrind counted nothing of \"{}\": is {MEASURED} still a function of its own, with its symbol?",
                path.name
            ))),
        }
    }
}

impl Path {
    fn parse(line: &str) -> Result<Self, Failure> {
        let parts = line.split_once('\t');
        parts
            .and_then(|(passes, name)| {
                Some(Self {
                    name: name.into(),
                    passes: passes.parse().ok().filter(|passes| *passes > 0)?,
                })
            })
            .ok_or_else(|| Failure::new(format!("tsq-counts lists {line:?}: no path")))
    }
}

/// With an empty environment: settings of the C library change what it does.
fn valgrind() -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--vgdb=no"]).env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// What callgrind's profile says of the whole run.
fn total(profile: &str) -> Option<u64> {
    let totals = profile
        .lines()
        .find_map(|line| line.strip_prefix("totals:"))?;
    totals.split_whitespace().next()?.parse().ok()
}

/// The function inside which callgrind counts.
const MEASURED: &str = "tsq_counts_measured";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_is_read_from_a_profile() {
        let profile = "# callgrind format\nevents: Ir\nfn=(1) x\n4 40\ntotals: 5840014\n";
        assert_eq!(total(profile), Some(5_840_014));
        assert_eq!(total("events: Ir\n"), None);
    }

    #[test]
    fn path_is_read_from_the_list() {
        let path = Path::parse("500\tengine: datagram exchange").unwrap();
        assert_eq!(
            (path.passes, path.name.as_str()),
            (500, "engine: datagram exchange")
        );
        for wrong in ["", "x\tname", "0\tname", "500 name"] {
            assert!(Path::parse(wrong).is_err(), "{wrong}");
        }
    }
}
