//! The `tsq-server` command.

#![forbid(unsafe_code)]

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use tsq_server::config::{ConfigError, Loaded};
use tsq_server::run::run;

fn main() -> ExitCode {
    let loaded = match Loaded::from_words(std::env::args_os()) {
        Ok(loaded) => loaded,
        Err(ConfigError::Flags(error)) => error.exit(),
        Err(error) => return fail(&error, 2),
    };
    match run(&loaded) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, error.exit_code()),
    }
}

fn fail(error: &dyn Display, code: u8) -> ExitCode {
    // Nobody may be there to read it.
    let _ = writeln!(std::io::stderr(), "tsq-server: {error}");
    ExitCode::from(code)
}
