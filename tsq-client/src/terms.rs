//! What is asked of a server, and what an answer must have to count.

use std::sync::Arc;
use std::time::Duration;

use tsq_keys::VerifyKeys;
use tsq_proto::tlv::{Sequence, sequence};
use tsq_proto::{Answer, HostTime, Malformed, Nonce, Query, Refusal, Request, Sample};

use crate::report::Rejection;

/// The terms of one association's queries.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// Ask what the server's clock is worth.
    pub(crate) metadata: bool,
    /// Ask when earlier answers really left.
    pub(crate) follow_up: bool,
    /// Ask for an answer as long as the request (M6).
    pub(crate) precision: bool,
    /// Ask for a signature by one of these keys, and take nothing without (M5).
    pub(crate) keys: Option<Arc<VerifyKeys>>,
    /// A sample with a larger offset is refused (E4).
    pub(crate) offset_limit: Duration,
}

impl Terms {
    /// Before anything can be asked.
    pub(crate) fn none() -> Self {
        Self {
            metadata: false,
            follow_up: false,
            precision: false,
            keys: None,
            offset_limit: Duration::ZERO,
        }
    }

    /// A request with this nonce.
    pub(crate) fn request(&self, nonce: Nonce) -> Vec<u8> {
        let mut request = Request::new(nonce);
        if self.metadata {
            request = request.with_metadata_query();
        }
        if self.follow_up {
            request = request.with_follow_up();
        }
        if self.keys.is_some() {
            request = request.with_signature();
        }
        if self.precision {
            let length = if self.metadata || self.follow_up {
                LONG_ANSWER
            } else {
                SHORT_ANSWER
            };
            request = request.with_precision().padded_to(length);
        }
        let mut bytes = [0; LONG_ANSWER];
        let length = request
            .encode(&mut bytes)
            .expect("the longest request fits");
        bytes[..length].to_vec()
    }

    /// Whether nothing that may follow these bytes of a stream can change the verdict on them.
    ///
    /// Servers in the field keep their side open for seconds (F3), so the answer to a nonce alone is
    /// whole with its mandatory elements. Where more was asked for, what came may be the beginning of
    /// an answer that goes on to say that its clock is not to be trusted: then only the end will do.
    // tsq: F3 M1 M6
    pub(crate) fn is_settled(&self, received: &[u8]) -> bool {
        if !matches!(sequence(received), Sequence::Complete) {
            return false;
        }
        match Answer::decode(received) {
            Ok(Answer::Response(_)) => self.is_bare(),
            Ok(Answer::Error(_)) => true,
            Err(malformed) => !matches!(malformed, Malformed::MissingElement { .. }),
        }
    }

    /// Whether a request is a nonce and nothing else.
    fn is_bare(&self) -> bool {
        !(self.metadata || self.follow_up || self.precision || self.keys.is_some())
    }

    /// The sample an answer gives, or why it gives none.
    // tsq: E4 E5 M5 M6 F5
    pub(crate) fn judge(
        &self,
        nonce: Nonce,
        request_len: usize,
        t1: HostTime,
        answer: &[u8],
        t4: HostTime,
    ) -> Result<Sample, Rejection> {
        let query = Query::new(nonce, t1).with_request_len(request_len);
        let sample = match &self.keys {
            Some(keys) => {
                query
                    .requiring_signature(keys.as_ref())
                    .finish(answer, t4, self.offset_limit)
            }
            None => query.finish(answer, t4, self.offset_limit),
        }
        .map_err(Rejection::Refused)?;
        match sample.time_source {
            Some((STRATUM_UNSYNCHRONISED, _)) => Err(Rejection::Unsynchronised),
            _ => Ok(sample),
        }
    }
}

/// Why an answer ends a query of ours unread.
pub(crate) const STRANGER: Rejection = Rejection::Refused(Refusal::NonceMismatch);

/// What a server says whose clock nobody keeps (T9).
const STRATUM_UNSYNCHRONISED: u8 = 0;

/// Room for an answer with metadata, our server's own and its operator's, and a signature.
const LONG_ANSWER: usize = 900;

/// Room for the time and a signature.
const SHORT_ANSWER: usize = 128;
