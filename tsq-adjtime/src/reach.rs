//! How servers are asked, known and chosen from: the same for a run and for the commands that set no clock.

use std::path::PathBuf;

use tsq_certs::Pin;

use crate::choices::{BootstrapArg, CombineArg, FallbackArg, MinTrustArg, TransportArg};

/// All that bears on a measurement, so that every command finds what a run would.
#[derive(Clone, Debug, clap::Args)]
pub struct Reach {
    /// TOML file with the options of a run, without their dashes, and `servers`; what is given here wins over the file's
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Keep there the last verified time and the steps made [default: $STATE_DIRECTORY or /var/lib/tsq-adjtime]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// UDP port of servers that name none
    #[arg(long, default_value_t = 443, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,

    /// Samples to take from each server
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub queries: u16,

    /// Servers that must agree at least
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub min_sources: u16,

    /// Do nothing unless every one of the SERVERs agrees: exit code 4, with the names of those that do not
    #[arg(long)]
    pub require_all: bool,

    /// Use this one of the SERVERs instead of others that agree with it; repeatable
    #[arg(long, value_name = "SERVER")]
    pub prefer: Vec<String>,

    /// Take this one of the SERVERs to be right: the others have no vote and are held against it; repeatable
    #[arg(long, value_name = "SERVER")]
    pub trust: Vec<String>,

    /// How the offsets of the servers that agree become one
    #[arg(long, value_enum, default_value = "median")]
    pub combine: CombineArg,

    /// What to try where TSQ gets no answer, as the port may be blocked; NTS is held to the same certificates [default: nts; none with --transport, --verify-key or --insecure]
    #[arg(long, value_name = "PROTOCOLS", value_delimiter = ',', value_enum)]
    pub fallback: Vec<FallbackArg>,

    /// What servers must be to decide: NTP, which nothing authenticates, otherwise only refines what others allow
    #[arg(long, value_enum, default_value = "authenticated")]
    pub min_trust: MinTrustArg,

    /// Fall back to plain NTP as well and, if nothing else answers, let it decide: whoever is on the way could then set this clock. Ends with exit code 8 where it did
    #[arg(long)]
    pub allow_ntp: bool,

    /// TCP port of NTS key exchange
    #[arg(long, default_value_t = 4460, value_parser = clap::value_parser!(u16).range(1..))]
    pub nts_port: u16,

    /// UDP port of plain NTP
    #[arg(long, default_value_t = 123, value_parser = clap::value_parser!(u16).range(1..))]
    pub ntp_port: u16,

    /// How queries travel
    #[arg(long, value_enum, default_value = "auto")]
    pub transport: TransportArg,

    /// Trust the certificates in this PEM file instead of the system's roots
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Trust this public key: SHA-256 of the SubjectPublicKeyInfo, 64 hex digits, or sha256//BASE64 as curl takes it; repeatable. With --ca both must hold. The certificate's dates count all the same
    #[arg(long, value_name = "SHA256")]
    pub pin: Vec<Pin>,

    /// Name the certificates must carry, instead of the server's own
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,

    /// Ask for signatures by this key (a public key file of tsq-certs), and take no answer without one; repeatable
    #[arg(long, value_name = "FILE")]
    pub verify_key: Vec<PathBuf>,

    /// Ask for answers exactly as long as the requests, so that size costs neither direction more
    #[arg(long)]
    pub precision: bool,

    /// Do not ask the servers what their clocks are worth
    #[arg(long)]
    pub no_metadata: bool,

    /// Whether the dates of certificates may wait until enough servers agree on the time
    #[arg(long, value_enum, default_value = "auto")]
    pub bootstrap: BootstrapArg,

    /// Believe dates that waited once this many servers with different public keys agree
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..))]
    pub bootstrap_servers: u8,

    /// Certificate chain to show a server that asks for one, PEM, leaf first
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub client_cert: Option<PathBuf>,

    /// Private key of --client-cert, PEM
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub client_key: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::args::{Args, Command};

    #[test]
    fn every_command_that_measures_takes_the_options_of_a_run() {
        let words: Vec<&str> = "--fallback nts,ntp --nts-port 4461 --min-trust none --queries 3 \
            --client-cert c --client-key k --min-sources 2 --transport stream a b"
            .split_whitespace()
            .collect();
        let parse = |command: &[&str]| {
            let all = [&["tsq-adjtime"], command, &words].concat();
            Args::try_parse_from(all).unwrap()
        };
        let run = format!("{:?}", parse(&[]).reach);
        for command in ["wait", "check", "explain", "rtc"] {
            let reach = match parse(&[command]).command {
                Some(
                    Command::Wait { reach, .. }
                    | Command::Check { reach, .. }
                    | Command::Explain { reach, .. }
                    | Command::Rtc { reach, .. },
                ) => reach,
                other => panic!("{other:?}"),
            };
            assert_eq!(format!("{reach:?}"), run, "{command}");
        }
    }
}
