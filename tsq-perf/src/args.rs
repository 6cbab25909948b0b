//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use tsq_certs::Pin;
use tsq_command::duration::{BadDuration, Bare, within};

use crate::ask::Transport;
use crate::mix::Mix;

/// Loads a TSQ server and tells what became of the requests; sets no clock.
///
/// Without --rate it is a closed loop: each connection has one request under way, and an answer
/// brings forth the next. With --rate requests are made by the clock whatever the answers do, and a
/// latency counts from the instant its request was due. Load only servers that are yours.
#[derive(Clone, Debug, Parser)]
#[command(name = "tsq-perf", version, after_help = AFTER_HELP)]
pub struct Args {
    /// Name or address of the server.
    #[arg(
        value_name = "SERVER",
        help = "Name or address: HOST, HOST:PORT, [V6]:PORT"
    )]
    pub server: String,

    /// Connections, or with --handshakes connections being made at a time
    #[arg(long, short, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub connections: u32,

    /// Requests under way at a time in a closed loop; connections beyond that take turns
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=100_000), conflicts_with = "rate")]
    pub in_flight: u32,

    /// Requests (or handshakes) a second in all: an open loop
    #[arg(long, value_name = "R", value_parser = rate)]
    pub rate: Option<f64>,

    /// Space the requests of an open loop evenly, instead of at random (Poisson)
    #[arg(long, requires = "rate")]
    pub even: bool,

    /// Multiply the rate by this, step after step, until --max-loss is exceeded
    #[arg(long, value_name = "FACTOR", requires = "rate", value_parser = factor, conflicts_with = "handshakes")]
    pub steps: Option<f64>,

    /// Requests without a right answer that are too many, in percent: ends the steps, or the run with code 4
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub max_loss: Option<f64>,

    /// How requests travel
    #[arg(long, value_enum, default_value = "datagram")]
    pub transport: Transport,

    /// Ask for signed answers (not verified: this loads the server)
    #[arg(long)]
    pub signed: bool,

    /// Ask for follow-ups, and tell only the offsets that they correct
    #[arg(long, conflicts_with = "handshakes")]
    pub follow_up: bool,

    /// Time of the run, or of each step: 500ms, 10s, 2m, 1h, or seconds
    #[arg(long, short, value_name = "TIME", default_value = "10", value_parser = lasting)]
    pub duration: Duration,

    /// Time before that is not counted: as above
    #[arg(long, value_name = "TIME", default_value = "0.5", value_parser = warming)]
    pub warm_up: Duration,

    /// Time an answer is waited for: as above, or milliseconds; connections that are silent for 10 s end
    #[arg(long, value_name = "TIME", default_value = "500", value_parser = patience)]
    pub timeout: Duration,

    /// Threads, each with a socket of its own and its share of the connections and the rate
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub threads: u32,

    /// Further connections, each of which asks once in eight seconds
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100_000), conflicts_with = "handshakes")]
    pub idle: u32,

    /// Make connections, ask once on each and close it
    #[arg(long)]
    pub handshakes: bool,

    /// Kinds of handshakes, as full:resumed:0rtt
    #[arg(
        long,
        value_name = "F:R:E",
        default_value = "1:0:0",
        requires = "handshakes"
    )]
    pub mix: Mix,

    /// UDP port, if the server's name has none
    #[arg(long, default_value_t = 443, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,

    /// Trust the certificates in this PEM file instead of the system's roots
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Trust this public key: SHA-256 of the SubjectPublicKeyInfo, 64 hex digits, or sha256//BASE64 as curl takes it; repeatable
    #[arg(long, value_name = "SHA256")]
    pub pin: Vec<Pin>,

    /// Name the certificate must carry, instead of the server's own
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,

    /// Certificate chain to show a server that asks for one, PEM, leaf first
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub client_cert: Option<PathBuf>,

    /// Private key of --client-cert, PEM
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub client_key: Option<PathBuf>,

    /// Do not check the certificate: no clock is set by this
    #[arg(long, conflicts_with_all = ["ca", "pin"])]
    pub insecure: bool,

    /// Process whose processor time and memory are told; found by its socket when it is on this host
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,

    /// Print one JSON object and no table, also when the run fails
    #[arg(long)]
    pub json: bool,
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("not a number from {least} to {most}")),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    number(text, 0.01, 1e7)
}

