//! The options, as written: on the command line, or in a file of the same words ([`config`](crate::config)).
//!
//! An option is declared here and nowhere else: its flag, its key in the file, its line in
//! `--print-config` and its range all come from its field. What options mean together is for
//! [`settings`](crate::settings) to say.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tsq_command::duration::{BadDuration, Bare, within};
use tsq_net::{BadAddress, MAX_SHARDS};
use tsq_proto::profile::Profile;
use tsq_proto::tlv::SourceType;

use crate::limits::LimitArgs;
use crate::rules::Prefix;

/// Serves encrypted time (TSQ) over QUIC: datagrams and streams on one UDP port.
///
/// Without --cert and --key a self-signed certificate is made once, kept in the state directory,
/// and its pin is logged: give it to clients as `tsq-adjtime --pin PIN`.
///
/// The time served is this host's clock: keep it right with chrony or another daemon.
///
/// TIME is written 500ms, 10s, 2m or 1h; a bare number is seconds.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub struct Args {
    /// TOML file with these same options, without their dashes; an option given here wins over the file's
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Check options and files, say what is unwise, and end: 0 good, 2 options, 3 files
    #[arg(long)]
    pub check: bool,

    /// Print what all options come to, as TOML, and end
    #[arg(long)]
    pub print_config: bool,

    /// Addresses and UDP ports to serve.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "[::]:443",
        value_parser = socket_address,
        help = "Address and UDP port to serve, repeatable; [::] serves IPv6 and IPv4, beside 0.0.0.0 IPv6 alone"
    )]
    pub listen: Vec<SocketAddr>,

    /// Threads that serve each address, 1 to 64 [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=MAX_SHARDS as i64))]
    pub threads: Option<u8>,

    /// Take the addresses over from the server that has them; it ends when its clients are done
    ///
    /// Both must run as the same user. The number of threads stays what it was. Where nobody
    /// serves, this is an ordinary start.
    #[arg(long)]
    pub take_over: bool,

    /// Certificate chain, PEM, leaf first; repeatable: clients get the one with the name they ask for, else the first
    #[arg(long, value_name = "FILE")]
    pub cert: Vec<PathBuf>,

    /// Private key of the certificate, PEM; as many as --cert, in the same order
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,

    /// Serve only clients with a certificate of an authority in this PEM file
    #[arg(long, value_name = "FILE")]
    pub client_ca: Option<PathBuf>,

    /// Serve only clients with these addresses, such as 192.0.2.0/24; repeatable, the longest prefix decides
    #[arg(long, value_name = "PREFIX")]
    pub allow: Vec<Prefix>,

    /// Do not serve clients with these addresses; repeatable, the longest prefix decides
    #[arg(long, value_name = "PREFIX")]
    pub deny: Vec<Prefix>,

    /// Where a self-made certificate is kept [default: $STATE_DIRECTORY, else /var/lib/tsq]
    #[arg(long, value_name = "DIR", default_value_os_t = state_directory(), hide_default_value = true)]
    pub state_dir: PathBuf,

    /// Name or address in the self-made certificate, repeatable [default: this host's name and localhost]
    #[arg(long, value_name = "NAME")]
    pub name: Vec<String>,

    /// Serve this host's clock as good time even when nobody keeps it (as chronyd's "local")
    ///
    /// Without this, a server whose clock is not synchronised answers only clients that ask what
    /// the clock is worth, and tells them stratum 0.
    #[arg(long)]
    pub serve_unsynchronised: bool,

    /// How long to serve a clock that nobody keeps any more, saying so and with a growing error; then stratum 0
    #[arg(long, value_name = "TIME", default_value = "3600", value_parser = holdover)]
    pub holdover: Duration,

    /// Key file to sign answers with, repeatable; of several the newest that has begun is used
    #[arg(long, value_name = "FILE")]
    pub signing_key: Vec<PathBuf>,

    /// Stratum to tell, instead of what chronyd says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=15), help_heading = TOLD)]
    pub stratum: Option<u8>,

    /// What the clock follows, instead of what chronyd says
    #[arg(long, value_enum, value_name = "TYPE", help_heading = TOLD)]
    pub source: Option<SourceArg>,

    /// Reference id to tell, instead of what chronyd says
    #[arg(long, value_name = "TEXT", value_parser = told, help_heading = TOLD)]
    pub refid: Option<String>,

    /// How this host treats leap seconds: none, or the name of a smear
    #[arg(long, value_name = "NAME", value_parser = told, help_heading = TOLD)]
    pub smear: Option<String>,

    /// Something else to tell clients that ask, such as site=berlin; repeatable; with all else that is told at most 700 bytes
    #[arg(long, value_name = "KEY=VALUE", value_parser = annotation, help_heading = TOLD)]
    pub annotate: Vec<(String, String)>,

    /// Do not ask chronyd, only the kernel
    #[arg(long, help_heading = TOLD)]
    pub no_chrony: bool,

    /// chronyd's command socket, where not in the usual place
    #[arg(long, value_name = "PATH", help_heading = TOLD)]
    pub chrony_socket: Option<PathBuf>,

    #[command(flatten)]
    #[expect(
        missing_docs,
        reason = "a comment here would become the help of the whole program"
    )]
    pub limits: LimitArgs,

    /// Tell metrics over HTTP at this address and port: /metrics for Prometheus, /healthz; such as 127.0.0.1:9443
    #[arg(long, value_name = "ADDR", value_parser = socket_address)]
    pub metrics: Option<SocketAddr>,

    /// Keep the rights to files and system calls that a server does not need: seccomp and landlock are not used
    #[arg(long)]
    pub no_sandbox: bool,

    /// How log lines look on standard error
    #[arg(long, value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// What is logged: error, warn, info, debug or trace; only trace names clients' addresses
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: tracing::Level,
}

