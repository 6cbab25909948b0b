//! One synchronisation as values: measure, judge, decide, act, remember.
//!
//! A program says what it wants in [`Settings`] and gets an [`Outcome`]; what becomes of that, in words, tables or
//! exit codes, is the program's and `tsq-view`'s business. One run goes through
//!
//! 1. [`run`]: everything that must hold before anything is sent ([`Unready`]), then the measurement by `tsq-client`;
//! 2. [`trust`]: [`Judged`] of what the servers said: each one's [`Verdict`], the offset they agree on with its bound,
//!    and how far that is to be believed;
//! 3. [`adjust`]: what is done to a `tsq_clock::Clock` about it, an [`Action`] or a [`Refusal`];
//! 4. [`remaining`]: a second measurement, and whether the first explains it;
//! 5. [`memory`] and [`receipt`]: what the next run, and an auditor, will want to know.
//!
//! [`findings`] says what can be found of a host and of each server. Reasons are types with a sentence each
//! ([`Reason`]); where a sentence names a setting, a program spells it its own way ([`Spelling`]).

#![forbid(unsafe_code)]

mod action;
pub mod adjust;
mod advice;
pub mod findings;
mod hints;
mod judged;
pub mod keeper;
pub mod memory;
mod outcome;
pub mod receipt;
pub mod remaining;
pub mod run;
mod settings;
mod standing;
pub mod trust;
mod uncounted;
mod unready;
mod verdict;
pub mod words;

pub use action::{Action, Idle, Refusal};
pub use advice::{Advice, Reason, Setting, Spelling};
pub use judged::{Choice, Judged};
pub use memory::Keeping;
pub use outcome::{Outcome, Problem, Remaining, SelfTest, Warning};
pub use run::{may_set, synchronise};
pub use settings::{Bootstrap, Settings};
pub use standing::{Distrust, Rule, Standing, TrustReport};
pub use uncounted::Uncounted;
pub use unready::Unready;
pub use verdict::{NoResult, Verdict};
