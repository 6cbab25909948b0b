//! The command line, as written.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tsq_command::duration::{BadDuration, Bare, within};
use tsq_sync::receipt::Hash;

use crate::reach::Reach;

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

    /// How far the clock may be moved.
    #[command(flatten)]
    pub limits: Limits,

    /// Time for the whole run
    #[arg(long, value_name = "TIME", default_value = "3000", value_parser = measuring)]
    pub timeout: Duration,

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

/// How far the clock may be moved.
#[derive(Clone, Debug, clap::Args)]
pub struct Limits {
    /// Do nothing when the clock is further off than this: 500ms, 10s, 2m, 1h, or milliseconds; "none" sets no limit
    #[arg(long, value_name = "TIME", default_value = "1000", value_parser = limit_or_none)]
    pub max_offset: Duration,

    /// Limit the first correction after a boot to this instead, if it is more; "none" sets no limit
    #[arg(long, value_name = "TIME", value_parser = limit_or_none)]
    pub max_start_offset: Option<Duration>,

    /// Make no step that with those of the last 7 days adds up to more than this
    #[arg(long, value_name = "TIME", value_parser = limit)]
    pub max_step_total: Option<Duration>,

    /// Slew up to this offset and step beyond it
    #[arg(long, value_name = "TIME", default_value = "128", value_parser = slewable)]
    pub slew_threshold: Duration,
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
        #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = waiting)]
        max_error: Duration,
        /// How long to wait, such as 30s
        #[arg(long, value_name = "TIME", default_value = "30s", value_parser = waiting)]
        timeout: Duration,
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
        #[arg(long, value_name = "TIME", default_value = "3s", value_parser = measuring)]
        timeout: Duration,
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
        #[arg(long, value_name = "TIME", default_value = "3s", value_parser = measuring)]
        timeout: Duration,
        /// Print one JSON object and nothing else
        #[arg(long)]
        json: bool,
        /// Whom to believe, and how to reach them.
        #[command(flatten)]
        reach: Reach,
    },

    /// See whether a run would work, with all that one needs to ask for help; sets nothing
    ///
    /// Exits as a run with the same options and --dry-run would: whether this user may set the clock,
    /// and which daemon keeps it, is told among what is found.
    Check {
        /// Whom to ask.
        #[arg(
            value_name = "SERVER",
            required_unless_present = "config",
            help = "Names or addresses: HOST, HOST:PORT, [V6]:PORT"
        )]
        servers: Vec<String>,
        /// Time for the measurement, such as 3s
        #[arg(long, value_name = "TIME", default_value = "3s", value_parser = measuring)]
        timeout: Duration,
        /// Print one JSON object and nothing else
        #[arg(long)]
        json: bool,
        /// How far a run may move the clock.
        #[command(flatten)]
        limits: Limits,
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

/// A length of time up to [`LONGEST`]; a bare number is milliseconds, here and below.
fn limit(text: &str) -> Result<Duration, BadDuration> {
    within(text, Bare::Milliseconds, Duration::ZERO, LONGEST)
}

/// The same; `none` is the most that there can be.
fn limit_or_none(text: &str) -> Result<Duration, String> {
    match text {
        "none" => Ok(LONGEST),
        text => limit(text).map_err(|problem| format!("{problem}, nor \"none\"")),
    }
}

/// No more than the kernel slews away in two weeks (500 ppm): what is more must be stepped.
fn slewable(text: &str) -> Result<Duration, String> {
    within(text, Bare::Milliseconds, Duration::ZERO, MAX_SLEW).map_err(|problem| match problem {
        BadDuration::Range { .. } => format!("{problem}, which takes two weeks to slew away"),
        other => other.to_string(),
    })
}

/// How long to wait, or which error for: a day at most.
fn waiting(text: &str) -> Result<Duration, BadDuration> {
    within(text, Bare::Milliseconds, Duration::ZERO, DAY)
}

/// Time for a measurement: not so little that nobody could answer.
fn measuring(text: &str) -> Result<Duration, BadDuration> {
    within(text, Bare::Milliseconds, Duration::from_millis(1), DAY)
}

const MAX_SLEW: Duration = Duration::from_secs(600);

const DAY: Duration = Duration::from_secs(86_400);

/// About 68 years: half an NTP era, beyond which an offset has no meaning.
const LONGEST: Duration = Duration::from_secs(2_147_483_648);

const AFTER_HELP: &str = "\
Positive offset: this host's clock is behind. TIME is written 500ms, 10s, 2m or 1h; a bare number is milliseconds.

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
        let slew =
            |time: &str| Args::try_parse_from(["tsq-adjtime", "a", "--slew-threshold", time]);
        assert_eq!(slew("600000").unwrap().limits.slew_threshold, MAX_SLEW);
        assert_eq!(slew("10m").unwrap().limits.slew_threshold, MAX_SLEW);
        let error = slew("600001").unwrap_err().to_string();
        assert!(error.contains("two weeks"), "{error}");
    }

    #[test]
    fn defaults_are_those_of_the_seed() {
        let args = Args::try_parse_from(["tsq-adjtime", "a"]).unwrap();
        assert_eq!((args.reach.port, args.reach.queries), (443, 5));
        let times = [
            args.limits.max_offset,
            args.limits.slew_threshold,
            args.timeout,
        ];
        assert_eq!(times, [1000, 128, 3000].map(Duration::from_millis));
        assert!(!args.dry_run && !args.insecure && !args.no_verify);
    }

    #[test]
    fn limit_of_none_is_the_most_there_can_be() {
        let args = Args::try_parse_from(["tsq-adjtime", "a", "--max-offset", "none"]).unwrap();
        assert_eq!(args.limits.max_offset, LONGEST);
    }

    /// Every option that takes a time takes it in every spelling, whichever command it belongs to.
    #[test]
    fn times_are_spelled_alike_in_every_option_of_every_command() {
        let command = Args::command();
        let commands = [&command].into_iter().chain(command.get_subcommands());
        let mut seen = 0;
        for of in commands {
            let timed = of.get_arguments().filter(|arg| {
                arg.get_value_parser().type_id() == std::any::TypeId::of::<Duration>()
            });
            for option in timed.filter_map(|arg| arg.get_long()) {
                for time in ["500ms", "10s", "2m", "0.1h", "3000"] {
                    let mut words = vec!["tsq-adjtime".to_string()];
                    if of.get_name() != command.get_name() {
                        words.push(of.get_name().into());
                    }
                    words.extend([format!("--{option}"), time.into(), "a".into()]);
                    let parsed = Args::try_parse_from(&words);
                    assert!(parsed.is_ok(), "{words:?}: {parsed:?}");
                    seen += 1;
                }
            }
        }
        // Five of a run, two of wait, one each of rtc and explain, five of check.
        assert_eq!(seen, 5 * 14);
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
            &["tsq-adjtime", "a", "--timeout", "25h"],
            &["tsq-adjtime", "a", "--timeout", "10 s"],
            &["tsq-adjtime", "a", "--pin", "abc"],
            &["tsq-adjtime", "a", "--transport", "tcp"],
            &["tsq-adjtime", "a", "--insecure", "--ca", "x"],
        ] {
            let error = Args::try_parse_from(words).expect_err(&words.join(" "));
            assert_eq!(error.exit_code(), 2, "{words:?}");
        }
    }
}
