//! The command line, as written.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::reach::{Reach, measuring_ms, time_ms};
use crate::receipt::Hash;

/// Sets this host's clock by TSQ servers: encrypted time over QUIC, UDP port 443.
///
/// All servers are asked at once. The offset that most of them agree on is slewed away if it is small and
/// stepped if it is not; past --max-offset nothing is done. Without --dry-run this needs root or
/// CAP_SYS_TIME.
#[derive(Clone, Debug, Parser)]
#[command(version, after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Other things to do
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Names or addresses, each with a port or without.
    #[arg(
        value_name = "SERVER",
        required_unless_present = "config",
        help = "Names or addresses: HOST, HOST:PORT, [V6]:PORT"
    )]
    pub servers: Vec<String>,

    /// Whom to believe, and how to reach them.
    #[command(flatten)]
    pub reach: Reach,

    /// Do nothing when the clock is further off than this, in milliseconds; "none" sets no limit
    #[arg(long, value_name = "MS", default_value = "1000", value_parser = milliseconds_or_none)]
    pub max_offset: f64,

    /// Limit the first correction after a boot to this instead, in milliseconds, if it is more; "none" sets no limit
    #[arg(long, value_name = "MS", value_parser = milliseconds_or_none)]
    pub max_start_offset: Option<f64>,

    /// Make no step that with those of the last 7 days adds up to more than this, in milliseconds
    #[arg(long, value_name = "MS", value_parser = milliseconds)]
    pub max_step_total: Option<f64>,

    /// Keep there the last verified time and the steps made [default: $STATE_DIRECTORY or /var/lib/tsq-adjtime]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Slew up to this offset and step beyond it, in milliseconds
    #[arg(long, value_name = "MS", default_value = "128", value_parser = slewable)]
    pub slew_threshold: f64,

    /// Time for the whole run, in milliseconds
    #[arg(long, value_name = "MS", default_value = "3000", value_parser = at_least_a_millisecond)]
    pub timeout: f64,

    /// Measure and say what would be done; needs no privilege
    #[arg(long)]
    pub dry_run: bool,

    /// Set the clock although a daemon keeps it (chronyd, say): the two will undo each other's work
    #[arg(long)]
    pub beside_daemon: bool,

    /// Do not measure again after adjusting
    #[arg(long)]
    pub no_verify: bool,

    /// Show every sample, and why one was refused
    #[arg(long, short)]
    pub verbose: bool,

    /// Print nothing where all is well: for cron. A step, a server that did not count and every failure are told
    #[arg(long, conflicts_with_all = ["verbose", "json"])]
    pub quiet: bool,

    /// Print one JSON object and nothing else; with exit codes 2 and 6, and with 1 where nothing was measured, there is none
    #[arg(long)]
    pub json: bool,

    /// Keep the signed exchanges in this file, as receipts that can be checked years later
    #[arg(long, value_name = "FILE", requires = "verify_key")]
    pub receipt: Option<PathBuf>,

    /// Do not check certificates. Only with --dry-run: whoever answers could be anyone
    #[arg(long, conflicts_with_all = ["ca", "pin", "server_name"])]
    pub insecure: bool,
}

