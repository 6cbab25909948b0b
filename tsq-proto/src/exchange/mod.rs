//! One exchange, seen from either end: the client's four timestamps become a sample or a refusal, the server's
//! answer is made ready and stamped last.

mod client;
mod correction;
mod refusal;
mod server;

pub use client::{Query, Sample, SignedQuery};
pub use correction::FollowUpRefusal;
pub use refusal::{Reason, Refusal};
pub use server::{AnswerRefused, Contents, Prepared, error_answer};
