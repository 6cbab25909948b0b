//! The command line, as written.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use tsq_proto::tlv::SourceType;

/// Serves encrypted time (TSQ) over QUIC: datagrams and streams on one UDP port.
///
/// Without --cert and --key a self-signed certificate is made once, kept in the state directory,
/// and its pin is logged: give it to clients as `tsq-adjtime --pin PIN`.
///
/// The time served is this host's clock: keep it right with chrony or another daemon.
#[derive(Clone, Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub struct Args {
    /// Addresses and UDP ports to serve.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "[::]:443",
        help = "Address and UDP port to serve, repeatable; [::] serves IPv6 and IPv4"
    )]
    pub listen: Vec<SocketAddr>,

    /// Certificate chain, PEM, leaf first
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,

    /// Private key of the certificate, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,

    /// Where a self-made certificate is kept [default: $STATE_DIRECTORY, else /var/lib/tsq]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Name or address in the self-made certificate, repeatable [default: this host's name and localhost]
    #[arg(long, value_name = "NAME", conflicts_with = "cert")]
    pub name: Vec<String>,

    /// Serve this host's clock as good time even when nobody keeps it (as chronyd's "local")
    ///
    /// Without this, a server whose clock is not synchronised answers only clients that ask what
    /// the clock is worth, and tells them stratum 0.
    #[arg(long)]
    pub serve_unsynchronised: bool,

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
    #[arg(long, value_name = "TEXT", help_heading = TOLD)]
    pub refid: Option<String>,

    /// How this host treats leap seconds: none, or the name of a smear
    #[arg(long, value_name = "NAME", help_heading = TOLD)]
    pub smear: Option<String>,

    /// Something else to tell clients that ask, such as site=berlin; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = annotation, help_heading = TOLD)]
    pub annotate: Vec<(String, String)>,

    /// Do not ask chronyd, only the kernel
    #[arg(long, help_heading = TOLD)]
    pub no_chrony: bool,

    /// chronyd's command socket, where not in the usual place
    #[arg(long, value_name = "PATH", conflicts_with = "no_chrony", help_heading = TOLD)]
    pub chrony_socket: Option<PathBuf>,

    /// How log lines look on standard error
    #[arg(long, value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// What is logged: error, warn, info, debug or trace
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

fn annotation(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("not of the form KEY=VALUE".into()),
    }
}

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
Exit codes: 0 ended by SIGTERM or SIGINT after draining, 1 failed while running, 2 usage,
3 certificate, key or annotation unusable, 4 an address cannot be served.";

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
    fn a_certificate_without_its_key_is_refused() {
        assert!(Args::try_parse_from(["tsq-server", "--cert", "c.pem"]).is_err());
        assert!(Args::try_parse_from(["tsq-server", "--key", "k.pem"]).is_err());
    }
}
