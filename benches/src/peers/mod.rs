//! Programs that are measured: clients that ask once, and servers; ours, and those of others.
//!
//! [`one_shots`] lists every client there is, and [`Kind`] every server; one that is not installed is listed too and
//! says why it cannot run. None of them can touch the clock: see [`crate::no_clock`], besides the harmless mode that
//! most have.

mod answers;
mod check;
mod child;
mod clients;
mod one_shot;
mod server;
mod tools;

pub use check::{check, versions};
pub use child::Finished;
pub(crate) use child::STILL_RUNNING;
pub use clients::one_shots;
pub use one_shot::{Answer, OneShot, Run};
pub use server::{Kind, Nts, PeerServer};
pub use tools::Tools;

use std::net::SocketAddr;

/// What is spoken between a client and a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// Time over QUIC.
    Tsq,
    /// NTP version 4, without authentication.
    Ntp,
    /// NTP with Network Time Security.
    Nts,
    /// Roughtime, in its classic form: microseconds.
    Roughtime,
}

/// A server as its client needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Where it, or a relay before it, is asked.
    pub address: SocketAddr,
    /// What its answers are believed by.
    pub trust: Trust,
}

impl End {
    /// The same server, asked through a relay at this address.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        Self {
            address,
            trust: self.trust.clone(),
        }
    }
}

/// What a client believes a server by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Nothing: plain NTP.
    Nothing,
    /// The pin of its key (64 hex digits): TSQ.
    Pin(String),
    /// A file with the certificate of an authority: TSQ, and NTS, whose keys are exchanged at this TCP port of the
    /// same host.
    Authority {
        /// PEM.
        file: String,
        /// Of no use to TSQ.
        key_exchange: u16,
    },
    /// A public key (64 hex digits): Roughtime.
    Key(String),
}
