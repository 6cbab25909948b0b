//! The `tsq-adjtime` command.

#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use tsq_adjtime::Exit;
use tsq_adjtime::config::{ConfigError, Loaded};

fn main() -> ExitCode {
    // Where it fails, signals do what they did before.
    let _ = tsq_command::first_process::end_by_signals();
    let code = match Loaded::from_words(std::env::args_os()) {
        Ok(loaded) => tsq_adjtime::commands::run(&loaded.args),
        Err(ConfigError::Flags(error)) => error.exit(),
        Err(error) => {
            // Nobody may be there to read it.
            let _ = writeln!(std::io::stderr(), "tsq-adjtime: {error}");
            Exit::Usage.code()
        }
    };
    ExitCode::from(code)
}
