use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use tsq_certs::{Error, KeyType, Lifetime, When};
use tsq_keys::Algorithm;

/// Make certificates and signing keys for TSQ servers, and print pins
#[derive(Parser)]
#[command(name = "tsq-certs", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str =
    "Exit codes: 0 done; 1 a file is in the way, unreadable or unusable; 2 wrong arguments.";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a certificate authority: ca.pem and ca-key.pem
    Ca {
        /// Directory to write to; created when missing
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Common name of the authority
        #[arg(long, value_name = "CN", default_value = "TSQ CA", value_parser = common_name)]
        name: String,
        /// Days from now until it expires
        #[arg(long, value_name = "N", default_value_t = 3650, value_parser = days())]
        days: u32,
    },
    /// Make a server certificate signed by a certificate authority: cert.pem and key.pem
    Server {
        /// Directory with ca.pem and ca-key.pem
        #[arg(long, value_name = "DIR")]
        ca: PathBuf,
        #[command(flatten)]
        target: Target,
        /// Kind of key; Ed25519 is faster, P-256 is understood everywhere
        #[arg(long, value_enum, default_value_t = Key::P256)]
        key: Key,
        #[command(flatten)]
        validity: Validity,
    },
    /// Make a client certificate signed by a certificate authority, for servers run with --client-ca
    Client {
        /// Directory with ca.pem and ca-key.pem
        #[arg(long, value_name = "DIR")]
        ca: PathBuf,
        /// Directory to write to; created when missing
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Name of the client, for people
        #[arg(long, value_name = "CN", value_parser = common_name)]
        name: String,
        #[command(flatten)]
        validity: Validity,
    },
    /// Make a self-signed server certificate, to be pinned by clients: cert.pem and key.pem
    SelfSigned {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        validity: Validity,
    },
    /// Make a key that signs answers: FILE, secret, and with Ed25519 FILE.pub for those who verify
    SigningKey {
        /// File to write; its directory is created when missing
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Number that answers name the key by; unique among a server's keys
        #[arg(long, value_name = "N")]
        id: u32,
        /// With Ed25519 clients get a public half; with HMAC they share the secret, which costs less time
        #[arg(long, value_enum, default_value_t = Signing::Ed25519)]
        algorithm: Signing,
        /// When a server begins to sign with it: 2027-01-31, 2027-01-31T12:00:00Z, +10d [default: at once]
        #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
        valid_from: Option<When>,
    },
    /// Print the pin of the first certificate in each PEM file: SHA-256 of its public key
    Pin {
        /// PEM files; with several, each line ends with the file's name
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// A hundred years; `--not-after` says more, where that is meant.
fn days() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=36_500)
}

/// X.520 ends a common name at 64 characters.
fn common_name(name: &str) -> Result<String, String> {
    match name.chars().count() {
        0 => Err("a name must not be empty".into()),
        1..=64 => Ok(name.into()),
        count => Err(format!("{count} characters are too long; at most 64 fit")),
    }
}

#[derive(ClapArgs)]
pub(crate) struct Target {
    /// Directory to write to; created when missing
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// DNS name or IP address of the server; repeatable
    #[arg(long = "name", value_name = "NAME|IP", required = true)]
    pub(crate) names: Vec<String>,
}

#[derive(ClapArgs)]
pub(crate) struct Validity {
    /// Days from now until it expires
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = days())]
    days: u32,
    /// When it becomes valid: 2027-01-31, 2027-01-31T12:00:00Z, +10d, -2h [default: -1d]
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    not_before: Option<When>,
    /// When it expires, written in the same way
    #[arg(
        long,
        value_name = "WHEN",
        allow_hyphen_values = true,
        conflicts_with = "days"
    )]
    not_after: Option<When>,
}

impl Validity {
    pub(crate) fn lifetime(&self) -> Result<Lifetime, Error> {
        let in_days = When::FromNow(i64::from(self.days) * 86_400);
        Lifetime::between(
            self.not_before.unwrap_or(When::DEFAULT_START),
            self.not_after.unwrap_or(in_days),
        )
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Key {
    P256,
    Ed25519,
}

impl From<Key> for KeyType {
    fn from(key: Key) -> Self {
        match key {
            Key::P256 => Self::P256,
            Key::Ed25519 => Self::Ed25519,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Signing {
    Ed25519,
    HmacSha256,
}

impl From<Signing> for Algorithm {
    fn from(algorithm: Signing) -> Self {
        match algorithm {
            Signing::Ed25519 => Self::Ed25519,
            Signing::HmacSha256 => Self::HmacSha256,
        }
    }
}
