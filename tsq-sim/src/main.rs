//! The command `tsq-sim`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use tsq_sim::args::Args;

fn main() -> ExitCode {
    ExitCode::from(tsq_sim::commands::main(&Args::parse()))
}
