//! The run as one JSON object; `schema/result.schema.json` describes it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use tsq_algo::RejectReason;
use tsq_client::trust::Presented;
use tsq_client::{Rejection, SourceReport, Timestamps, TrustRefusal};
use tsq_command::json::ascii;
use tsq_proto::{HostTime, Offset};

use tsq_sync::{Action, Distrust, Outcome, Reason, TrustReport, Verdict};

use crate::View;

/// Prints `outcome` as one line; `exit_code` is how the process will end.
///
/// # Errors
/// Those of writing.
pub fn print(outcome: &Outcome, exit_code: u8, view: View, out: &mut dyn Write) -> io::Result<()> {
    let json = serde_json::to_string(&Result::of(outcome, exit_code, view))?;
    writeln!(out, "{}", ascii(&json))
}

#[derive(Serialize)]
struct Result {
    offset_ns: Option<i64>,
    stddev_ns: Option<u64>,
    spread_ns: Option<u64>,
    bound_ns: Option<u64>,
    bound_excludes_servers: bool,
    authenticated: Option<bool>,
    remaining_ns: Option<i64>,
    remaining_bound_ns: Option<u64>,
    action: &'static str,
    reason: Option<String>,
    slew_ns: Option<u64>,
    replaced_slew_ns: Option<i64>,
    dry_run: bool,
    duration_ns: u64,
    round_trips: u32,
    exit_code: u8,
    trust: Option<Trust>,
    sources: Vec<Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    self_test: Option<SelfTest>,
}

#[derive(Serialize)]
struct Source {
    server: String,
    address: Option<String>,
    protocol: &'static str,
    attempts: Vec<Attempt>,
    transport: Option<&'static str>,
    handshake: Option<&'static str>,
    trust: &'static str,
    certificate: Option<Certificate>,
    stratum: Option<u8>,
    asked: u32,
    answered: usize,
    sent: u32,
    superseded: u32,
    offset_ns: Option<i64>,
    stddev_ns: Option<u64>,
    delay_ns: Option<u64>,
    bound_ns: Option<u64>,
    server_error_ns: Option<u64>,
    timestamps: Option<&'static str>,
    follow_ups: FollowUps,
    verdict: &'static str,
    reason: Option<String>,
    samples: Vec<Sample>,
}

#[derive(Serialize)]
struct FollowUps {
    used: u32,
    refused: BTreeMap<&'static str, u32>,
}

#[derive(Serialize)]
struct Attempt {
    protocol: &'static str,
    problem: String,
}

#[derive(Serialize)]
struct Sample {
    transport: &'static str,
    offset_ns: Option<i64>,
    delay_ns: Option<u64>,
    timestamps: Option<&'static str>,
    accepted: bool,
    reason: Option<&'static str>,
    detail: Option<String>,
}

/// How far the result can be trusted.
#[derive(Serialize)]
struct Trust {
    before: &'static str,
    state: &'static str,
    clock: &'static str,
    floor_ns: i64,
    floor_source: &'static str,
    agreed_ns: Option<i64>,
    keys: usize,
    refused: Option<&'static str>,
}

#[derive(Serialize)]
struct Certificate {
    key: Option<String>,
    not_before_s: Option<u64>,
    not_after_s: Option<u64>,
    deferred: Option<&'static str>,
}

#[derive(Serialize)]
struct SelfTest {
    kernel_timestamps: &'static str,
    median_error_ns: Option<u64>,
    worst_error_ns: Option<u64>,
}

impl Result {
    fn of(outcome: &Outcome, exit_code: u8, view: View) -> Self {
        let combined = outcome.judged.combined.as_ref().ok();
        let remaining = outcome
            .remaining
            .as_ref()
            .and_then(|r| r.measured.as_ref().ok());
        let slewing = slewing(&outcome.action);
        Self {
            offset_ns: combined.map(|c| c.offset.as_nanos()),
            stddev_ns: combined.map(|c| nanos(c.stddev)),
            spread_ns: combined.map(|c| nanos(c.spread)),
            bound_ns: combined.map(|c| nanos(c.bound)),
            bound_excludes_servers: combined.is_none_or(|c| !c.includes_servers),
            authenticated: combined.map(|_| outcome.judged.authenticated),
            remaining_ns: remaining.map(|r| r.offset.as_nanos()),
            remaining_bound_ns: remaining.map(|r| nanos(r.bound)),
            action: outcome.action.name(),
            reason: reason(&outcome.action, view),
            slew_ns: slewing.map(|(duration, _)| nanos(duration)),
            replaced_slew_ns: slewing.map(|(_, replaced)| replaced.as_nanos()),
            dry_run: outcome.dry_run,
            duration_ns: nanos(outcome.elapsed),
            round_trips: outcome.round_trips(),
            exit_code,
            trust: outcome.judged.trust.as_ref().map(trust),
            sources: (0..outcome.sources.len())
                .map(|index| source(outcome, index, view))
                .collect(),
            self_test: outcome.self_test.map(|test| SelfTest {
                kernel_timestamps: test.kernel_name(),
                median_error_ns: test.median.map(nanos),
                worst_error_ns: test.worst.map(nanos),
            }),
        }
    }
}