/// Other things to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Measure two servers inside this process: shows whether all works here, and how exact it is
    ///
    /// Both servers and the client read the same clock, so the true offset is zero and every
    /// offset shown is this host's own error. Needs no root, no network and no configuration.
    SelfTest {
        /// Print one JSON object and nothing else
        #[arg(long)]
        json: bool,
        /// Show every sample
        #[arg(long, short)]
        verbose: bool,
        /// Samples to take from each server by each transport
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        queries: u16,
    },

    /// Wait until this host's clock is right: for boot scripts. Sets nothing, needs no privilege
    ///
    /// Measures once a second. Exits with 0 once the offset and its bound together are below
    /// --max-error; when the time is up, with the code of the last measurement: 3 no usable answer, 4
    /// the servers disagree, 5 the clock is not right, 7 no answer that can be trusted. 8 stands for 0
    /// where plain NTP alone decided (--allow-ntp).
    Wait {
        /// Whom to ask.
        #[arg(
            value_name = "SERVER",
            required_unless_present = "config",
            help = "Names or addresses: HOST, HOST:PORT, [V6]:PORT"
        )]
        servers: Vec<String>,
        /// The error to get below, such as 10ms
        #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = time_ms)]
        max_error: f64,
        /// How long to wait, such as 30s
        #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time_ms)]
        timeout: f64,
        /// Print one JSON object and nothing else
        #[arg(long)]
        json: bool,
        /// Whom to believe, and how to reach them.
        #[command(flatten)]
        reach: Reach,
    },

    /// Compare the hardware clock with trusted time; set it only with --write
    ///
    /// The time is the servers', or without any this host's own where the kernel says that somebody
    /// keeps it. Exits with 0 if the hardware clock is right or was set, with 3 if nobody tells the
    /// time, with 5 if it is wrong, with 1 if there is none, with 8 instead of 0 if plain NTP alone decided.
    Rtc {
        /// Whom to ask.
        #[arg(
            value_name = "SERVER",
            help = "Names or addresses: HOST, HOST:PORT, [V6]:PORT"
        )]
        servers: Vec<String>,
        /// Set it to UTC
        #[arg(long)]
        write: bool,
        /// The hardware clock
        #[arg(long, value_name = "FILE", default_value = "/dev/rtc0")]
        device: PathBuf,
        /// Time for the measurement, such as 3s
        #[arg(long, value_name = "TIME", default_value = "3s", value_parser = measuring_ms)]
        timeout: f64,
        /// Print one JSON object and nothing else
        #[arg(long)]
        json: bool,
        /// Whom to believe, and how to reach them.
        #[command(flatten)]
        reach: Reach,
    },

    /// Say in sentences what keeps this host from the right time, and what to do about it
    Explain {
        /// Whom to ask.
        #[arg(
            value_name = "SERVER",
            help = "Names or addresses: HOST, HOST:PORT, [V6]:PORT"
        )]
        servers: Vec<String>,
        /// Time for the measurement, such as 3s
        #[arg(long, value_name = "TIME", default_value = "3s", value_parser = measuring_ms)]
        timeout: f64,
        /// Print one JSON object and nothing else
        #[arg(long)]
        json: bool,
        /// Whom to believe, and how to reach them.
        #[command(flatten)]
        reach: Reach,
    },

    /// See whether a run would work, with all that one needs to ask for help; sets nothing
    ///
    /// Exits as a run with the same options and the usual limits would.
    Check {
        /// Whom to ask.
        #[arg(
            value_name = "SERVER",
            required_unless_present = "config",
            help = "Names or addresses: HOST, HOST:PORT, [V6]:PORT"
        )]
        servers: Vec<String>,
        /// Time for the measurement, such as 3s
        #[arg(long, value_name = "TIME", default_value = "3s", value_parser = measuring_ms)]
        timeout: f64,
        /// Print one JSON object and nothing else
        #[arg(long)]
        json: bool,
        /// Whom to believe, and how to reach them.
        #[command(flatten)]
        reach: Reach,
    },

    /// Check a file of receipts, offline: what it proves, or the first line that does not hold
    ///
    /// Exits with 0 if every line holds, with 1 if one does not.
    VerifyReceipt {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The servers' public key files; repeatable
        #[arg(long, value_name = "PUB", required = true)]
        key: Vec<PathBuf>,
        /// Hash of the last line, noted elsewhere: shows if lines were cut off
        #[arg(long, value_name = "HASH")]
        expect_head: Option<Hash>,
        /// Print one JSON object a line, and one for the file
        #[arg(long)]
        json: bool,
    },
}

impl Command {
    /// Whether a word is the name of one of them.
    pub fn is_name(word: &str) -> bool {
        <Self as Subcommand>::has_subcommand(word)
    }
}

/// How queries travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TransportArg {
    /// Datagrams, or streams where datagrams are not to be had
    Auto,
    /// Datagrams only
    Datagram,
    /// Streams only
    Stream,
}

/// When the dates of certificates may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BootstrapArg {
    /// While the clock is not known to be right, and there are enough servers, or a --pin
    Auto,
    /// Never: this host's clock decides
    Never,
    /// Whatever the kernel says of the clock, if there are enough servers, or a --pin
    Always,
}

/// What is tried where TSQ gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FallbackArg {
    /// Network Time Security: authenticated as TSQ is
    Nts,
    /// Plain NTP: not authenticated
    Ntp,
    /// Nothing
    None,
}

/// What servers must be to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MinTrustArg {
    /// Known by their certificates: TSQ or NTS
    Authenticated,
    /// Anyone, where nobody authenticated answers
    None,
}

/// How offsets become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CombineArg {
    /// Their median
    Median,
    /// Their mean, the surer ones weighing more
    Weighted,
}

