//! How to measure, and how far a measurement is.

use std::sync::Arc;
use std::time::Duration;

use tsq_keys::VerifyKeys;

/// How to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Samples wanted of each server.
    pub queries: u16,
    /// How queries travel.
    pub transport: TransportChoice,
    /// A sample with a larger offset is refused (E4; the draft's example is 24 h).
    pub offset_limit: Duration,
    /// Ask servers of this family what their clock is worth (those in the field are never asked:
    /// they expect 18 bytes).
    pub metadata: bool,
    /// With `metadata`, ask when answers really left, and correct T3 by it; one more query a server.
    pub follow_up: bool,
    /// Ask for answers as long as the requests (precision mode, M6).
    pub precision: bool,
    /// Ask for signatures by one of these keys; an answer without a valid one is refused (M5).
    pub keys: Option<Arc<VerifyKeys>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queries: 5,
            transport: TransportChoice::Auto,
            offset_limit: Duration::from_secs(24 * 3600),
            metadata: true,
            follow_up: true,
            precision: false,
            keys: None,
        }
    }
}

/// How queries shall travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportChoice {
    /// Datagrams where the server takes them and they are answered, else streams (C5).
    Auto,
    /// Datagrams or nothing.
    Datagram,
    /// Streams or nothing.
    Stream,
}

/// How far a measurement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Servers asked.
    pub servers: usize,
    /// Servers that are done, with or without samples.
    pub done: usize,
    /// Time since the beginning.
    pub elapsed: Duration,
}
