//! What this host's own clock is worth, asked of those who keep it.
//!
//! The kernel is asked once a second; chronyd, where it runs, every few seconds, for only it knows
//! stratum and reference. What the operator says on the command line wins over both.

mod chrony;
mod state;
mod watch;

pub use chrony::Tracking;
pub use state::{Overrides, OwnClock, Reference, Smear};
pub(crate) use watch::report;
pub use watch::{Asking, Shared, Watch};
