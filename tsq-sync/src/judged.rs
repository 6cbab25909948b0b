//! From answers to one offset: which samples, which servers, how sure.

use std::time::Duration;

use tsq_algo::{
    Candidate, Combined, Filtered, Mark, RejectReason, Rules, Sample, SourceEstimate, filter,
    select,
};
use tsq_client::trust::TrustKind;
use tsq_client::{Attempt, Failure, Rejection, SourceReport};
use tsq_proto::{Answer, HostTime, Profile};

use crate::standing::TrustReport;
use crate::verdict::{NoResult, Verdict};

/// What the servers' answers amount to: an offset with its bound, and a verdict on each of them.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Each server's own estimate; None without a usable sample.
    pub estimates: Vec<Option<SourceEstimate>>,
    /// For each server and each of its accepted answers: why the filter left it out, if it did.
    pub rejected: Vec<Vec<Option<RejectReason>>>,
    /// The offset they agree on.
    pub combined: Result<Combined, NoResult>,
    /// Whether servers that we know to be the right ones decided.
    pub authenticated: bool,
    /// Whether plain NTP decided, as the user allowed.
    pub by_ntp: bool,
    /// What became of each server.
    pub verdicts: Vec<Verdict>,
    /// How far this can be believed, and why; None where that was not asked: of a self-test, of a second measurement.
    pub trust: Option<TrustReport>,
}

/// How the servers are chosen from.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// What is asked of them.
    pub rules: Rules,
    /// What the user says of each, in the order of the command line; missing ones have no mark.
    pub marks: Vec<Mark>,
}

impl Judged {
    /// Filters each server's samples and chooses among the servers; those at one address are one.
    pub fn of(sources: &[SourceReport], choice: &Choice) -> Self {
        Self::with(sources, choice, same_as)
    }

    /// As [`Self::of`], with every report counted: for one server measured in several ways.
    pub fn of_all(sources: &[SourceReport], choice: &Choice) -> Self {
        Self::with(sources, choice, |_, _| None)
    }

    fn with(
        sources: &[SourceReport],
        choice: &Choice,
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
        let newest = sources.iter().filter_map(newest_sample).max();
        let candidate = |index: usize| {
            let estimate = estimates[index].filter(|_| twin(index).is_none())?;
            let mark = choice.marks.get(index).copied().unwrap_or_default();
            Some(candidate(&sources[index], estimate, mark, newest))
        };
        let (voters, candidates): (Vec<usize>, Vec<Candidate>) = (0..sources.len())
            .filter_map(|index| Some((index, candidate(index)?)))
            .unzip();
        let selection = select(&candidates, &choice.rules);
        let combined = if candidates.is_empty() {
            Err(no_answer(sources))
        } else {
            selection.combined.map_err(NoResult::NoSelection)
        };
        let verdict = |index: usize| match voters.iter().position(|voter| *voter == index) {
            Some(vote) => Verdict::Judged(selection.verdicts[vote].clone()),
            None => match twin(index).filter(|_| estimates[index].is_some()) {
                Some(twin) => Verdict::Duplicate {
                    of: sources[twin].server.clone(),
                },
                None => unusable(&sources[index]),
            },
        };
        let verdicts: Vec<Verdict> = (0..sources.len()).map(verdict).collect();
        let used_ntp = (0..sources.len())
            .any(|index| verdicts[index].is_used() && sources[index].trust == TrustKind::None);
        Self {
            verdicts,
            estimates,
            rejected: filtered.into_iter().map(|f| f.rejected).collect(),
            combined: combined.map(|combined| named(&combined, &voters)),
            by_ntp: used_ntp && !selection.authenticated,
            authenticated: selection.authenticated,
            trust: None,
        }
    }
}

/// Survivors and falsetickers by their place on the command line.
fn named(combined: &Combined, voters: &[usize]) -> Combined {
    let named = |votes: &[usize]| votes.iter().map(|&vote| voters[vote]).collect();
    Combined {
        survivors: named(&combined.survivors),
        falsetickers: named(&combined.falsetickers),
        ..combined.clone()
    }
}

fn candidate(
    source: &SourceReport,
    estimate: SourceEstimate,
    mark: Mark,
    newest: Option<HostTime>,
) -> Candidate {
    let age = newest
        .zip(newest_sample(source))
        .map(|(newest, own)| (newest - own).abs());
    Candidate {
        estimate,
        authenticated: !matches!(source.trust, TrustKind::Insecure | TrustKind::None),
        // Answers that say otherwise are refused one by one.
        synchronised: true,
        age: age.unwrap_or_default(),
        smear: smear(source),
        mark,
    }
}

fn newest_sample(source: &SourceReport) -> Option<HostTime> {
    source.accepted().map(|answer| answer.sample.t4).max()
}

/// How the server says it smears leap seconds; None also for `none` and `unknown`.
fn smear(source: &SourceReport) -> Option<String> {
    let answer = source.accepted().last()?;
    let Ok(Answer::Response(response)) = Answer::decode(&answer.response) else {
        return None;
    };
    let smear = Profile::from_metadata(&response.metadata()).smear?;
    (!["none", "unknown"].contains(&smear)).then(|| smear.to_string())
}

/// Why a server gave no sample.
fn unusable(source: &SourceReport) -> Verdict {
    let mut answers = source.samples.iter();
    let says_so = |answer: Option<&tsq_client::SampleReport>| {
        answer
            .is_some_and(|answer| answer.result.as_ref().err() == Some(&Rejection::Unsynchronised))
    };
    if says_so(answers.next()) && answers.all(|answer| says_so(Some(answer))) {
        return Verdict::Judged(tsq_algo::Verdict::Unsynchronised);
    }
    Verdict::Failed(source.failure.clone().unwrap_or(Failure::NoSamples))
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

/// Which of the reasons for having nothing is the one to act on.
fn no_answer(sources: &[SourceReport]) -> NoResult {
    let refused = sources
        .iter()
        .filter(|s| {
            let of_tsq = matches!(s.failure, Some(Failure::Trust { .. }));
            of_tsq || s.attempts.iter().any(Attempt::is_refused)
        })
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
    use tsq_client::{Protocol, SampleReport, Transport};

    use super::*;

    fn source(address: &str) -> SourceReport {
        SourceReport {
            server: "s".into(),
            address: address.parse().ok(),
            protocol: Protocol::Tsq,
            attempts: Vec::new(),
            transport: None,
            trust: TrustKind::Pin,
            presented: None,
            asked: 5,
            sent: 5,
            superseded: 0,
            round_trips: 2,
            handshake: None,
            store_problem: None,
            follow_ups: Default::default(),
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

    #[test]
    fn server_that_says_nobody_keeps_its_clock_is_called_unsynchronised() {
        let refused = |rejection| SampleReport {
            transport: Transport::Datagram,
            result: Err(rejection),
        };
        let mut told = source("192.0.2.1:443");
        told.samples = vec![refused(Rejection::Unsynchronised); 5];
        let judged = Judged::of(&[told.clone()], &Choice::default());
        assert_eq!(judged.verdicts[0].name(), "unsynchronised");
        told.samples.push(refused(Rejection::TooLong));
        let judged = Judged::of(&[told], &Choice::default());
        assert_eq!(judged.verdicts[0].name(), "no_samples");
    }
}
