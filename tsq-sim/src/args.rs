//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Simulates clocks, links and a daemon that keeps a clock
///
/// A scenario is a TOML file: clocks, links, events, and limits on how well the daemon keeps the client's clock.
/// The same file and seed give the same output, to the last byte, on any machine.
#[derive(Debug, Parser)]
#[command(
    name = "tsq-sim",
    version,
    after_help = "Exit status: 0 all limits hold; 1 one does not; 2 a file cannot be used.\n\n\
                  Examples:\n  tsq-sim run S1.toml\n  tsq-sim run scenarios/*.toml --seeds 3 --json\n  \
                  tsq-sim eval '(+ 1e-2 (* 1e-3 (exponential)))' 5"
)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run scenarios and hold them against their limits
    Run(Run),
    /// Print successive values of an expression, one per line
    Eval(Eval),
    /// Hold two results of `run --json` against each other
    Compare(Compare),
}

/// Options of `run`.
#[derive(Debug, Parser)]
pub struct Run {
    /// Scenario files
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Run seeds 1 to N instead of as many as each file says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub seeds: Option<u64>,
    /// Print one JSON object per file, each on one line
    #[arg(long)]
    pub json: bool,
    /// Write DIR/SCENARIO.SEED.tsv: a line per second with time in s, error in s and frequency error
    #[arg(long, value_name = "DIR")]
    pub trace: Option<PathBuf>,
    /// What is simulated: estimator, selection and steering over drawn delays
    #[arg(long, value_enum, default_value_t = Level::Samples)]
    pub level: Level,
}

/// What is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Requests and answers, without packets of QUIC
    Samples,
}

/// Options of `eval`.
#[derive(Debug, Parser)]
pub struct Eval {
    /// The expression; `time` is 0, 1, 2, ..., `from` 2, `to` 1, `port` 443, `length` 100
    pub expression: String,
    /// How many values
    #[arg(value_name = "N", value_parser = clap::value_parser!(u64).range(0..=100_000_000))]
    pub count: u64,
    /// The seed of its random numbers
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Options of `compare`.
#[derive(Debug, Parser)]
pub struct Compare {
    /// What `run --json` printed
    pub before: PathBuf,
    /// The same of another version
    pub after: PathBuf,
}
