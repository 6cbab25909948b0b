//! For development: a seeded network that delays, loses, reorders and spoils packets, without sockets or clocks.
//!
//! * [`Impairment`] says what happens to packets; [`Dice`] decides it, the same way for the same seed.
//! * [`Way`] is one direction of one client's path, [`Link`] a bottleneck that all share: when does a packet leave?
//! * [`Network`] is a whole network in memory, for programs under virtual time.
//!
//! The relay of `tsq-interop` does the same to real packets.

#![forbid(unsafe_code)]

mod impairment;
mod network;
mod packet;
mod way;

pub use impairment::{Bottleneck, Dice, Fate, Impairment, REORDER_HOLD};
pub use network::{Counters, Network, Packet};
pub use packet::is_retry;
pub use way::{Link, Way};
