//! How a cell is tried and told, whichever side is ours: both transports, and the paths between.

use std::net::SocketAddr;

use tsq_interop::{Impairment, Relay};

pub(crate) const NO_EARLY_DATA: &str = "s2n-quic has no 0-RTT";
pub(crate) const TRANSPORTS: [&str; 2] = ["datagram", "stream"];

/// Both transports; the first that fails names itself.
pub(crate) fn by_both(run: impl Fn(&str) -> Result<String, String>) -> Result<String, String> {
    let [datagrams, streams] = TRANSPORTS
        .map(|transport| run(transport).map_err(|reason| format!("{transport}s: {reason}")));
    let (datagrams, streams) = (datagrams?, streams?);
    Ok(if datagrams == streams {
        datagrams
    } else {
        format!("{datagrams} / {streams}")
    })
}

/// Runs through a relay, which must see the server's Retry: what is said of it elsewhere may be wrong.
pub(crate) fn retried(
    server: SocketAddr,
    run: impl FnOnce(SocketAddr) -> Result<String, String>,
) -> Result<String, String> {
    let relay = Relay::start(server, Impairment::default()).map_err(|error| error.to_string())?;
    let outcome = run(relay.address())?;
    match relay.counters().retries {
        0 => Err("answered without a Retry".into()),
        _ => Ok(outcome),
    }
}

/// A path on which the packets after so many come from another port.
pub(crate) fn rebinding(server: SocketAddr, packets: u64) -> Result<Relay, String> {
    let impairment = Impairment {
        rebind_after: Some(packets),
        ..Impairment::default()
    };
    Relay::start(server, impairment).map_err(|error| error.to_string())
}

/// After how many of a client's packets its port changes: all of a handshake, and some among 50 exchanges.
pub(crate) const MOMENTS: [u64; 9] = [1, 2, 3, 4, 5, 6, 8, 12, 15];

/// Runs through relays until packets enough were lost; every run must succeed, and the slowest one's time counts.
pub(crate) fn impaired(
    server: SocketAddr,
    loses: bool,
    run: impl Fn(SocketAddr) -> Result<Option<f64>, String>,
) -> Result<String, String> {
    let (mut lost, mut slowest) = (0, None);
    for seed in 1..=RUNS {
        let impairment = Impairment {
            loss_percent_each_way: if loses { 10.0 } else { 0.0 },
            reorder_percent: 30.0,
            seed,
            ..Impairment::default()
        };
        let relay = Relay::start(server, impairment).map_err(|error| error.to_string())?;
        slowest = run(relay.address())?
            .into_iter()
            .chain(slowest)
            .reduce(f64::max);
        lost += relay.counters().dropped;
        if !loses || lost >= ENOUGH_LOST {
            return Ok(slowest.map_or_else(String::new, milliseconds));
        }
    }
    Err(format!("only {lost} packets were lost in {RUNS} runs"))
}

const RUNS: u64 = 10;
const ENOUGH_LOST: u64 = 5;

/// Both programs read one clock: more than this off is a wrong formula, not a slow machine.
pub(crate) fn offset_of(ns: Option<f64>) -> Result<String, String> {
    let us = ns.ok_or("no offset")? / 1000.0;
    let figure = format!("{us:+.0} µs");
    if us.abs() < 50_000.0 {
        Ok(figure)
    } else {
        Err(format!("offset {figure}"))
    }
}

/// Of nanoseconds.
pub(crate) fn milliseconds(ns: f64) -> String {
    format!("{:.0} ms", ns / 1e6)
}
