//! Builds everything and runs every test.

use crate::chrony;
use crate::tools::has_nextest;
use tsq_workbench::process::{Failure, cargo, run as run_command, watch};
use tsq_workbench::tally::Tally;
use tsq_workbench::workspace::Workspace;

pub(crate) fn build(workspace: &Workspace) -> Result<(), Failure> {
    run_command(cargo(&workspace.root).args(["build", "--workspace", "--all-targets"]))
}

pub(crate) fn run(workspace: &Workspace, tally: &mut Tally) -> Result<(), Failure> {
    // No work after the build step; a lone `--only tests` must not test yesterday's binaries.
    run_command(cargo(&workspace.root).args(["build", "--workspace", "--bins"]))?;
    all_but_doc_tests(workspace, tally)?;
    doc_tests(workspace, tally)?;
    if *tally == Tally::default() {
        return Err(Failure::new("no test ran"));
    }
    Ok(())
}

fn all_but_doc_tests(workspace: &Workspace, tally: &mut Tally) -> Result<(), Failure> {
    if has_nextest(&workspace.root) {
        // Ends a test that hangs; without it CI would wait until its own limit and name no test.
        let limits = format!(
            "xtask:{}",
            workspace.root.join("xtask/nextest.toml").display()
        );
        let args = [
            "nextest",
            "run",
            "--workspace",
            "--no-fail-fast",
            "--no-tests=pass",
            "--tool-config-file",
            &limits,
        ];
        count(workspace, &args, Tally::of_nextest, tally)
    } else {
        let args = [
            "test",
            "--workspace",
            "--no-fail-fast",
            "--lib",
            "--bins",
            "--tests",
        ];
        count(workspace, &args, Tally::of_standard_runner, tally)
    }
}

/// nextest leaves these out.
fn doc_tests(workspace: &Workspace, tally: &mut Tally) -> Result<(), Failure> {
    let args = ["test", "--workspace", "--no-fail-fast", "--doc"];
    count(workspace, &args, Tally::of_standard_runner, tally)
}

/// Runs cargo with `args` and adds up the totals its lines hold.
fn count(
    workspace: &Workspace,
    args: &[&str],
    totals: fn(&str) -> Option<Tally>,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let mut command = cargo(&workspace.root);
    // The end-to-end tests start the real programs; this tells them where those are.
    command
        .args(args)
        .env("TSQ_BIN_DIR", workspace.target.join("debug"))
        .env("TSQ_CHRONYD", chrony::program(workspace));
    watch(&mut command, |line| {
        *tally += totals(line).unwrap_or_default();
    })
}
