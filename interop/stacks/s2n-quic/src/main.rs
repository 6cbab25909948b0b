//! A TSQ client and server on s2n-quic: `peer-s2n-quic client|server`, see `--help`.

#![forbid(unsafe_code)]

mod client;
mod datagrams;
mod server;
mod sessions;

use std::process::ExitCode;

use clap::Parser;
use peer_common::options::{Peer, Side};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match Peer::parse().side {
        Side::Client(options) => client::run(&options).await,
        Side::Server(options) => match server::run(&options).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        },
    }
}
