//! The `tsq-adjtime` command.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use tsq_adjtime::args::Args;

fn main() -> ExitCode {
    ExitCode::from(tsq_adjtime::run::run(&Args::parse()))
}
