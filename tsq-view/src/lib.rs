//! What was found about a clock, as people and programs read it.
//!
//! The same words and the same objects for every program: [`table`] and [`mod@json`] of a run, [`findings`] as
//! sentences, as a ticket and as an object, [`receipts`], and [`why`] a run came to nothing. Programs differ in how
//! they spell a setting and in what their terminal can show: that is in [`View`]. Nothing here looks at a terminal, a
//! clock or a file. The objects' schemas are in `schema/`, and part of the interface.

#![forbid(unsafe_code)]

pub mod findings;
pub mod json;
pub mod receipts;
pub mod table;
mod why;

pub use why::why;

use tsq_sync::Spelling;

/// How a program shows things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// How it writes the names of settings.
    pub spelling: Spelling,
    /// Whether what it writes to has colours, and its reader wants them.
    pub colour: bool,
    /// Every sample.
    pub verbose: bool,
}
