//! `tsq-bench`: see the crate's documentation.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use tsq_benches::args::{Args, Measurement};
use tsq_benches::{Error, cold, loss, offset, serving, start};

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tsq-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Error> {
    let report = match &args.measurement {
        Measurement::Server(options) => serving::measure(options)?,
        Measurement::Offset(options) => offset::measure(options)?,
        Measurement::Cold(options) => match cold::measure(options)? {
            Some(report) => report,
            None => return Ok(()),
        },
        Measurement::Loss(options) => loss::measure(options)?,
        Measurement::Start(options) => start::measure(options)?,
        Measurement::EchoServer(options) => return serving::echo::serve(options),
        Measurement::OffsetClient(options) => return offset::client::run(options),
    };
    report.print(args.json);
    Ok(())
}
