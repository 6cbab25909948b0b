//! TSQ server: encrypted time over QUIC on UDP 443.
//!
//! The binary is a few lines over this library: flags ([`args`]) become [`settings`], a
//! [`certificate`] is loaded or made, each address ([`listen`]) gets [`shards`]: a [`service`] for each core on a
//! thread of its own; a signal ends them ([`run`]). One request goes through
//!
//! 1. [`service`]: the packet with its kernel time comes out of the socket;
//! 2. [`responder`]: it goes into the engine, messages come out;
//! 3. [`streams`], for messages on streams: when is a request complete?
//! 4. [`answer`]: the answer's bytes, with what [`teller`] has ready to be told, T3 stamped last.
//!
//! The [`responder`] and what it is made of open no socket, read no clock that is not handed to them, and draw no
//! randomness: whoever serves in another way, or under a pretend clock, drives it himself, as [`service`] does.
//! `examples/embed.rs` serves from within another program.
//!
//! [`departures`] notes when answers left, for clients that ask to be told.
//! A new process may replace one that serves ([`take_over`]).
//! Who may do that, and how often, is for [`limits`] to say; what was done is in [`counts`], and
//! [`metrics`] tells it.
//!
//! Beside them `tsq_host::own_clock` watches what this host's clock is worth. None of them ever waits for the [`log`].
//!
//! What is not here: the QUIC state machine is `tsq-net`'s and the wire `tsq-proto`'s.

#![forbid(unsafe_code)]

pub mod answer;
pub mod args;
pub mod certificate;
mod clock_report;
pub mod config;
pub mod counts;
pub mod departures;
#[cfg(test)]
mod documented;
#[cfg(debug_assertions)]
mod faults;
pub mod limits;
pub mod listen;
pub mod log;
pub mod metrics;
pub mod reload;
pub mod responder;
pub mod rules;
pub mod run;
pub mod sandbox;
pub mod service;
pub mod settings;
pub mod shards;
mod small_file;
pub mod streams;
pub mod supervise;
pub mod take_over;
pub mod teller;
pub mod telling;
pub mod wall_clock;