/// Milliseconds, with a fraction if wanted: finite, not negative, at most a day's worth of years.
fn milliseconds(text: &str) -> Result<f64, String> {
    let value: f64 = text
        .parse()
        .map_err(|_| "not a number of milliseconds".to_string())?;
    if (0.0..=MAX_MS).contains(&value) {
        Ok(value)
    } else {
        Err(format!("not between 0 and {MAX_MS} ms"))
    }
}

/// The same, but no more than the kernel slews away in two weeks (500 ppm): what is more must be stepped.
fn slewable(text: &str) -> Result<f64, String> {
    match milliseconds(text)? {
        long if long > MAX_SLEW_MS => Err(format!(
            "not between 0 and {MAX_SLEW_MS} ms, which take two weeks to slew away"
        )),
        value => Ok(value),
    }
}

const MAX_SLEW_MS: f64 = 600_000.0;

/// The same; `none` is the most that there can be.
fn milliseconds_or_none(text: &str) -> Result<f64, String> {
    match text {
        "none" => Ok(MAX_MS),
        text => milliseconds(text).map_err(|problem| format!("{problem}, nor \"none\"")),
    }
}

/// The same, but not so little that nobody could answer.
fn at_least_a_millisecond(text: &str) -> Result<f64, String> {
    match milliseconds(text)? {
        short if short < 1.0 => Err("less than 1 ms, in which no server can answer".into()),
        enough => Ok(enough),
    }
}

/// About 68 years: half an NTP era, beyond which an offset has no meaning.
const MAX_MS: f64 = 2_147_483_648_000.0;

const AFTER_HELP: &str = "\
Positive offset: this host's clock is behind.

Exit codes: 0 adjusted, or nothing to do (or, with --dry-run, measured); 1 something failed here (the clock did not
take the adjustment; another run is not done; with verify-receipt: a receipt does not hold); 2 usage;
3 no usable answer; 4 the servers disagree or too few agree (--min-sources, --require-all); 5 offset past
--max-offset; 6 no permission to set the clock, or a daemon keeps it (--beside-daemon); 7 no answer that can be trusted: certificates refused, or dates that waited do not hold;
8 as 0, but plain NTP alone decided (--allow-ntp).

Examples:
  tsq-adjtime --dry-run time1.example time2.example
  tsq-adjtime --pin 3f9a...c1 192.0.2.10:8443
  tsq-adjtime --config /etc/tsq/tsq-adjtime.toml --quiet
  tsq-adjtime self-test";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn slew_that_would_take_longer_than_two_weeks_is_refused() {
        let slew = |ms: &str| Args::try_parse_from(["tsq-adjtime", "a", "--slew-threshold", ms]);
        assert_eq!(slew("600000").unwrap().slew_threshold, 600_000.0);
        let error = slew("600001").unwrap_err().to_string();
        assert!(error.contains("two weeks"), "{error}");
    }

    #[test]
    fn defaults_are_those_of_the_seed() {
        let args = Args::try_parse_from(["tsq-adjtime", "a"]).unwrap();
        assert_eq!((args.reach.port, args.reach.queries), (443, 5));
        let ms = (args.max_offset, args.slew_threshold, args.timeout);
        assert_eq!(ms, (1000.0, 128.0, 3000.0));
        assert!(!args.dry_run && !args.insecure && !args.no_verify);
    }

    #[test]
    fn limit_of_none_is_the_most_there_can_be() {
        let args = Args::try_parse_from(["tsq-adjtime", "a", "--max-offset", "none"]).unwrap();
        assert_eq!(args.max_offset, MAX_MS);
    }

    #[test]
    fn nonsense_is_a_usage_error() {
        for words in [
            &["tsq-adjtime"][..],
            &["tsq-adjtime", "a", "--port", "0"],
            &["tsq-adjtime", "a", "--queries", "0"],
            &["tsq-adjtime", "a", "--min-sources", "0"],
            &["tsq-adjtime", "a", "--combine", "mean"],
            &["tsq-adjtime", "a", "--max-offset", "-1"],
            &["tsq-adjtime", "a", "--max-offset", "NaN"],
            &["tsq-adjtime", "a", "--timeout", "inf"],
            &["tsq-adjtime", "a", "--timeout", "0"],
            &["tsq-adjtime", "a", "--timeout", "0.9"],
            &["tsq-adjtime", "a", "--pin", "abc"],
            &["tsq-adjtime", "a", "--transport", "tcp"],
            &["tsq-adjtime", "a", "--insecure", "--ca", "x"],
        ] {
            let error = Args::try_parse_from(words).expect_err(&words.join(" "));
            assert_eq!(error.exit_code(), 2, "{words:?}");
        }
    }
}
