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

mod keeper;
mod offer;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::time::Duration;

pub use keeper::{HandedOver, Keeper};
pub use offer::{Offer, ask};

/// Where the process that serves `address` is asked: an abstract name, which like the port belongs to
/// the network namespace and ends with the process.
fn name(address: SocketAddr) -> io::Result<std::os::unix::net::SocketAddr> {
    std::os::unix::net::SocketAddr::from_abstract_name(format!("tsq-server/{address}"))
}

/// Whoever else runs here could claim the name, and must neither get our keys nor give us theirs.
fn require_own_user(peer: impl AsFd) -> io::Result<()> {
    let (theirs, ours) = (
        rustix::net::sockopt::socket_peercred(peer)?.uid,
        rustix::process::geteuid(),
    );
    if theirs == ours {
        return Ok(());
    }
    let (theirs, ours) = (theirs.as_raw(), ours.as_raw());
    let text = format!("the other process belongs to user {theirs}, this one to {ours}");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

const SERVING: u8 = b'S';
const DRAINING: u8 = b'D';
/// The old process has waited too long, or was told nonsense.
const SERVING_ON: u8 = b'O';

/// For one step of the other process: its start-up, or the end of the one before it.
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
