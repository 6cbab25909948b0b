//! TSQ associations: resolution, address race, trust and queries. Blocking.
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
//! clock `tsq-clock`'s. Embedders with an async runtime call it on a blocking thread.

#![forbid(unsafe_code)]

mod address_race;
mod association;
mod failure;
pub mod fallback;
mod follow_ups;
mod queries;
mod report;
mod resolve;
mod resumption;
mod session;
mod target;
mod terms;
pub mod trust;

pub use failure::Failure;
pub use fallback::{Attempt, Fallback, Ladder, Protocol};
pub use follow_ups::FollowUpCounts;
pub use report::{Answer, Rejection, SampleReport, SourceReport, Timestamps, Transport};
pub use resumption::{Handshake, MemoryStore, Resumable, StoreProblem, TicketStore};
pub use session::{Options, Progress, Session, TransportChoice};
pub use target::{BadTarget, Host, Target, is_certificate_name};
pub use trust::{
    ClientIdentity, Dates, FoundSlot, IdentityError, Server, Trust, TrustError, TrustRefusal,
    TrustState,
};
