//! What this host's own clock is worth, asked of those who keep it.
//!
//! The kernel is asked once a second; chronyd, where it runs, every few seconds, for only it knows
//! stratum and reference. A clock that is lost is held for a while. What the operator says on the command line wins over both.

mod chrony;
mod holdover;
mod state;
mod watch;

pub use chrony::{Tracking, USUAL_SOCKET};
pub use holdover::{DRIFT_PPM, Holdover, Sight};
pub use state::{Lack, Overrides, OwnClock, Reference, Smear};
pub use watch::{Asking, Shared, Watch, look_once};
