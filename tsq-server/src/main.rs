//! The `tsq-server` command.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use tsq_server::args::{Args, LogFormat};
use tsq_server::config::{ConfigError, Loaded};
use tsq_server::log::Log;
use tsq_server::run::run;

/// So that what each connection holds is known, and limited.
#[global_allocator]
static ALLOCATOR: tsq_net::Counted = tsq_net::Counted;

fn main() -> ExitCode {
    let loaded = match Loaded::from_words(std::env::args_os()) {
        Ok(loaded) => loaded,
        Err(ConfigError::Flags(error)) => error.exit(),
        Err(error) => {
            // What the file says of the log cannot be known.
            let format = Args::try_parse().map_or(LogFormat::Text, |args| args.log_format);
            Log::start(tracing::Level::INFO, format).fatal(&error);
            return ExitCode::from(2);
        }
    };
    let log = Log::start(loaded.args.log_level, loaded.args.log_format);
    match run(&loaded, &log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log.fatal(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
