//! ntpdate-like TSQ client: measures several servers, then slews or steps within limits.
//!
//! The command is a few lines over this library. One run goes through
//!
//! 1. [`args`], [`config`] and [`settings`]: what was asked, checked before anything is sent;
//! 2. [`sync`]: measure (`tsq-client`), [`analysis`] and decision (`tsq-algo`) as far as [`trust`]
//!    allows, [`adjust`]ment (`tsq-clock`) unless another program is the [`keeper`] of the clock, and a second
//!    measurement of what is [`remaining`];
//! 3. [`outcome`]: everything a reader could want to know, printed by [`table`] or [`json`].
//!
//! [`wait`], [`rtc`] and [`explain`] measure and set no clock of the system; [`memory`] is what is
//! kept from run to run. [`self_test`] does the same against two servers of its own; [`receipt`] keeps signed exchanges
//! and checks them.

#![forbid(unsafe_code)]

pub mod adjust;
pub mod analysis;
pub mod args;
pub mod config;
pub mod ended;
pub mod explain;
pub mod findings;
pub mod json;
pub mod keeper;
pub mod memory;
pub mod outcome;
pub mod progress;
pub mod reach;
pub mod receipt;
pub mod remaining;
pub mod rtc;
pub mod run;
pub mod self_test;
pub mod settings;
pub mod sync;
pub mod table;
pub mod trust;
pub mod uncounted;
pub mod wait;
