//! A new process takes over the addresses of the one that serves, and no client notices.
//!
//! ```text
//! new (--take-over)                           old
//! connect to the address's abstract socket -> accept; only from its own user
//!                                          <- offer: shards, generation, secret, all sockets
//! bind, or use again, the next generation's sockets; start their threads
//! "serving"                                -> give up the name
//!                                          <- "draining"; what has come still gets its answers
//! steer new connections to them
//! steer everything to them                 <- end of the stream: the old process has ended
//! ```
//!
//! Only an explicit `--take-over` asks; a server started twice by mistake finds the port taken.
//! If the new process dies before it serves, the old one goes on as if nothing had been; if the old one
//! ends meanwhile, the new one serves.
//!
//! Anybody on this host can take the name, connect to it, and fill its queue. So nobody is waited for without
//! a limit or past a signal to end; who belongs to another user is no reason not to start, gets no word, and
//! brings no more than a line a minute into the log.

mod keeper;
mod offer;
mod rarely;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::time::Duration;

use rustix::process::Uid;

pub use keeper::{HandedOver, Keeper};
pub use offer::{Offer, ask};

/// Where the process that serves `address` is asked: an abstract name, which like the port belongs to
/// the network namespace and ends with the process.
fn name(address: SocketAddr) -> io::Result<std::os::unix::net::SocketAddr> {
    std::os::unix::net::SocketAddr::from_abstract_name(words(address))
}

fn words(address: SocketAddr) -> String {
    format!("tsq-server/{address}")
}

/// Who the other process belongs to, if that is not `us`: whoever runs here could claim the name, and must
/// neither get our keys nor give us theirs.
fn stranger(peer: impl AsFd, us: Uid) -> io::Result<Option<Uid>> {
    let theirs = rustix::net::sockopt::socket_peercred(peer)?.uid;
    Ok((theirs != us).then_some(theirs))
}

const SERVING: u8 = b'S';
const DRAINING: u8 = b'D';
/// The old process has waited too long, or was told nonsense.
const SERVING_ON: u8 = b'O';

/// For one step of the other process: its start-up, or the end of the one before it.
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
