//! Measures TSQ's programs, and those of others beside them in the same run.
//!
//! Each sub-command of `tsq-bench` is a module; those that are part of a whole run are listed in [`sections`].
//! [`all`] runs them one after the other and writes [`results`]; [`render`] makes of these alone what people read:
//! `RESULTS.md`, plots, a page. A figure on a shared machine is worth most as a ratio to a peer's, so a verdict is one,
//! and says where the other is better.
//!
//! No clock is ever set here: our client runs with `--dry-run`, and the programs of others, besides their own options
//! for that, where [`no_clock`] keeps them from it.

#![forbid(unsafe_code)]

pub mod accuracy;
pub mod all;
pub mod args;
pub mod attacks;
pub mod bounds;
mod conditions;
mod cores;
pub mod effort;
pub mod handshakes;
pub mod impaired;
mod interrupt;
mod load;
pub mod memory;
mod namespace;
pub mod no_clock;
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
mod tap;
pub mod tcp_relay;
mod trust;

/// What a measurement that could not be made says.
pub type Error = Box<dyn std::error::Error>;

pub use conditions::{Conditions, load_average};
pub use quantiles::Quantiles;
pub use tsq_perf::Table;
