//! What the peers on other QUIC stacks share: wire format, options, and the JSON line a client prints.
//!
//! Written from draft/PROTOCOL.md alone and shares nothing with the crates of TSQ: its worth is that
//! it can disagree with them. Its cryptography is another's too (`ed25519-dalek`, not `ring`).

#![forbid(unsafe_code)]

mod client;
mod key;
pub mod options;
mod report;
mod server;
mod time;
mod tlv;

pub use client::{Exchange, RESEND, Sample, error_code, malformed};
pub use key::Key;
pub use report::Report;
pub use server::Answers;
pub use time::unix_ns;

/// Fills a buffer with what nobody can guess.
///
/// # Panics
/// When the system has no random numbers.
pub fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system has random numbers");
}
