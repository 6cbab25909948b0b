//! Two-phase trust: certificates whose dates our clock would refuse are heard, and believed only if
//! they hold at the time that enough servers agree on.

use std::collections::BTreeSet;
use std::fmt;

use tsq_algo::Combined;
use tsq_certs::Pin;
use tsq_client::trust::{Floor, Presented, TrustKind, date};
use tsq_client::{SourceReport, TrustRefusal, TrustState};
use tsq_clock::SystemClock;
use tsq_proto::{HostTime, Offset};

use crate::analysis::{Analysis, Choice, NoResult, Verdict};

/// What is known before anybody is asked, and what it takes to learn more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What this host's clock is worth.
    pub clock: Standing,
    /// The latest moment that is certainly past.
    pub floor: Floor,
    /// So many servers with different public keys must agree before dates that waited are believed;
    /// or one whose key the user pinned.
    pub keys: usize,
}

/// What this host's clock is worth before anybody is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The kernel says that somebody keeps it.
    Synchronised,
    /// The kernel says that nobody does.
    Unsynchronised,
    /// It shows a moment before the floor.
    BelowFloor,
    /// The kernel's word cannot be had here, as in some containers.
    Unreadable,
}

/// How far the result can be trusted, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustReport {
    /// Before anybody was asked.
    pub before: TrustState,
    /// What the servers made of it.
    pub state: TrustState,
    /// What the clock was worth.
    pub clock: Standing,
    /// What is certainly past.
    pub floor: Floor,
    /// The time that the servers agree on, at the moment of the decision.
    pub agreed: Option<HostTime>,
    /// Different public keys behind it.
    pub keys: usize,
    /// Why the servers' time was not believed, where it was not for their certificates alone.
    pub refused: Option<Distrust>,
}

/// Why servers that agree are not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// Their time is certainly wrong.
    BelowFloor {
        /// The latest it can be, in seconds since 1970.
        agreed: u64,
        /// What is certainly past.
        floor: Floor,
    },
    /// Their certificates' dates waited, and too few of them agree.
    TooFewKeys {
        /// Different public keys that agree.
        have: usize,
        /// How many it takes.
        need: usize,
    },
}

impl Standing {
    /// What the kernel and `floor` say about a clock that shows `now`.
    pub fn of(now: HostTime, floor: Floor) -> Self {
        if now < floor.at {
            return Self::BelowFloor;
        }
        match SystemClock::state() {
            Ok(state) if state.synchronised => Self::Synchronised,
            Ok(_) => Self::Unsynchronised,
            Err(_) => Self::Unreadable,
        }
    }

    /// A stable name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Synchronised => "synchronised",
            Self::Unsynchronised => "unsynchronised",
            Self::BelowFloor => "below_floor",
            Self::Unreadable => "unreadable",
        }
    }

    fn state(self) -> TrustState {
        match self {
            Self::BelowFloor => TrustState::Unknown,
            Self::Synchronised | Self::Unsynchronised | Self::Unreadable => TrustState::Floor,
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Synchronised => "kept, by the kernel's word",
            Self::Unsynchronised => "kept by nobody, by the kernel's word",
            Self::BelowFloor => "certainly slow",
            Self::Unreadable => "of unknown worth: the kernel's word cannot be had here",
        })
    }
}

impl Distrust {
    /// A stable name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::BelowFloor { .. } => "below_floor",
            Self::TooFewKeys { .. } => "too_few_keys",
        }
    }
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BelowFloor { agreed, floor } => write!(
                f,
                "the servers agree on {} at the latest, which is not after {} ({})",
                date(*agreed),
                date(seconds(floor.at)),
                floor.source
            ),
            Self::TooFewKeys { have, need } => write!(
                f,
                "by this host's clock their certificates are outside their dates, and of servers with different public keys only {have} agree where {need} are needed: name more servers, or the key of one with --pin"
            ),
        }
    }
}

/// Analyses what `sources` said when the clock showed `now`, believing only what [`Rule`] allows.
///
/// Whoever is not believed is thrown out, marked with the reason, and the rest decided anew.
pub fn decide(
    sources: &mut [SourceReport],
    now: HostTime,
    rule: &Rule,
    choice: &Choice,
) -> (Analysis, TrustReport) {
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
        let mut analysis = Analysis::of(sources, choice);
        let Ok(combined) = &analysis.combined else {
            if let (Some(refused), Err(NoResult::TrustRefused { .. })) =
                (report.refused, &analysis.combined)
            {
                analysis.combined = Err(NoResult::Distrusted(refused));
            }
            return (analysis, report);
        };
        let used: Vec<usize> = (0..sources.len())
            .filter(|index| analysis.verdicts[*index].agrees())
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
        return (analysis, report);
    }
}

/// Nobody's offset counts.
fn refused(sources: &[SourceReport], choice: &Choice, why: Distrust) -> Analysis {
    let mut analysis = Analysis::of(sources, choice);
    analysis.combined = Err(NoResult::Distrusted(why));
    for verdict in &mut analysis.verdicts {
        if matches!(verdict, Verdict::Judged(_)) {
            *verdict = Verdict::Judged(tsq_algo::Verdict::Unresolved);
        }
    }
    analysis
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

/// Whole seconds since 1970, as certificates count them.
pub(crate) fn seconds(time: HostTime) -> u64 {
    u64::try_from(time.as_unix_nanos().div_euclid(1_000_000_000)).unwrap_or(0)
}
