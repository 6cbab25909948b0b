//! A TSQ client and server on quiche: `peer-quiche client|server`, see `--help`.

#![forbid(unsafe_code)]

mod client;
mod config;
mod link;
mod server;
mod udp;

use std::process::ExitCode;

use clap::Parser;
use peer_common::options::{Peer, Side};

fn main() -> ExitCode {
    match Peer::parse().side {
        Side::Client(options) => client::run(&options),
        Side::Server(options) => match server::run(&options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        },
    }
}
