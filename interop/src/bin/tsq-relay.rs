//! The relay by hand: a UDP path with delay and loss between a client and a server.

#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use clap::Parser;
use tsq_interop::{Impairment, Relay};

/// Relay UDP to a server, with delay, loss and reordering; runs until interrupted
#[derive(Parser)]
#[command(name = "tsq-relay", version)]
struct Args {
    /// Address to listen on; port 0 takes an unused one, which is printed
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Address of the server
    #[arg(long, value_name = "ADDR")]
    upstream: SocketAddr,
    /// Milliseconds that each packet is held, each way
    #[arg(long, value_name = "MS", default_value_t = 0.0, value_parser = milliseconds)]
    delay_ms: f64,
    /// Milliseconds that those to the client are held longer
    #[arg(long, value_name = "MS", default_value_t = 0.0, value_parser = milliseconds)]
    more_back_ms: f64,
    /// Most milliseconds that a packet is held beyond that, by chance; none overtakes another
    #[arg(long, value_name = "MS", default_value_t = 0.0, value_parser = milliseconds)]
    jitter_ms: f64,
    /// Percent of the packets lost, each way
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percentage)]
    loss: f64,
    /// Percent of the packets held 3 ms longer, so that others overtake them
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percentage)]
    reorder: f64,
    /// Percent of the packets spoiled: bits turned, cut short, or another first byte
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percentage)]
    corrupt: f64,
    /// Packets of the first client after which the rest leave from another port, as behind a NAT
    #[arg(long, value_name = "N")]
    rebind_after: Option<u64>,
    /// Start of the pseudo-random choices: the same seed makes the same ones
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

fn main() -> io::Result<()> {
    tsq_interop::end_quietly_without_a_reader();
    let args = Args::parse();
    let impairment = Impairment {
        delay_each_way: Duration::from_secs_f64(args.delay_ms / 1000.0),
        more_on_the_way_back: Duration::from_secs_f64(args.more_back_ms / 1000.0),
        jitter: Duration::from_secs_f64(args.jitter_ms / 1000.0),
        bottleneck: None,
        loss_percent_each_way: args.loss,
        reorder_percent: args.reorder,
        corrupt_percent: args.corrupt,
        rebind_after: args.rebind_after,
        seed: args.seed,
    };
    let relay = Relay::start_on(args.listen, args.upstream, impairment)?;
    println!("listening on {}", relay.address());
    loop {
        thread::park();
    }
}

/// Up to a minute: more is a slip, and far more would not fit a duration.
fn milliseconds(text: &str) -> Result<f64, String> {
    number_up_to(60_000.0, text)
}

fn percentage(text: &str) -> Result<f64, String> {
    number_up_to(100.0, text)
}

fn number_up_to(limit: f64, text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if (0.0..=limit).contains(&number) => Ok(number),
        _ => Err(format!("not a number from 0 to {limit}")),
    }
}
