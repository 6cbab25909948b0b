//! Support for tests that run the real binaries: against each other, against hostile servers, and
//! against peers on another QUIC stack; over loopback, or through a [`Relay`] that delays and loses.
//!
//! Everything here serves tests. A child that does not start, answer or end in time therefore
//! panics, with the child's own output in the message, and whatever was started ends when its
//! handle is dropped.
//!
//! It knows the binaries by their command lines and output only, and links none of our crates.

#![forbid(unsafe_code)]

mod adjtime;
mod binaries;
mod certs;
mod chronyd;
mod faketime;
mod peer;
mod ports;
mod process;
mod quiet;
pub mod relay;
mod server;

pub use adjtime::{Adjtime, Report};
pub use binaries::{bin, use_programs_in};
pub use certs::{Certs, ServerCert};
pub use chronyd::Chronyd;
pub use faketime::{faketime, faketime_by};
pub use peer::Peer;
pub use ports::{closed_port, silent_port};
pub use process::{Outcome, Process, run, run_at_most};
pub use quiet::end_quietly_without_a_reader;
pub use relay::Relay;
pub use server::Server;
pub use tsq_netem::{Bottleneck, Impairment};
