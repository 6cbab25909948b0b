//! Measures TSQ's programs, and those of others beside them in the same run.
//!
//! Each sub-command of `tsq-bench` is a module: [`serving`] (processor time per request), [`one_shot`] (a one-shot client
//! from start to exit), [`accuracy`] (error of single offsets), [`bounds`] (what one-shot clients claim, and whether it
//! is true), [`impaired`] (the same over bad paths), [`relay`] (the error of those paths themselves) and [`start`] (a
//! server's first answer). The figures are in `RESULTS.md`.
//!
//! What it does not do: judge. It prints figures and the conditions they were taken under; a goal is
//! a line in the issue, and a figure on a shared machine is worth most as a ratio to a peer's.
//!
//! No clock is ever set here: our client runs with `--dry-run`, and the programs of others, besides their own options
//! for that, where [`no_clock`] keeps them from it.

#![forbid(unsafe_code)]

pub mod accuracy;
pub mod all;
pub mod args;
pub mod bounds;
mod conditions;
pub mod impaired;
mod interrupt;
mod load;
mod namespace;
pub mod no_clock;
mod ntp;
pub mod one_shot;
pub mod paths;
pub mod peers;
mod quantiles;
pub mod relay;
pub mod render;
pub mod results;
pub mod section;
pub mod sections;
pub mod serving;
mod spin;
pub mod start;
mod table;
mod tap;
pub mod tcp_relay;
mod trust;

/// What a measurement that could not be made says.
pub type Error = Box<dyn std::error::Error>;

pub use conditions::{Conditions, load_average};
pub use quantiles::Quantiles;
pub use table::Report;
pub use tsq_perf::Table;
