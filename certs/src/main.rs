//! The command `tsq-certs`: makes certificates and signing keys for TSQ servers and prints pins.

#![forbid(unsafe_code)]

mod args;
mod commands;

use std::process::ExitCode;

use clap::Parser;

/// Exits 0 when done, 2 when the arguments were at fault, 1 otherwise.
fn main() -> ExitCode {
    match commands::run(&args::Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be there to read it.
            let _ = std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("tsq-certs: {error}\n"),
            );
            ExitCode::from(if error.is_usage() { 2 } else { 1 })
        }
    }
}
