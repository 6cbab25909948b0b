//! What the commands have in common: how a length of time is written ([`duration`]), how a process ends that
//! is the first of its container ([`first_process`]), and JSON that is safe to look at ([`json`]).
//!
//! It knows no clock, no server and no protocol, and prints nothing.

#![forbid(unsafe_code)]

pub mod duration;
pub mod first_process;
pub mod json;
