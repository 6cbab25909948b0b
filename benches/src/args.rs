//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::paths::Limits;
use crate::serving::echo;
use crate::{accuracy, all, attacks, handshakes, memory, one_shot, relay, serving, start};

/// Measure TSQ's programs, and those of others beside them
///
/// The programs are built first, in this program's profile; TSQ_BIN_DIR names a folder of others.
#[derive(Debug, Parser)]
#[command(name = "tsq-bench", version)]
pub struct Args {
    /// Print one JSON object and no table
    #[arg(long, global = true)]
    pub json: bool,

    /// What to measure
    #[command(subcommand)]
    pub measurement: Measurement,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum Measurement {
    /// Every section, one after the other, into a folder with tables, plots and a page
    All(all::Options),
    /// Make tables, plots and the page again from a results.json
    Render(RenderOptions),
    /// Processor time of a server per request, and how many a second it takes (others need root)
    Server(serving::Options),
    /// Error of the offset of single exchanges (needs root)
    Accuracy(accuracy::Options),
    /// A one-shot client, from start to exit
    OneShot(one_shot::Options),
    /// What one-shot clients claim, and whether it is true (needs root)
    Bounds(Limits),
    /// One-shot clients over paths that lose, delay and reorder packets (needs root)
    Impaired(Limits),
    /// New clients per second: handshakes of TSQ, key exchanges of NTS
    Handshakes(handshakes::Options),
    /// Memory of a server for each client (others need root)
    Memory(memory::Options),
    /// A server from the start of its process to the first answer
    Start(start::Options),
    /// The error that the relay itself adds (needs the privilege of a real-time priority)
    Relay(relay::Options),
    /// What each program makes of an attack (needs root)
    Attacks(attacks::Options),
    /// Every server and client once: what is here, and whether it works (needs root)
    Peers,
    /// The plain UDP echo that `server` compares with
    #[command(hide = true)]
    EchoServer(echo::Options),
    /// Run a program that cannot set the clock
    #[command(hide = true)]
    NoClock(NoClockOptions),
}

/// Options of `render`.
#[derive(Debug, clap::Args)]
pub struct RenderOptions {
    /// The results.json of a run
    pub results: PathBuf,
    /// Where to put what is made from it
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// Write the short table into this README, too
    #[arg(long, value_name = "FILE")]
    pub readme: Option<PathBuf>,
}

/// Options of `no-clock`.
#[derive(Debug, clap::Args)]
pub struct NoClockOptions {
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub program: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }
}
