//! How far the servers' time is trusted, and what became of the certificates whose dates waited.

use tsq_client::TrustState;

use super::Finding;
use crate::outcome::Outcome;
use crate::table::waited;
use crate::trust::TrustReport;

pub(super) fn findings(outcome: &Outcome) -> Vec<Finding> {
    let state = outcome.trust.as_ref().and_then(state);
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
    Some(if outcome.analysis.verdicts[index].agrees() {
        Finding::ok(server, name, text)
    } else {
        Finding::note(server, name, text, MORE_KEYS)
    })
}

const MORE_KEYS: &str = "name three servers with keys of their own, or one and its --pin";

#[cfg(test)]
mod tests {
    use tsq_client::trust::Floor;

    use super::*;
    use crate::trust::Standing;

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
        assert!(tentative.fix.unwrap().contains("--pin"));
        let verified = state(&report(TrustState::Verified)).unwrap();
        assert_eq!(verified.name, "trust_verified");
        assert_eq!(state(&report(TrustState::Floor)), None);
    }
}
