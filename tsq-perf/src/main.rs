//! The `tsq-perf` command: see the crate's documentation.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use tsq_perf::args::Args;

fn main() -> ExitCode {
    ExitCode::from(tsq_perf::run::main(&Args::parse()))
}
