//! The `tsq-server` command.

#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use tsq_server::args::Args;
use tsq_server::run::run;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be there to read it.
            let _ = writeln!(std::io::stderr(), "tsq-server: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
