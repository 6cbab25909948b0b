//! Receipts: signed exchanges kept so that they hold up years later.
//!
//! A file of JSON lines, each with the hash of the one before, so that a line that was removed,
//! changed or moved shows. The format and what a line proves are specified in the project's
//! `draft/profile.md`.

mod chain;
mod keep;
mod line;
mod verify;
mod write;

pub use chain::{Hash, START};
pub use keep::keep;
pub use line::{BadLine, Hex, Line};
pub use verify::{Checked, Flaw, Problem, Proof, verify};
pub use write::{Aside, Unsafe, WriteError, append, last_signed};
