//! Simulates clocks, links and a daemon that keeps a clock, from scenario files.
//!
//! A [`Scenario`] is read from a file ([`mod@file`]), run for a seed ([`run`]), and measured ([`metrics`]). The daemon is the real one's core,
//! [`tsq_algo::discipline::Keeper`]. No clock is read, nothing is drawn but from the seed, and every function whose
//! last digit a machine's library could choose comes from `libm`: the same file and seed give the same bytes anywhere.

#![forbid(unsafe_code)]

pub mod args;
pub mod chance;
mod clock;
pub mod commands;
mod compare;
pub mod expression;
pub mod file;
pub mod metrics;
pub mod output;
pub mod run;
mod scenario;

pub use scenario::{Client, Event, Limit, Of, Oscillator, Scenario, Server, What};
