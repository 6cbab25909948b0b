//! `tsq-bench`: see the crate's documentation.

#![forbid(unsafe_code)]

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

use clap::Parser;
use tsq_benches::args::{Args, Measurement, RenderOptions};
use tsq_benches::{
    Error, accuracy, all, attacks, bounds, handshakes, impaired, memory, no_clock, one_shot, peers,
    relay, render, serving, start,
};

fn main() -> ExitCode {
    tsq_interop::end_quietly_without_a_reader();
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tsq-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode, Error> {
    // A whole run records what it could not measure, and why.
    if !matches!(
        args.measurement,
        Measurement::All(_)
            | Measurement::Render(_)
            | Measurement::EchoServer(_)
            | Measurement::NoClock(_)
    ) {
        programs_can_be_had()?;
    }
    let section = match &args.measurement {
        Measurement::All(options) => return all::run(options).map(all::Outcome::code),
        Measurement::Render(options) => {
            let RenderOptions {
                results,
                out,
                readme,
            } = options;
            return render::files(results, out, readme.as_deref()).map(|()| ExitCode::SUCCESS);
        }
        Measurement::Server(options) => serving::measure(options)?,
        Measurement::Handshakes(options) => handshakes::measure(options)?,
        Measurement::Memory(options) => memory::measure(options)?,
        Measurement::Start(options) => start::measure(options)?,
        Measurement::Accuracy(options) => accuracy::measure(options)?,
        Measurement::Bounds(limits) => bounds::measure(limits)?,
        Measurement::Impaired(limits) => impaired::measure(limits)?,
        Measurement::OneShot(options) => one_shot::measure(options)?,
        Measurement::Relay(options) => relay::measure(options)?,
        Measurement::Attacks(options) => attacks::measure(options)?,
        Measurement::Peers => return peers::check().map(|()| ExitCode::SUCCESS),
        Measurement::EchoServer(options) => {
            return serving::echo::serve(options).map(|()| ExitCode::SUCCESS);
        }
        Measurement::NoClock(options) => match no_clock::run(&options.program)? {},
    };
    render::print(&section, args.json)?;
    Ok(ExitCode::SUCCESS)
}

/// Without programs to measure there is nothing to measure: said before anything is begun.
fn programs_can_be_had() -> Result<(), Error> {
    if let Some(folder) = env::var_os("TSQ_BIN_DIR") {
        let folder = Path::new(&folder);
        return match folder.join("tsq-server").is_file() {
            true => Ok(()),
            false => Err(format!("no tsq-server in {} (TSQ_BIN_DIR)", folder.display()).into()),
        };
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    match Command::new(cargo).arg("--version").output() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "cargo, which builds the programs to measure, cannot be started ({error}): name a folder that has them in TSQ_BIN_DIR"
        )
        .into()),
    }
}
