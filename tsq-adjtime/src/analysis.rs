//! From answers to one offset: which samples, which servers, how sure.

use std::fmt;
use std::time::Duration;

use tsq_algo::{
    Combined, Disagreement, Filtered, Method, RejectReason, Sample, SourceEstimate, combine, filter,
};
use tsq_client::{Failure, SourceReport};
use tsq_proto::Offset;

use crate::trust::Distrust;

/// What the servers' answers amount to.
#[derive(Clone, Debug)]
pub struct Analysis {
    /// Each server's own estimate; None without a usable sample.
    pub estimates: Vec<Option<SourceEstimate>>,
    /// For each server and each of its accepted answers: why the filter left it out, if it did.
    pub rejected: Vec<Vec<Option<RejectReason>>>,
    /// The offset they agree on.
    pub combined: Result<Combined, NoResult>,
    /// What became of each server.
    pub verdicts: Vec<Verdict>,
}

/// Why there is no offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoResult {
    /// Nobody gave a usable answer.
    NoAnswer {
        /// Servers asked.
        servers: usize,
    },
    /// Nobody did, and a certificate was refused.
    TrustRefused {
        /// Servers asked.
        servers: usize,
        /// How many of them were refused for their certificates.
        refused: usize,
    },
    /// There is no majority.
    Disagreement(Disagreement),
    /// Servers agree and are not believed.
    Distrusted(Distrust),
}

impl fmt::Display for NoResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer { servers: 1 } => f.write_str("the server gave no usable answer"),
            Self::NoAnswer { servers } => {
                write!(f, "none of {servers} servers gave a usable answer")
            }
            Self::TrustRefused { servers: 1, .. } => {
                f.write_str("the server's certificate was refused")
            }
            Self::TrustRefused { servers, refused } => write!(
                f,
                "none of {servers} servers gave a usable answer; {refused} certificate{} refused",
                if *refused == 1 { " was" } else { "s were" }
            ),
            Self::Disagreement(disagreement) => disagreement.fmt(f),
            Self::Distrusted(distrust) => distrust.fmt(f),
        }
    }
}

/// What became of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its offset counts.
    Used,
    /// The majority says otherwise.
    Falseticker {
        /// Its distance from the offset agreed on.
        by: Offset,
    },
    /// There is no majority, so nobody's offset counts.
    Unresolved,
    /// It is another name of a server that has its vote already.
    Duplicate {
        /// That server, as the user named it.
        of: String,
    },
    /// No usable sample.
    Failed(Failure),
}

impl Verdict {
    /// A stable name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Falseticker { .. } => "falseticker",
            Self::Unresolved => "unresolved",
            Self::Duplicate { .. } => "duplicate",
            Self::Failed(failure) => failure.name(),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Used => f.write_str("used"),
            Self::Falseticker { by } => write!(f, "falseticker: {by} from the majority"),
            Self::Unresolved => f.write_str("not used: the servers disagree"),
            Self::Duplicate { of } => write!(f, "not used: the same server as {of}"),
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

impl Analysis {
    /// Filters each server's samples and combines the servers; those at one address are one.
    pub fn of(sources: &[SourceReport]) -> Self {
        Self::with(sources, same_as)
    }

    /// As [`Self::of`], with every report counted: for one server measured in several ways.
    pub fn of_all(sources: &[SourceReport]) -> Self {
        Self::with(sources, |_, _| None)
    }

