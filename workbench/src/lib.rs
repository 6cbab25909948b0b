//! What the steps of `cargo xtask test` work with: cargo and other children, the workspace, its files, Debian's
//! packages, and the count of what passed. It knows no step.
//!
//! Whatever fails here fails with a [`process::Failure`]: one line for the developer that says what to do.

#![forbid(unsafe_code)]

pub mod debian;
pub mod files;
pub mod process;
pub mod tally;
pub mod workspace;
