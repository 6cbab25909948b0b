//! The project's own commands: test, bench, bench-check, bench-peers, interop, vm, systemd, ledger.
//!
//! `cargo xtask test` is the one test command, for a developer and for CI alike. Nothing here is shipped.

#![forbid(unsafe_code)]

mod bench_check;
mod bench_peers;
mod chrony;
mod citations;
mod code;
mod cores;
mod deny;
mod docs;
mod flags;
mod fuzz;
mod ledger;
mod links;
mod lint;
mod peers;
mod proofs;
mod prose;
mod purity;
mod sim;
mod steps;
mod suite;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tsq_workbench::process::{self, Failure, cargo};
use tsq_workbench::tally::Tally;
use tsq_workbench::workspace::Workspace;

/// The TSQ project's own commands.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every check and every test; stop at the first step that fails
    Test(steps::Args),
    /// Check draft/LEDGER.md against the rule ids cited in code and tests
    Ledger(ledger::Args),
    /// Run the benchmarks; arguments go to `cargo bench`
    Bench {
        /// Handed on, such as `engine` or `-- --quick`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Count the instructions of the hot paths; fail where they grew by more than a tenth
    BenchCheck(bench_check::Args),
    /// Measure our programs beside those of others and write benches/RESULTS.md (20 minutes, root)
    BenchPeers(bench_peers::Args),
    /// Run our programs against other QUIC stacks and write interop/RESULTS.md
    Interop(tsq_matrix::Args),
    /// Run every scenario of the simulator with all its seeds and hold it against its limits (5 minutes)
    Sim,
    /// Set the clock of a virtual machine by our servers and judge the result
    Vm,
    /// Run the shipped unit under a real systemd in a virtual machine (2 minutes)
    Systemd,
}

fn main() -> ExitCode {
    tsq_interop::end_quietly_without_a_reader();
    match run(&Args::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<(), Failure> {
    let workspace = Workspace::load()?;
    match command {
        Command::Test(args) => steps::run(&workspace, args),
        Command::Ledger(args) => ledger::run(&workspace, args),
        Command::Bench { args } => process::run(
            cargo(&workspace.root)
                .args(["bench", "-p", "tsq-hot-paths"])
                .args(args),
        ),
        Command::BenchCheck(args) => bench_check::check(&workspace, args),
        Command::BenchPeers(args) => bench_peers::run(&workspace, args),
        Command::Interop(args) => tsq_matrix::run(&workspace, args),
        Command::Sim => sim::run(&workspace),
        Command::Vm => tsq_vm::run(&workspace, &mut Tally::default()),
        Command::Systemd => tsq_vm::systemd::run(&workspace),
    }
}
