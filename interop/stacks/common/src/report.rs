//! The JSON line a client prints.

use std::process::ExitCode;

use serde::Serialize;

use crate::Sample;

/// What a client's run came to; the fields are those of the Python peers and some more.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// What was negotiated.
    pub alpn: Option<String>,
    /// Exchanges wanted.
    pub asked: usize,
    /// Exchanges with a good answer.
    pub answered: usize,
    /// What ended the run early.
    pub error: Option<String>,
    /// Why the connection ended, if the server ended it.
    pub closed: Option<String>,
    /// Every answer carried its request's nonce.
    pub nonce_ok: bool,
    /// Of the exchange with the least round trip.
    pub offset_ns: Option<i64>,
    /// The least round trip.
    pub rtt_ns: Option<i64>,
    /// From the first request to the last answer.
    pub elapsed_ns: u128,
    /// UDP ports used.
    pub addresses: usize,
    /// The second connection resumed the first one's session.
    pub resumed: bool,
    /// Its requests went, and were taken, in 0-RTT.
    pub early: bool,
    /// The code of the Error that a malformed request got.
    pub error_code: Option<u8>,
}

impl Report {
    /// Before anything was asked.
    #[must_use]
    pub fn new(asked: usize) -> Self {
        Self {
            asked,
            addresses: 1,
            ..Self::default()
        }
    }

    /// Counts an exchange.
    pub fn add(&mut self, sample: Sample) {
        self.answered += 1;
        if self.rtt_ns.is_none_or(|least| sample.rtt_ns < least) {
            self.rtt_ns = Some(sample.rtt_ns);
            self.offset_ns = Some(sample.offset_ns);
        }
    }

    /// Notes how the run ended, prints the line, and says how to exit.
    ///
    /// # Panics
    /// Never: every field has a form in JSON.
    #[must_use]
    pub fn print(mut self, outcome: Result<(), String>) -> ExitCode {
        self.error = outcome.err();
        // A wrong nonce is an error of its exchange, which is then not counted.
        self.nonce_ok = self.answered > 0;
        let all = self.answered == self.asked || self.error_code.is_some();
        println!(
            "{}",
            serde_json::to_string(&self).expect("every field has a form in JSON")
        );
        if all && self.error.is_none() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