    fn with(
        sources: &[SourceReport],
        same_as: impl Fn(&[SourceReport], usize) -> Option<usize>,
    ) -> Self {
        let filtered: Vec<Filtered> = sources
            .iter()
            .map(|source| filter(&samples(source)))
            .collect();
        let estimates: Vec<Option<SourceEstimate>> = filtered
            .iter()
            .zip(sources)
            .map(|(filtered, source)| {
                let server_error = server_error(source);
                filtered.estimate.map(|estimate| SourceEstimate {
                    server_error,
                    ..estimate
                })
            })
            .collect();
        let twin = |index: usize| same_as(sources, index).filter(|twin| estimates[*twin].is_some());
        let voters: Vec<usize> = (0..sources.len())
            .filter(|index| estimates[*index].is_some() && twin(*index).is_none())
            .collect();
        let given: Vec<SourceEstimate> = voters
            .iter()
            .filter_map(|voter| estimates[*voter])
            .collect();
        let combined = if given.is_empty() {
            Err(no_answer(sources))
        } else {
            combine(&given, Method::Median).map_err(NoResult::Disagreement)
        };
        let verdicts = (0..sources.len())
            .map(|index| {
                if let (Some(_), Some(twin)) = (estimates[index], twin(index)) {
                    return Verdict::Duplicate {
                        of: sources[twin].server.clone(),
                    };
                }
                let vote = voters.iter().position(|voter| *voter == index);
                verdict(
                    &sources[index],
                    vote.map(|vote| (vote, given[vote].offset)),
                    &combined,
                )
            })
            .collect();
        Self {
            estimates,
            rejected: filtered.into_iter().map(|f| f.rejected).collect(),
            combined,
            verdicts,
        }
    }
}

/// The server's word about its own error: the worst of its answers, if all of them tell.
fn server_error(source: &SourceReport) -> Option<Duration> {
    source
        .accepted()
        .map(|answer| answer.sample.server_error())
        .reduce(|worst, next| worst.zip(next).map(|(a, b)| a.max(b)))
        .flatten()
}

fn samples(source: &SourceReport) -> Vec<Sample> {
    source
        .accepted()
        .map(|answer| Sample {
            offset: answer.sample.offset,
            delay: answer.sample.delay,
        })
        .collect()
}

fn verdict(
    source: &SourceReport,
    vote: Option<(usize, Offset)>,
    combined: &Result<Combined, NoResult>,
) -> Verdict {
    match (vote, combined) {
        (None, _) => Verdict::Failed(source.failure.clone().unwrap_or(Failure::NoSamples)),
        (Some(_), Err(_)) => Verdict::Unresolved,
        (Some((vote, _)), Ok(combined)) if combined.survivors.contains(&vote) => Verdict::Used,
        (Some((_, offset)), Ok(combined)) => Verdict::Falseticker {
            by: offset - combined.offset,
        },
    }
}

/// Which of the reasons for having nothing is the one to act on.
fn no_answer(sources: &[SourceReport]) -> NoResult {
    let refused = sources
        .iter()
        .filter(|s| matches!(s.failure, Some(Failure::Trust { .. })))
        .count();
    let servers = sources.len();
    if refused > 0 {
        NoResult::TrustRefused { servers, refused }
    } else {
        NoResult::NoAnswer { servers }
    }
}

/// An earlier source at the same address: one server has one vote, however often it is named.
fn same_as(sources: &[SourceReport], index: usize) -> Option<usize> {
    let address = sources[index].address?;
    sources[..index]
        .iter()
        .position(|earlier| earlier.address == Some(address))
}

#[cfg(test)]
mod tests {
    use tsq_client::trust::TrustKind;

    use super::*;

    fn source(address: &str) -> SourceReport {
        SourceReport {
            server: "s".into(),
            address: address.parse().ok(),
            transport: None,
            trust: TrustKind::Pin,
            presented: None,
            asked: 5,
            sent: 5,
            superseded: 0,
            round_trips: 2,
            samples: Vec::new(),
            failure: None,
        }
    }

    #[test]
    fn server_named_twice_is_known_by_its_address() {
        let sources = [
            source("192.0.2.1:443"),
            source("192.0.2.1:444"),
            source("192.0.2.1:443"),
            source(""),
        ];
        let same: Vec<_> = (0..4).map(|index| same_as(&sources, index)).collect();
        assert_eq!(same, [None, None, Some(0), None]);
    }
}
