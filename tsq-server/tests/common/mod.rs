//! Clients that ask a server without a pause.
#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

pub(crate) mod clients;
pub(crate) mod load;
