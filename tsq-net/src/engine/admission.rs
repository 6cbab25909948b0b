//! Who may begin a connection: the caller decides, attempt by attempt.

use std::net::SocketAddr;
use std::time::Instant;

use super::ConnId;

/// Decides what becomes of an attempt to connect, before anything is spent on it.
pub trait Admission {
    /// What to do with `attempt`.
    fn admit(&mut self, now: Instant, attempt: &Attempt) -> Verdict;

    /// Called after [`Verdict::Accept`] when the attempt became a connection: one packet may still
    /// turn out to be forged or malformed. The connection's end is an [`Event::Closed`].
    ///
    /// [`Event::Closed`]: crate::Event::Closed
    fn accepted(&mut self, now: Instant, conn: ConnId, attempt: &Attempt);
}

/// A client's first packet, not yet decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Where it says it came from.
    pub remote: SocketAddr,
    /// Whether whoever sent it has shown, with a token of ours, that it reads at `remote`.
    pub validated: bool,
    /// Whether it may be answered with a Retry packet: it does not come of one.
    pub may_retry: bool,
}

/// What to do with an [`Attempt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Begin the connection.
    Accept,
    /// Ask the client to come again with a token that shows it can read at its address (RFC 9000,
    /// section 8.1.2). Keeps no state. An attempt that may not be answered so is refused.
    Retry,
    /// Tell the client that it is not wanted; it gives up at once. Keeps no state.
    Refuse,
    /// Say nothing; the client repeats its packet after a while.
    Ignore,
}

/// Accepts every attempt.
pub(super) struct Everybody;

impl Admission for Everybody {
    fn admit(&mut self, _: Instant, _: &Attempt) -> Verdict {
        Verdict::Accept
    }

    fn accepted(&mut self, _: Instant, _: ConnId, _: &Attempt) {}
}
