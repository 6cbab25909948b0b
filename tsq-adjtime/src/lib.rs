//! ntpdate-like TSQ client: measures several servers, then slews or steps within limits.
//!
//! The command is a few lines over this library, and this library decides nothing: `tsq-sync` measures, judges and
//! adjusts, `tsq-view` says what came of it. Here is how a command line becomes their settings ([`args`], [`reach`],
//! [`config`], [`settings`]), which command does what ([`commands`]), and how a process ends ([`ended`]: its exit
//! code, and the line on standard error that every code but 0 has).

#![forbid(unsafe_code)]

pub mod args;
mod choices;
pub mod commands;
pub mod config;
pub mod ended;
mod exit;
pub mod progress;
pub mod reach;
pub mod settings;
mod shown;

pub use exit::Exit;
