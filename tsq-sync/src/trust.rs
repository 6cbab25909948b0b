//! Two-phase trust: certificates whose dates our clock would refuse are heard, and believed only if
//! they hold at the time that enough servers agree on.

use std::collections::BTreeSet;

use tsq_algo::Combined;
use tsq_client::trust::{Presented, TrustKind};
use tsq_client::{SourceReport, TrustRefusal, TrustState};
use tsq_proto::{HostTime, Offset};
use tsq_x509::Pin;

use crate::judged::{Choice, Judged};
use crate::standing::{Distrust, Rule, Standing, TrustReport};
use crate::verdict::{NoResult, Verdict};
use crate::words::seconds;

/// Judges what `sources` said when the clock showed `now`, believing only what [`Rule`] allows.
///
/// Whoever is not believed is thrown out, marked with the reason, and the rest decided anew.
pub fn judge(sources: &mut [SourceReport], now: HostTime, rule: &Rule, choice: &Choice) -> Judged {
    let (judged, trust) = decide(sources, now, rule, choice);
    Judged {
        trust: Some(trust),
        ..judged
    }
}

fn decide(
    sources: &mut [SourceReport],
    now: HostTime,
    rule: &Rule,
    choice: &Choice,
) -> (Judged, TrustReport) {
    let mut report = TrustReport {
        before: rule.clock.state(),
        state: rule.clock.state(),
        clock: rule.clock,
        floor: rule.floor,
        agreed: None,
        keys: 0,
        refused: None,
    };
    // Each round ends the loop or throws somebody out.
    loop {
        let mut judged = Judged::of(sources, choice);
        let Ok(combined) = &judged.combined else {
            if let (Some(refused), Err(NoResult::TrustRefused { .. })) =
                (report.refused, &judged.combined)
            {
                judged.combined = Err(NoResult::Distrusted(refused));
            }
            return (judged, report);
        };
        let used: Vec<usize> = (0..sources.len())
            .filter(|index| judged.verdicts[*index].agrees())
            .collect();
        let (low, high) = ends(now, combined);
        if high < seconds(rule.floor.at) {
            let (agreed, floor) = (high, rule.floor);
            report.refused = Some(Distrust::BelowFloor { agreed, floor });
            if used.is_empty() {
                // Nobody to throw out, so another round would be the same.
                let why = Distrust::BelowFloor { agreed, floor };
                return (refused(sources, choice, why), report);
            }
            for &index in &used {
                sources[index].distrust(TrustRefusal::BelowFloor {
                    agreed,
                    floor: seconds(floor.at),
                });
            }
            continue;
        }
        let refusals: Vec<(usize, TrustRefusal)> = used
            .iter()
            .filter_map(|&index| Some((index, refusal(&sources[index], low, high)?)))
            .collect();
        if !refusals.is_empty() {
            for (index, refusal) in refusals {
                sources[index].distrust(refusal);
            }
            continue;
        }
        let keys: BTreeSet<[u8; 32]> = used
            .iter()
            .filter_map(|&index| sources[index].presented.as_ref()?.key())
            .map(|key: Pin| *key.as_bytes())
            .collect();
        let vouched = keys.len() >= rule.keys || used.iter().any(|&i| is_pinned(&sources[i]));
        let waited: Vec<(usize, TrustRefusal)> = used
            .iter()
            .filter_map(|&index| {
                let presented = sources[index].presented.as_ref()?;
                Some((index, presented.deferred()?.clone()))
            })
            .collect();
        if !waited.is_empty() && !vouched {
            let (have, need) = (keys.len(), rule.keys);
            report.refused = Some(Distrust::TooFewKeys { have, need });
            let nobody_else = waited.len() == used.len();
            for (index, refusal) in waited {
                sources[index].distrust(refusal);
            }
            if nobody_else {
                // Whoever is left was outvoted: that the majority may not decide is no reason for it
                // to do so.
                return (
                    refused(sources, choice, Distrust::TooFewKeys { have, need }),
                    report,
                );
            }
            continue;
        }
        let known = used.iter().all(|&index| is_known(&sources[index]));
        report.state = if known && (vouched || rule.clock == Standing::Synchronised) {
            TrustState::Verified
        } else {
            TrustState::Tentative
        };
        report.agreed = Some(now + combined.offset);
        report.keys = keys.len();
        return (judged, report);
    }
}

/// Nobody's offset counts.
fn refused(sources: &[SourceReport], choice: &Choice, why: Distrust) -> Judged {
    let mut judged = Judged::of(sources, choice);
    judged.combined = Err(NoResult::Distrusted(why));
    for verdict in &mut judged.verdicts {
        if matches!(verdict, Verdict::Judged(_)) {
            *verdict = Verdict::Judged(tsq_algo::Verdict::Unresolved);
        }
    }
    judged
}

/// Why a server's certificates do not hold between two moments, if they do not.
fn refusal(source: &SourceReport, low: u64, high: u64) -> Option<TrustRefusal> {
    match &source.presented {
        Some(presented) => presented.check_between(low, high).err(),
        // What was never seen cannot be checked again.
        None if is_known(source) => Some(TrustRefusal::Other {
            problem: "none was shown".into(),
        }),
        None => None,
    }
}

/// Whether it must have a certificate that can be checked.
fn is_known(source: &SourceReport) -> bool {
    matches!(
        source.trust,
        TrustKind::System | TrustKind::Ca | TrustKind::Pin | TrustKind::CaAndPin
    )
}

fn is_pinned(source: &SourceReport) -> bool {
    source.presented.as_ref().is_some_and(Presented::is_pinned)
}

/// The seconds since 1970 between which the true time lies.
fn ends(now: HostTime, combined: &Combined) -> (u64, u64) {
    let agreed = now + combined.offset;
    let bound = i64::try_from(combined.bound.as_nanos()).unwrap_or(i64::MAX);
    let bound = Offset::from_nanos(bound);
    (seconds(agreed - bound), seconds(agreed + bound))
}
