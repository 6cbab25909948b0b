//! The project's own commands: test, bench, bench-check, bench-peers, interop, vm, systemd, ledger.
//!
//! `cargo xtask test` is the one test command, for a developer and for CI alike. Nothing here is shipped.

#![forbid(unsafe_code)]

mod bench_check;
mod bench_peers;
mod chrony;
mod citations;
mod cores;
mod debian;
mod deny;
mod docs;
mod files;
mod fuzz;
mod interop;
mod ledger;
mod links;
mod lint;
mod peers;
mod process;
mod proofs;
mod prose;
mod purity;
mod steps;
mod suite;
mod tally;
mod tools;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::process::{Failure, cargo};
use crate::workspace::Workspace;

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
    Interop(interop::Args),
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
        Command::Interop(args) => interop::run(&workspace, args),
        Command::Vm => vm::run(&workspace, &mut tally::Tally::default()),
        Command::Systemd => vm::systemd::run(&workspace),
    }
}