fn trust(report: &TrustReport) -> Trust {
    Trust {
        before: report.before.name(),
        state: report.state.name(),
        clock: report.clock.name(),
        floor_ns: report.floor.at.as_unix_nanos(),
        floor_source: report.floor.source.name(),
        agreed_ns: report.agreed.map(HostTime::as_unix_nanos),
        keys: report.keys,
        refused: report.refused.map(Distrust::name),
    }
}

fn certificate(presented: &Presented) -> Certificate {
    let validity = presented.validity();
    Certificate {
        key: presented.key().map(|key| key.to_string()),
        not_before_s: validity.map(|dates| dates.not_before),
        not_after_s: validity.map(|dates| dates.not_after),
        deferred: presented.deferred().map(TrustRefusal::name),
    }
}

type Slewing = Option<(Duration, Offset)>;

fn slewing(action: &Action) -> Slewing {
    match action {
        Action::Slew {
            duration, replaced, ..
        } => Some((*duration, *replaced)),
        Action::None { .. } | Action::Step { .. } | Action::Refused { .. } => None,
    }
}

fn reason(action: &Action, view: View) -> Option<String> {
    match action {
        Action::None { reason } => Some(reason.to_string()),
        Action::Refused { reason } => Some(reason.told(view.spelling)),
        Action::Slew { .. } | Action::Step { .. } => None,
    }
}

fn source(outcome: &Outcome, index: usize, view: View) -> Source {
    let report = &outcome.sources[index];
    let estimate = outcome.judged.estimates[index];
    let verdict = &outcome.judged.verdicts[index];
    Source {
        server: report.server.clone(),
        address: report.address.map(|address| address.to_string()),
        protocol: report.protocol.name(),
        attempts: report.attempts.iter().map(attempt).collect(),
        transport: report.transport.map(tsq_client::Transport::name),
        handshake: report.handshake.map(tsq_client::Handshake::name),
        trust: report.trust.name(),
        certificate: report.presented.as_ref().map(certificate),
        stratum: report
            .accepted()
            .find_map(|answer| answer.sample.time_source)
            .map(|(stratum, _)| stratum),
        asked: report.asked,
        answered: report.accepted().count(),
        sent: report.sent,
        superseded: report.superseded,
        offset_ns: estimate.map(|e| e.offset.as_nanos()),
        stddev_ns: estimate.map(|e| nanos(e.stddev)),
        delay_ns: estimate.map(|e| nanos(e.delay)),
        bound_ns: estimate.map(|e| nanos(e.bound)),
        server_error_ns: estimate.and_then(|e| e.server_error).map(nanos),
        timestamps: report.timestamps().map(Timestamps::name),
        follow_ups: FollowUps {
            used: report.follow_ups.used,
            refused: report.follow_ups.refused.clone(),
        },
        verdict: verdict.name(),
        reason: (!is_plainly_used(verdict)).then(|| verdict.told(view.spelling)),
        samples: samples(report, &outcome.judged.rejected[index]),
    }
}

fn attempt(attempt: &tsq_client::Attempt) -> Attempt {
    Attempt {
        protocol: attempt.protocol.name(),
        problem: attempt.problem.clone(),
    }
}

/// Used, with nothing to add.
fn is_plainly_used(verdict: &Verdict) -> bool {
    *verdict == Verdict::Judged(tsq_algo::Verdict::Used)
}

fn samples(report: &SourceReport, rejected: &[Option<RejectReason>]) -> Vec<Sample> {
    let mut filtered = rejected.iter();
    report
        .samples
        .iter()
        .map(|sample| {
            let transport = sample.transport.name();
            match &sample.result {
                Ok(answer) => {
                    let reason = filtered.next().and_then(Option::as_ref);
                    Sample {
                        transport,
                        offset_ns: Some(answer.sample.offset.as_nanos()),
                        delay_ns: Some(nanos(answer.sample.delay)),
                        timestamps: Some(answer.timestamps.name()),
                        accepted: reason.is_none(),
                        reason: reason.map(reject_name),
                        detail: reason.map(ToString::to_string),
                    }
                }
                Err(rejection) => Sample {
                    transport,
                    offset_ns: offset_of(rejection),
                    delay_ns: None,
                    timestamps: None,
                    accepted: false,
                    reason: Some(rejection.name()),
                    detail: Some(rejection.to_string()),
                },
            }
        })
        .collect()
}

fn offset_of(rejection: &Rejection) -> Option<i64> {
    match rejection {
        Rejection::Refused(tsq_proto::Refusal::OffsetPastLimit { offset, .. }) => {
            Some(offset.as_nanos())
        }
        _ => None,
    }
}

fn reject_name(reason: &RejectReason) -> &'static str {
    match reason {
        RejectReason::Outlier { .. } => "outlier",
        RejectReason::Delayed { .. } => "delayed",
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
