//! How far the servers' time is trusted, and what became of the certificates whose dates waited.

use tsq_client::trust::Presented;
use tsq_client::{TrustRefusal, TrustState};

use super::Finding;
use crate::outcome::Outcome;
use crate::standing::TrustReport;
use crate::verdict::Verdict;

pub(super) fn findings(outcome: &Outcome) -> Vec<Finding> {
    let state = outcome.judged.trust.as_ref().and_then(state);
    let dates = (0..outcome.sources.len()).filter_map(|index| dates(outcome, index));
    state.into_iter().chain(dates).collect()
}

/// Where nothing came of it, the servers' findings say why.
fn state(report: &TrustReport) -> Option<Finding> {
    let keys = match report.keys {
        1 => "1 key vouches".to_owned(),
        keys => format!("{keys} different keys vouch"),
    };
    let text = |state: &str| {
        let (before, clock) = (report.before, report.clock);
        format!(
            "the servers' time is {state}: {keys} for it (before: {before}, the clock is {clock})"
        )
    };
    match report.state {
        TrustState::Verified => Some(Finding::ok("trust", "trust_verified", text("verified"))),
        TrustState::Tentative => Some(Finding::note(
            "trust",
            "trust_tentative",
            text("tentative"),
            MORE_KEYS,
        )),
        TrustState::Unknown | TrustState::Floor => None,
    }
}

fn dates(outcome: &Outcome, index: usize) -> Option<Finding> {
    let (text, server) = (waited(outcome, index)?, &outcome.sources[index].server);
    let name = "certificate_dates_waited";
    Some(if outcome.judged.verdicts[index].agrees() {
        Finding::ok(server, name, text)
    } else {
        Finding::note(server, name, text, MORE_KEYS)
    })
}

/// What became of a certificate whose dates waited.
pub fn waited(outcome: &Outcome, index: usize) -> Option<String> {
    let presented = outcome.sources[index].presented.as_ref();
    let by_our_clock = date_words(presented.and_then(Presented::deferred)?);
    let then = match &outcome.judged.verdicts[index] {
        verdict if verdict.agrees() => "is valid at the time agreed on",
        Verdict::Judged(tsq_algo::Verdict::Unresolved) | Verdict::Failed(_) => "is not believed",
        Verdict::Judged(_) | Verdict::Duplicate { .. } => "was not needed",
    };
    Some(format!("its certificate, {by_our_clock}, {then}"))
}

fn date_words(refusal: &TrustRefusal) -> &'static str {
    match refusal {
        TrustRefusal::NotYetValid { .. } => "by our slow clock not yet valid",
        TrustRefusal::Expired { .. } => "by our fast clock expired",
        // Only dates wait.
        _ => "refused",
    }
}

const MORE_KEYS: &str = "name three servers with keys of their own, or one and its {pin}";

#[cfg(test)]
mod tests {
    use tsq_client::trust::Floor;

    use super::*;
    use crate::advice::Spelling;
    use crate::standing::Standing;

    #[test]
    fn tentative_says_what_is_missing_and_nothing_is_said_of_less() {
        let report = |state| TrustReport {
            before: TrustState::Floor,
            state,
            clock: Standing::Unsynchronised,
            floor: Floor::of_build(),
            agreed: None,
            keys: 2,
            refused: None,
        };
        let tentative = state(&report(TrustState::Tentative)).unwrap();
        assert!(
            tentative.text.contains("2 different keys vouch"),
            "{tentative:?}"
        );
        assert!(tentative.fix.unwrap().text(Spelling::PLAIN).contains("pin"));
        let verified = state(&report(TrustState::Verified)).unwrap();
        assert_eq!(verified.name, "trust_verified");
        assert_eq!(state(&report(TrustState::Floor)), None);
    }
}
