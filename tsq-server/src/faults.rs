//! Bugs on demand, for tests of what happens then. Not in release builds.
//!
//! `TSQ_FAULT_PANIC` names where: an address, so that the thread panics which reads a packet from there, or
//! `own-clock`.

use std::net::IpAddr;
use std::sync::LazyLock;

/// A packet from this address has been read.
pub(crate) fn packet_from(address: IpAddr) {
    static FATAL: LazyLock<Option<IpAddr>> = LazyLock::new(|| told()?.parse().ok());
    assert!(*FATAL != Some(address), "fault at a packet, as told");
}

/// Our own clock is looked at once more.
pub(crate) fn own_clock() {
    static FATAL: LazyLock<bool> = LazyLock::new(|| told().is_some_and(|at| at == "own-clock"));
    assert!(!*FATAL, "fault at the own clock, as told");
}

fn told() -> Option<String> {
    std::env::var("TSQ_FAULT_PANIC").ok()
}
