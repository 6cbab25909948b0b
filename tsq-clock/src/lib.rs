//! The clock seam: read, step, slew and discipline a clock, within limits that are enforced here.
//!
//! [`Clock`] is the seam. `SystemClock` (Linux) sets the real one, [`DryRun`] only reports what
//! would be set, [`SimulatedClock`] is for tests. Nothing here decides *whether* to set a clock, or
//! by how much: that is `tsq-algo`'s and the caller's part. But whatever they ask, [`Limits`] holds,
//! and over days a [`StepBudget`], counted in a [`StateDir`].
//!
//! Differences between operating systems end at this crate, and its only `unsafe` code is in
//! `linux/sys.rs`.

#![deny(unsafe_code)]

mod budget;
mod clock;
mod discipline;
mod dry_run;
mod error;
mod limits;
#[cfg(target_os = "linux")]
mod linux;
mod lock;
mod marked;
mod moment;
mod rtc;
mod saved;
mod simulated;
mod slew;
mod state;
mod state_dir;

pub use budget::{BudgetError, Budgeted, StepBudget, Steps};
pub use clock::{Applied, Clock, Slewing};
pub use discipline::{Discipline, ErrorBound};
pub use dry_run::DryRun;
pub use error::ClockError;
pub use limits::Limits;
#[cfg(target_os = "linux")]
pub use linux::{HardwareClock, SystemClock};
pub use lock::{Lock, LockError};
pub use marked::Marked;
pub use moment::{Disturbance, Moment};
pub use rtc::{RTC_RESOLUTION, RtcVerdict};
pub use saved::SavedClock;
pub use simulated::SimulatedClock;
pub use state::{KernelLeap, KernelState};
pub use state_dir::{StateDir, StateError, check_owner};
