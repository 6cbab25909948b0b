//! TSQ associations: resolution, address race, trust and queries; as a core without input or output, and blocking.
//!
//! A [`Session`] holds one [association](SourceReport) per server and measures them all at once on
//! the caller's thread:
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::{Duration, Instant};
//! use tsq_client::{Options, Server, Session, Target, Trust};
//!
//! let trust = Trust::system()?;
//! let servers = vec![Server::new(Target::parse("time.example", 443)?, trust)];
//! let mut session = Session::new(servers, Options::default())?;
//! let reports = session.measure(Instant::now() + Duration::from_secs(3), &mut |_| {})?;
//! for source in &reports {
//!     println!("{}: {} samples", source.server, source.accepted().count());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! It ends with samples and reasons: what to make of them is `tsq-algo`'s business, and setting a
//! clock `tsq-clock`'s. Programs with an async runtime, whichever, have [`AsyncSession`].
//!
//! All of it but sockets, clocks, the resolver and the fallback is in [`Client`], which is driven by whoever has these:
//! a session has the system's, a simulator others.

#![forbid(unsafe_code)]

mod address_race;
mod association;
mod asynchronous;
mod attempt;
mod client;
mod failure;
pub mod fallback;
mod follow_ups;
mod means;
mod nonce;
mod options;
mod queries;
mod report;
mod resolve;
mod resumption;
mod session;
mod target;
mod terms;
pub mod trust;

pub use address_race::Said;
pub use asynchronous::AsyncSession;
pub use attempt::{Attempt, Protocol};
pub use client::{Client, Event, Transmit};
pub use failure::Failure;
pub use fallback::Ladder;
pub use means::Now;
pub use options::{Options, Progress, TransportChoice};
pub use report::{
    Answer, FollowUpCounts, Rejection, SampleReport, SourceReport, Timestamps, Transport,
};
pub use resumption::{Handshake, MemoryStore, Resumable, StoreProblem, TicketStore};
pub use session::Session;
pub use target::{BadTarget, Host, Target, is_certificate_name};
pub use trust::{
    ClientIdentity, Dates, FoundSlot, IdentityError, Server, Trust, TrustError, TrustRefusal,
    TrustState,
};
pub use tsq_x509::Pin;
