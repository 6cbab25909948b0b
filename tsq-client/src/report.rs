//! What is known of a server after a measurement.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tsq_proto::{Refusal, Sample};

use crate::attempt::{Attempt, Protocol};
use crate::failure::Failure;
use crate::resumption::{Handshake, StoreProblem};
use crate::trust::{Presented, TrustKind, TrustRefusal};

/// One server's part of a measurement.
#[derive(Clone, Debug)]
pub struct SourceReport {
    /// The server as the user named it.
    pub server: String,
    /// The address that was used.
    pub address: Option<SocketAddr>,
    /// What it was asked by in the end.
    pub protocol: Protocol,
    /// What was tried besides, and why it failed.
    pub attempts: Vec<Attempt>,
    /// How it was asked; None if it never came to that.
    pub transport: Option<Transport>,
    /// What made us believe it.
    pub trust: TrustKind,
    /// The certificates it has shown; None if it never came to that.
    pub presented: Option<Presented>,
    /// Samples wanted.
    pub asked: u32,
    /// Queries sent for them, repeated ones included; not the one that only brings follow-ups.
    pub sent: u32,
    /// Answers that came too late to matter: to a query that was repeated, or a second copy.
    pub superseded: u32,
    /// Network round trips from the start to the samples, as far as they had to follow each other.
    pub round_trips: u32,
    /// How the connection came about; None if it came to none, or there was one from an earlier measurement.
    pub handshake: Option<Handshake>,
    /// Why the next connection will not, or this one could not, be shortened by tickets of an earlier one.
    pub store_problem: Option<StoreProblem>,
    /// What became of the follow-ups it told.
    pub follow_ups: FollowUpCounts,
    /// One entry for each answer, accepted or refused, in order of arrival.
    pub samples: Vec<SampleReport>,
    /// Why there is no usable sample, or why fewer than asked.
    pub failure: Option<Failure>,
}

impl SourceReport {
    /// The accepted answers.
    pub fn accepted(&self) -> impl Iterator<Item = &Answer> {
        self.samples
            .iter()
            .filter_map(|sample| sample.result.as_ref().ok())
    }

    /// Takes back the trust in it, for a reason found out after the measurement: none of its answers
    /// counts any more.
    pub fn distrust(&mut self, refusal: TrustRefusal) {
        for sample in &mut self.samples {
            if sample.result.is_ok() {
                sample.result = Err(Rejection::Distrusted);
            }
        }
        self.failure = Some(match self.address {
            Some(address) => Failure::Trust { address, refusal },
            None => Failure::NoSamples,
        });
    }

    /// How exact the accepted samples' stamps are: as exact as the least of them.
    pub fn timestamps(&self) -> Option<Timestamps> {
        self.accepted().map(|answer| answer.timestamps).min()
    }
}

/// Who read the clocks for a sample, the least exact first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timestamps {
    /// This process read T1 or T4.
    User,
    /// The kernel stamped T1 and T4.
    Kernel,
    /// The same, and in place of T3 stands the departure that the server's kernel stamped.
    KernelAndFollowUp,
}

impl Timestamps {
    /// A stable name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Kernel => "kernel",
            Self::KernelAndFollowUp => "kernel+follow-up",
        }
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub struct SampleReport {
    /// How it travelled.
    pub transport: Transport,
    /// The measurement, or why it was refused.
    pub result: Result<Answer, Rejection>,
}

/// An accepted answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The four timestamps and what follows from them; T3 corrected where a follow-up has come.
    pub sample: Sample,
    /// Who read the clocks.
    pub timestamps: Timestamps,
    /// The request's bytes, for a receipt.
    pub request: Vec<u8>,
    /// The answer's bytes.
    pub response: Vec<u8>,
}

/// Why an answer gave no sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// One of the draft's reasons (E4), or our clock was stepped meanwhile.
    Refused(Refusal),
    /// The server gave up the stream.
    StreamAborted {
        /// The server's error code.
        code: u64,
    },
    /// More bytes than any answer has.
    TooLong,
    /// The server says that nobody keeps its clock (stratum 0).
    Unsynchronised,
    /// Its server's certificate turned out not to hold.
    Distrusted,
    /// One of NTP's reasons.
    Ntp(tsq_ntp::Refusal),
}

impl Rejection {
    /// A stable name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.name(),
            Self::StreamAborted { .. } => "stream_aborted",
            Self::TooLong => "malformed",
            Self::Unsynchronised => "unsynchronised",
            Self::Distrusted => "distrusted",
            Self::Ntp(refusal) => refusal.name(),
        }
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::StreamAborted { code } => {
                write!(f, "the server gave up the stream (code {code})")
            }
            Self::Unsynchronised => {
                f.write_str("the server says that its clock is not synchronised")
            }
            Self::Ntp(refusal) => refusal.fmt(f),
            Self::Distrusted => f.write_str("the server's certificate does not hold"),
            Self::TooLong => f.write_str("the answer is longer than any answer can be"),
        }
    }
}

/// How queries travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// QUIC datagrams (RFC 9221).
    Datagram,
    /// A bidirectional stream for each query.
    Stream,
    /// A UDP packet for each query, without QUIC: NTS and NTP.
    Udp,
}

impl Transport {
    /// `datagram`, `stream` or `udp`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Datagram => "datagram",
            Self::Stream => "stream",
            Self::Udp => "udp",
        }
    }
}

/// What became of the follow-ups of one measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FollowUpCounts {
    /// Samples that one corrected.
    pub used: u32,
    /// Those that did not count, by the name of the reason.
    pub refused: BTreeMap<&'static str, u32>,
}
