//! `fuzz/`: its seeds on this compiler, then a short run of each target where a nightly compiler is at hand.

use std::path::Path;
use std::process::Command;

use tsq_workbench::process::{Failure, cargo, run, succeeds, watch};
use tsq_workbench::tally::Tally;
use tsq_workbench::workspace::Workspace;

/// Every binary of `fuzz/Cargo.toml`.
const TARGETS: [&str; 8] = [
    "codec_values",
    "codec_bytes",
    "request_handler",
    "response_validator",
    "server_endpoint",
    "receipt_verifier",
    "clock_keeper",
    "scenario_file",
];

/// Enough to run all seeds and a little further; finding more takes the long runs of `fuzz/README.md`.
const SECONDS_EACH: u32 = 5;

pub(crate) fn check(workspace: &Workspace, tally: &mut Tally) -> Result<(), Failure> {
    let folder = workspace.root.join("fuzz");
    run(cargo(&folder).args(["fmt", "--check"]))?;
    run(own_workspace(workspace, &folder, "clippy").args([
        "--lib",
        "--tests",
        "--examples",
        "--",
        "-D",
        "warnings",
    ]))?;
    watch(
        own_workspace(workspace, &folder, "test").arg("--lib"),
        |line| *tally += Tally::of_standard_runner(line).unwrap_or_default(),
    )?;
    if !succeeds(Command::new("rustup").args(["run", "nightly", "rustc", "--version"])) {
        println!("fuzzing: skipped, no nightly compiler (rustup toolchain install nightly)");
        return Ok(());
    }
    if !has_cargo_fuzz(&folder) && !install_cargo_fuzz(&folder) {
        println!("fuzzing: skipped, no cargo-fuzz and it cannot be installed");
        return Ok(());
    }
    TARGETS
        .iter()
        .try_for_each(|target| fuzz(workspace, &folder, target))
}

/// A cargo command on `fuzz/`, built beside the rest.
fn own_workspace(workspace: &Workspace, folder: &Path, command: &str) -> Command {
    let mut cargo = cargo(folder);
    cargo.args([command, "--target-dir"]);
    cargo.arg(workspace.target.join("fuzz"));
    cargo
}

fn has_cargo_fuzz(folder: &Path) -> bool {
    succeeds(cargo(folder).args(["fuzz", "--version"]))
}

fn install_cargo_fuzz(folder: &Path) -> bool {
    println!("installing cargo-fuzz (built from source, a minute)");
    run(cargo(folder).args(["install", "cargo-fuzz", "--locked"])).is_ok()
}

/// New inputs stay in the build folder; one that breaks the property is named by cargo-fuzz.
fn fuzz(workspace: &Workspace, folder: &Path, target: &str) -> Result<(), Failure> {
    let built = workspace.target.join("fuzz");
    let corpus = built.join("corpus").join(target);
    std::fs::create_dir_all(&corpus)
        .map_err(|error| Failure::new(format!("cannot make {}: {error}", corpus.display())))?;
    let seconds = format!("-max_total_time={SECONDS_EACH}");
    // Through rustup: the cargo that runs us belongs to one compiler.
    run(Command::new("rustup")
        .args(["run", "nightly", "cargo", "fuzz", "run", "--target-dir"])
        .arg(&built)
        .arg(target)
        .arg(&corpus)
        .arg(folder.join("seeds").join(target))
        .args(["--", &seconds, "-verbosity=0", "-print_funcs=0"])
        .current_dir(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_of_the_fuzz_crate_is_run() {
        let manifest = include_str!("../../fuzz/Cargo.toml");
        let (_, binaries) = manifest.split_once("[[bin]]").unwrap();
        let names: Vec<&str> = binaries
            .lines()
            .filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
            .collect();
        assert_eq!(names, TARGETS);
    }
}
