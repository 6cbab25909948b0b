//! NTP and NTS client: the same samples from servers that speak no TSQ. Blocking.
//!
//! * [`header`]: the 48 bytes of NTPv4 (RFC 5905, section 7.3), and [`extension`] what may follow them (RFC 7822);
//! * [`exchange`]: one request and the judgement of what comes back, pure;
//! * [`nts`]: the key exchange over TLS and the protection of packets (RFC 8915);
//! * [`measure`]: the packets on their way, with the kernel's timestamps and a time limit.
//!
//! A request tells nothing of this host: every field is zero but version and mode, and the transmit timestamp is random
//! and so the nonce that the answer must echo. Plain NTP proves no more than that whoever answered saw the request; it
//! is never authenticated.
//!
//! What this crate does not do: it decides nothing about trust (the caller brings the certificate verifier), about
//! which server to believe, or about the clock.

#![forbid(unsafe_code)]

pub mod exchange;
pub mod extension;
mod failure;
pub mod header;
mod measure;
pub mod nts;
mod random;
mod refusal;

pub use failure::Failure;
pub use measure::{Answers, Limits, Measured, Protocol, measure};
pub use refusal::Refusal;

/// The UDP port of NTP.
pub const NTP_PORT: u16 = 123;

/// The TCP port of the NTS key exchange (RFC 8915, section 7.6).
pub const NTS_PORT: u16 = 4460;
