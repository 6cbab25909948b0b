//! Every scenario of `tsq-sim`, with all its seeds, held against its limits.

use std::path::{Path, PathBuf};

use tsq_workbench::process::{Failure, cargo, run as run_command};
use tsq_workbench::workspace::Workspace;

/// Runs them; the ones that do not hold are printed, and fail.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let files = scenarios(&workspace.root.join("tsq-sim/scenarios"))?;
    println!("{} scenarios, all seeds (five minutes)", files.len());
    run_command(
        cargo(&workspace.root)
            .args(["run", "--quiet", "--release", "-p", "tsq-sim", "--", "run"])
            .args(files),
    )
}

fn scenarios(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error| Failure::new(format!("{}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            files.extend(scenarios(&path)?);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
