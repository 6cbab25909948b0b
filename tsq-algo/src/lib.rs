//! Samples in, decisions out: the statistics and choices of a TSQ client.
//!
//! In this order: [`filter`] turns one source's samples into an estimate, [`select`] turns the
//! sources' estimates into one offset and says what became of each, [`decide`] says what to do to
//! the clock about it. Everything is computed from the arguments: no clock, socket, file or
//! randomness (`clippy.toml` beside this crate's manifest checks it). Nothing here panics or
//! overflows, whatever the numbers.
//!
//! Offsets are positive when our clock is behind.

#![forbid(unsafe_code)]

mod combine;
mod coverage;
mod decide;
pub mod discipline;
mod filter;
mod interval;
mod rules;
mod sample;
mod select;
mod statistics;
mod verdict;

pub use combine::{Combined, Disagreement, Method, SERVER_ERROR_ALLOWANCE, combine};
pub use decide::{Decision, NothingToDo, Policy, RESOLUTION, decide};
pub use filter::{Filtered, RejectReason, SourceEstimate, filter};
pub use interval::Interval;
pub use rules::{Candidate, Limits, Mark, Rules};
pub use sample::Sample;
pub use select::{NoSelection, Selection, select};
pub use verdict::Verdict;
