//! What the commands have in common: how a length of time is written ([`duration`]), how a process ends that
//! is the first of its container ([`first_process`]), JSON that is safe to look at ([`json`]), and results on standard
//! output ([`output`]).
//!
//! It knows no clock, no server and no protocol.

#![forbid(unsafe_code)]

pub mod duration;
pub mod first_process;
pub mod json;
pub mod output;
