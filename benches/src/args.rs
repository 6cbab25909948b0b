//! The command line.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand, ValueEnum};

use crate::paths::Limits;
use crate::sections::SECTIONS;
use crate::{accuracy, attacks, handshakes, memory, one_shot, relay, serving};

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
    All(AllOptions),
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
    Start(StartOptions),
    /// The error that the relay itself adds (needs the privilege of a real-time priority)
    Relay(relay::Options),
    /// What each program makes of an attack (needs root)
    Attacks(attacks::Options),
    /// Every server and client once: what is here, and whether it works (needs root)
    Peers,
    /// The plain UDP echo that `server` compares with
    #[command(hide = true)]
    EchoServer(EchoOptions),
    /// Run a program that cannot set the clock
    #[command(hide = true)]
    NoClock(NoClockOptions),
}

/// Options of `all`.
#[derive(Debug, clap::Args)]
pub struct AllOptions {
    /// Where results.json and what is made from it go; sections there that are not measured now are kept
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// Write the short table into this README, too
    #[arg(long, value_name = "FILE")]
    pub readme: Option<PathBuf>,
    /// Three minutes instead of fifteen: every cell filled, few rounds
    #[arg(long)]
    pub quick: bool,
    /// Only these sections
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = section_ids())]
    pub only: Vec<String>,
    /// All but these sections
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = section_ids())]
    pub skip: Vec<String>,
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

/// How answers are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Signing {
    /// Not at all.
    None,
    /// By Ed25519.
    Ed25519,
    /// By HMAC-SHA256.
    HmacSha256,
}

impl Signing {
    /// As tsq-certs names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ed25519 => "ed25519",
            Self::HmacSha256 => "hmac-sha256",
        }
    }
}

impl fmt::Display for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Options of `start`.
#[derive(Debug, clap::Args)]
pub struct StartOptions {
    /// Starts of each kind
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub runs: u16,
}

/// Options of `echo-server`.
#[derive(Debug, clap::Args)]
pub struct EchoOptions {
    /// Which loop
    #[arg(long)]
    pub kind: EchoKind,
    /// Bytes of each answer
    #[arg(long, value_name = "BYTES")]
    pub answer: usize,
}

/// How the echo server receives and sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EchoKind {
    /// One packet a system call, no timestamps.
    Plain,
    /// The socket of tsq-net: batches, kernel receive timestamps, answers sent at once.
    Stamped,
}

/// Options of `no-clock`.
#[derive(Debug, clap::Args)]
pub struct NoClockOptions {
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub program: Vec<OsString>,
}

/// From a tenth of a second, for a figure worth printing, to an hour.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if (0.1..=3600.0).contains(&number) => Ok(number),
        _ => Err("not a number from 0.1 to 3600".into()),
    }
}

fn section_ids() -> PossibleValuesParser {
    PossibleValuesParser::new(SECTIONS.iter().map(|entry| entry.id))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_measurement_of_no_time_is_refused() {
        for wrong in ["0", "-1", "nan", "x"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!(seconds("0.1"), Ok(0.1));
    }
}
