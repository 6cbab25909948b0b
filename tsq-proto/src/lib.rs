//! The TSQ wire protocol: time types, TLVs, messages and the four-timestamp exchange.
//!
//! What is here:
//!
//! - [`time`]: the wire's NTP timestamp, this host's time, monotonic time and signed offsets, as types that do not mix;
//! - [`tlv`]: every element of the protocol, one file each, and the sequence they form;
//! - [`message`]: [`Request`], [`Response`] and [`Answer`], values that were checked once and cannot be wrong;
//! - [`exchange`]: one request and one answer; a client's [`Query`] becomes a [`Sample`] or a named [`Refusal`],
//!   a server's [`Prepared`] answer waits for its send timestamp;
//! - [`profile`]: the metadata keys that tell what NTP tells and TSQ has no element for;
//! - [`follow_up`]: when an earlier answer really left;
//! - [`signing`]: what keys must be able to do, [`Signer`] and [`Verifier`];
//! - [`words`]: how what strangers say is shown to people, for every crate that shows some.
//!
//! What is not here: no clock is read, no randomness drawn, no socket opened, no key kept, nothing allocated. T1 to T4 and the
//! nonce come in as arguments, bytes go out; the crate is `no_std`, so this cannot change unseen. Nothing a peer
//! sends can panic.
//!
//! # One exchange
//!
//! ```
//! use core::time::Duration;
//! use tsq_proto::{HostTime, Nonce, Offset, Prepared, Query, Request};
//!
//! // Client: one query per request, each with a fresh random nonce. T1 as close to the wire as possible.
//! let t1 = HostTime::from_unix(1_795_000_000, 0);
//! let query = Query::new(Nonce::new([7; 16]), t1);
//! let mut packet = [0; 64];
//! let len = Request::new(query.nonce()).encode(&mut packet)?;
//!
//! // Server, whose clock is 1 s ahead: T2 is when the packet came, T3 is stamped last.
//! let request = Request::decode(&packet[..len])?;
//! let t2 = HostTime::from_unix(1_795_000_001, 5_000_000);
//! let mut out = [0; 64];
//! let answer = Prepared::answer(&request, t2, &mut out)?.stamp(HostTime::from_unix(1_795_000_001, 5_020_000));
//!
//! // Client: T4 is when the answer came.
//! let t4 = HostTime::from_unix(1_795_000_000, 10_020_000);
//! let sample = query.finish(answer, t4, Duration::from_secs(86_400))?;
//! assert_eq!(sample.offset, Offset::from_nanos(1_000_000_000)); // positive: the client's clock is behind
//! assert_eq!(sample.delay, Duration::from_millis(10));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod error;
pub mod exchange;
pub mod follow_up;
pub mod message;
pub mod profile;
pub mod signing;
mod text;
pub mod time;
pub mod tlv;
pub mod words;

pub use error::{EncodeError, ErrorCode, Malformed};
pub use exchange::{
    AnswerRefused, Contents, FollowUpRefusal, Prepared, Query, Reason, Refusal, Sample,
    SignedQuery, error_answer,
};
pub use follow_up::FollowUp;
pub use message::{Answer, Request, Response};
pub use profile::{Leap, Profile};
pub use signing::{SignatureRefusal, Signer, Verifier};
pub use time::{HostTime, Monotonic, NtpTimestamp, Offset};
pub use tlv::{
    ClockClass, ClockQuality, ErrorElement, Metadata, Nonce, Sequence, SignatureAlgorithm,
    SignatureBlock, SourceType, TimeSource, sequence,
};
