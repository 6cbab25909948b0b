//! The command lines of the peers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::Key;

/// A TSQ peer on another QUIC stack.
#[derive(Clone, Debug, Parser)]
pub struct Peer {
    /// Which side to play.
    #[command(subcommand)]
    pub side: Side,
}

/// Which side to play.
#[derive(Clone, Debug, Subcommand)]
pub enum Side {
    /// Serve until SIGTERM or SIGINT; prints `listening on ADDRESS` first
    Server(Server),
    /// Ask a server, print one JSON line; exit code 0 only if every answer was good
    Client(Client),
}

/// Options of the server.
#[derive(Clone, Debug, Args)]
pub struct Server {
    /// Address and UDP port; port 0 takes an unused one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Certificate chain, PEM
    #[arg(long)]
    pub cert: PathBuf,
    /// Private key, PEM
    #[arg(long)]
    pub key: PathBuf,
    /// Application protocols, in order of preference
    #[arg(long, value_delimiter = ',', default_value = "tsq")]
    pub alpn: Vec<String>,
    /// Send a Retry before each connection
    #[arg(long)]
    pub retry: bool,
    /// Take no datagrams
    #[arg(long)]
    pub no_datagrams: bool,
    /// How to answer.
    #[command(flatten)]
    pub answering: Answering,
}

/// How a server answers.
#[derive(Clone, Debug, Default, Args)]
pub struct Answering {
    /// Put elements of unknown types into each answer
    #[arg(long)]
    pub unknown: bool,
    /// Answer each stream with an Error of this code
    #[arg(long)]
    pub error: Option<u8>,
    /// Sign where asked to: ed25519:ID:SEED or hmac-sha256:ID:KEY, in hex
    #[arg(long)]
    pub signing_key: Option<Key>,
}

/// Options of the client.
#[derive(Clone, Debug, Args)]
pub struct Client {
    /// Address of the server
    pub server: SocketAddr,
    /// Trust the authorities in this PEM file
    #[arg(long)]
    pub ca: PathBuf,
    /// Name the certificate must have
    #[arg(long, default_value = "localhost")]
    pub server_name: String,
    /// Application protocols, in order of preference
    #[arg(long, value_delimiter = ',', default_value = "tsq")]
    pub alpn: Vec<String>,
    /// How queries travel
    #[arg(long, value_enum, default_value = "datagram")]
    pub transport: Transport,
    /// Exchanges on one connection
    #[arg(long, default_value_t = 1)]
    pub count: usize,
    /// Send all requests before waiting for the first answer
    #[arg(long)]
    pub pipelined: bool,
    /// Send one malformed request on a stream; good is an answer that is an Error
    #[arg(long)]
    pub malformed: bool,
    /// Move to another UDP port after the first exchange
    #[arg(long)]
    pub migrate: bool,
    /// Connect a second time with the ticket of the first, and ask on that connection
    #[arg(long)]
    pub resume: bool,
    /// As --resume, with the requests in 0-RTT
    #[arg(long)]
    pub early: bool,
    /// Seconds for everything
    #[arg(long, default_value_t = 5)]
    pub timeout: u64,
    /// What to ask for.
    #[command(flatten)]
    pub ask: Ask,
}

impl Client {
    /// The time for everything.
    #[must_use]
    pub fn limit(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// How many requests may be without an answer.
    #[must_use]
    pub fn window(&self) -> usize {
        if self.pipelined { self.count } else { 1 }
    }
}

/// What a client asks for.
#[derive(Clone, Debug, Default, Args)]
pub struct Ask {
    /// Put elements of unknown types into each request
    #[arg(long)]
    pub unknown: bool,
    /// Ask what the server's clock is worth
    #[arg(long)]
    pub metadata: bool,
    /// Ask for answers as long as the requests
    #[arg(long)]
    pub precision: bool,
    /// Ask for signatures by this key: ed25519-public:ID:KEY or hmac-sha256:ID:KEY, in hex
    #[arg(long)]
    pub verify_key: Option<Key>,
}

/// How queries travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// One DATAGRAM frame each way.
    Datagram,
    /// A bidirectional stream for each.
    Stream,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Peer::command().debug_assert();
    }
}