fn factor(text: &str) -> Result<f64, String> {
    number(text, 1.01, 10.0)
}

fn percent(text: &str) -> Result<f64, String> {
    number(text.strip_suffix('%').unwrap_or(text), 0.0, 100.0)
}

fn lasting(text: &str) -> Result<Duration, BadDuration> {
    let (least, most) = (Duration::from_millis(100), Duration::from_secs(86_400));
    within(text, Bare::Seconds, least, most)
}

fn warming(text: &str) -> Result<Duration, BadDuration> {
    within(
        text,
        Bare::Seconds,
        Duration::ZERO,
        Duration::from_secs(3600),
    )
}

fn patience(text: &str) -> Result<Duration, BadDuration> {
    let (least, most) = (Duration::from_millis(1), Duration::from_secs(9));
    within(text, Bare::Milliseconds, least, most)
}

const AFTER_HELP: &str = "\
SIGINT or SIGTERM ends the run early, with the result so far.

Exit codes: 0 measured; 1 internal error; 2 usage; 3 no connection came about, all ended, or nothing was
answered;
4 more lost than --max-loss (without --steps); 5 measured, but the server refused or ended some of the
connections (without --handshakes, which counts them as lost); 7 the server's certificate was refused.
Every code but 0 has a line on standard error, and --json prints its object with all of them but 2 (and 3 where
the name of the server cannot be resolved).

Examples:
  tsq-perf --insecure 127.0.0.1:4443
  tsq-perf --pin 3f9a...c1 -c 1000 --rate 20000 time.example
  tsq-perf --pin 3f9a...c1 --rate 10000 --steps 1.5 --max-loss 0.1% -d 5 time.example
  tsq-perf --pin 3f9a...c1 --handshakes --mix 1:1:1 time.example";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn nonsense_is_a_usage_error() {
        for words in [
            &["tsq-perf"][..],
            &["tsq-perf", "a", "-c", "0"],
            &["tsq-perf", "a", "--rate", "0"],
            &["tsq-perf", "a", "--rate", "nan"],
            &["tsq-perf", "a", "--steps", "1.5"],
            &["tsq-perf", "a", "--rate", "5", "--steps", "1"],
            &["tsq-perf", "a", "--even"],
            &["tsq-perf", "a", "--mix", "1:1:1"],
            &["tsq-perf", "a", "--handshakes", "--mix", "1"],
            &["tsq-perf", "a", "--max-loss", "101%"],
            &["tsq-perf", "a", "-d", "0"],
            &["tsq-perf", "a", "--insecure", "--ca", "x"],
        ] {
            let error = Args::try_parse_from(words).expect_err(&words.join(" "));
            assert_eq!(error.exit_code(), 2, "{words:?}");
        }
        let args = Args::try_parse_from(["tsq-perf", "a", "--max-loss", "0.1%"]).unwrap();
        assert_eq!(args.max_loss, Some(0.1));
    }

    #[test]
    fn times_are_spelled_as_everywhere_and_bare_numbers_keep_their_unit() {
        let args = |words: &str| {
            let words = ["tsq-perf", "a"].into_iter().chain(words.split(' '));
            Args::try_parse_from(words).unwrap()
        };
        for (words, expected) in [
            ("-d 2 --warm-up 0 --timeout 20", [2000, 0, 20]),
            ("-d 2m --warm-up 250ms --timeout 2s", [120_000, 250, 2000]),
            ("--connections 1", [10_000, 500, 500]),
        ] {
            let args = args(words);
            let found = [args.duration, args.warm_up, args.timeout];
            assert_eq!(found, expected.map(Duration::from_millis), "{words}");
        }
    }
}