/// What a clock follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SourceArg {
    /// A satellite receiver.
    Gps,
    /// IEEE 1588.
    Ptp,
    /// NTP.
    Ntp,
    /// Set by hand.
    Manual,
}

impl From<SourceArg> for SourceType {
    fn from(source: SourceArg) -> Self {
        match source {
            SourceArg::Gps => Self::Gps,
            SourceArg::Ptp => Self::Ptp,
            SourceArg::Ntp => Self::Ntp,
            SourceArg::Manual => Self::Manual,
        }
    }
}

/// systemd names the unit's state directory, or several with colons between them.
fn state_directory() -> PathBuf {
    std::env::var("STATE_DIRECTORY")
        .ok()
        .and_then(|dirs| {
            dirs.split(':')
                .next()
                .filter(|dir| !dir.is_empty())
                .map(PathBuf::from)
        })
        .unwrap_or_else(|| PathBuf::from("/var/lib/tsq"))
}

/// A week at most; a bare number is seconds.
fn holdover(text: &str) -> Result<Duration, BadDuration> {
    within(text, Bare::Seconds, Duration::ZERO, WEEK)
}

const WEEK: Duration = Duration::from_secs(604_800);

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    tsq_net::socket_address(text).map_err(|problem| match problem {
        BadAddress::NotAnAddress | BadAddress::NoPort => {
            "not an address and port such as 192.0.2.7:443 or [::]:443".into()
        }
        problem => problem.to_string(),
    })
}

/// A text of the profile: what [`Profile::to_metadata`] takes.
fn told(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("must not be empty; leave it out to tell nothing".into());
    }
    match text.chars().find(|char| !matches!(char, ' '..='~')) {
        Some(char) => Err(format!("{char:?} is not printable ASCII")),
        None if text.len() > MAX_TOLD => Err(too_long(text.len(), MAX_TOLD)),
        None => Ok(text.into()),
    }
}

fn annotation(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .ok_or("not of the form KEY=VALUE")?;
    if Profile::KEYS.contains(&key) {
        return Err(format!("{key} is told by the server itself"));
    }
    if key.len() + value.len() > MAX_PAIR {
        return Err(too_long(key.len() + value.len(), MAX_PAIR));
    }
    Ok((key.into(), value.into()))
}

fn too_long(have: usize, limit: usize) -> String {
    format!("{have} bytes are too long; at most {limit} fit")
}

/// An element has 255 bytes, two of which say how long key and value are (T11).
const MAX_PAIR: usize = 253;

/// The longest of the profile's keys has 18 bytes.
const MAX_TOLD: usize = 200;

/// What is no setting, and therefore no key of a configuration file.
pub const FLAGS_ONLY: &[&str] = &["config", "check", "print-config", "help", "version"];

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

const TOLD: &str = "What clients are told who ask";

const EXIT_CODES: &str = "\
Exit codes: 0 ended by SIGTERM, SIGINT or a take-over after draining, 1 failed while running, 2 usage or configuration,
3 certificate or key unusable, 4 an address cannot be served.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn default_is_every_address_on_port_443() {
        let args = Args::try_parse_from(["tsq-server"]).unwrap();
        assert_eq!(args.listen, ["[::]:443".parse().unwrap()]);
    }

    #[test]
    fn texts_that_cannot_be_told_are_refused_at_once() {
        let long = format!("site={}", "x".repeat(250));
        for (words, reason) in [
            (["--smear", ""], "must not be empty"),
            (["--refid", "GP\u{e9}"], "not printable ASCII"),
            (["--annotate", "leap=1"], "told by the server itself"),
            (["--annotate", "=x"], "KEY=VALUE"),
            (["--annotate", &long], "254 bytes are too long"),
        ] {
            let error = Args::try_parse_from(["tsq-server"].iter().chain(&words)).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    /// A file's keys are checked one by one, so an option that needs another could not be checked.
    #[test]
    fn options_say_nothing_of_each_other() {
        for arg in Args::command().get_arguments() {
            assert!(
                !arg.is_required_set() && arg.get_num_args().is_none_or(|n| n.max_values() <= 1),
                "{}",
                arg.get_id()
            );
        }
    }

    #[test]
    fn threads_past_either_limit_are_refused() {
        let threads = |n: &str| Args::try_parse_from(["tsq-server", "--threads", n]);
        assert_eq!(threads("1").unwrap().threads, Some(1));
        assert_eq!(threads("64").unwrap().threads, Some(64));
        assert!(threads("0").is_err());
        assert!(threads("65").is_err());
    }
}
