//! The exit codes.

use tsq_algo::NoSelection;
use tsq_clock::ClockError;
use tsq_sync::{Action, NoResult, Outcome, Refusal, Unready};

/// How a run ended: the process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Adjusted, or nothing to do.
    Done = 0,
    /// An error of ours or the system's.
    Internal = 1,
    /// The command line.
    Usage = 2,
    /// No usable answer.
    NoAnswer = 3,
    /// The servers disagree.
    NoAgreement = 4,
    /// The offset is past the limit.
    PastLimit = 5,
    /// The clock may not be set.
    NoPermission = 6,
    /// No answer that can be trusted: certificates refused, or a time that cannot be true.
    TrustRefused = 7,
    /// As [`Self::Done`], by servers that nothing authenticates.
    Unauthenticated = 8,
}

impl Exit {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Done,
        Self::Internal,
        Self::Usage,
        Self::NoAnswer,
        Self::NoAgreement,
        Self::PastLimit,
        Self::NoPermission,
        Self::TrustRefused,
        Self::Unauthenticated,
    ];

    /// The code.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// As a run that came to this ends.
    pub fn of(outcome: &Outcome) -> Self {
        if !outcome.problems.is_empty() {
            return Self::Internal;
        }
        match &outcome.action {
            Action::Refused { reason } => Self::of_refusal(reason),
            _ if outcome.judged.by_ntp => Self::Unauthenticated,
            _ => Self::Done,
        }
    }

    fn of_refusal(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::NoResult(none) => Self::of_no_result(none),
            Refusal::NotAll(_) => Self::NoAgreement,
            Refusal::PastLimit { .. } | Refusal::NotRight { .. } => Self::PastLimit,
            Refusal::Clock(error) => Self::of_clock(error),
            Refusal::Unanswered => Self::NoAnswer,
            // Also what may come.
            _ => Self::Internal,
        }
    }

    fn of_no_result(none: &NoResult) -> Self {
        match none {
            NoResult::NoAnswer { .. } => Self::NoAnswer,
            NoResult::TrustRefused { .. } | NoResult::Distrusted(_) => Self::TrustRefused,
            NoResult::NoSelection(none) => match none {
                NoSelection::NoneFit { .. }
                | NoSelection::NoneTrusted { .. }
                | NoSelection::Unauthenticated { .. } => Self::NoAnswer,
                NoSelection::MixedTimescales { .. }
                | NoSelection::Disagreement(_)
                | NoSelection::TooFew { .. } => Self::NoAgreement,
            },
        }
    }

    /// Of a clock that could not be set.
    fn of_clock(error: &ClockError) -> Self {
        match error {
            ClockError::NoPermission => Self::NoPermission,
            ClockError::PastLimit { .. } | ClockError::PastBudget { .. } => Self::PastLimit,
            _ => Self::Internal,
        }
    }

    /// As a run that cannot begin ends.
    pub fn of_unready(unready: &Unready) -> Self {
        match unready {
            Unready::Clock(error) => Self::of_clock(error),
            Unready::Kept(_) => Self::NoPermission,
            Unready::State(_) | Unready::Budget(_) | Unready::Receipt(_) => Self::Usage,
            // Also what may come.
            _ => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use tsq_clock::Disturbance;
    use tsq_proto::Offset;
    use tsq_sync::{Choice, Distrust, Idle, Judged, Problem};
    use tsq_view::why;

    use super::*;
    use crate::ended::Unusable;
    use crate::shown::view;

    const SECOND: Duration = Duration::from_secs(1);

    fn outcome(action: impl Into<Action>) -> Outcome {
        Outcome {
            sources: Vec::new(),
            judged: Judged::of(&[], &Choice::default()),
            action: action.into(),
            remaining: None,
            dry_run: false,
            elapsed: Duration::ZERO,
            warnings: Vec::new(),
            problems: Vec::new(),
            self_test: None,
        }
    }

    fn refusals() -> Vec<(Refusal, Exit)> {
        let time = SECOND;
        let offset = Offset::from_nanos(2_000_000_000);
        vec![
            (NoResult::NoAnswer { servers: 2 }, Exit::NoAnswer),
            (
                NoResult::TrustRefused {
                    servers: 2,
                    refused: 1,
                },
                Exit::TrustRefused,
            ),
            (
                NoResult::Distrusted(Distrust::TooFewKeys { have: 1, need: 3 }),
                Exit::TrustRefused,
            ),
            (
                NoResult::NoSelection(NoSelection::NoneFit { of: 2 }),
                Exit::NoAnswer,
            ),
            (
                NoResult::NoSelection(NoSelection::Unauthenticated { sources: 1 }),
                Exit::NoAnswer,
            ),
            (
                NoResult::NoSelection(NoSelection::TooFew {
                    agreeing: 1,
                    needed: 2,
                }),
                Exit::NoAgreement,
            ),
        ]
        .into_iter()
        .map(|(none, exit)| (Refusal::NoResult(none), exit))
        .chain([
            (
                Refusal::PastLimit {
                    offset,
                    limit: SECOND,
                    pending: Offset::ZERO,
                },
                Exit::PastLimit,
            ),
            (
                Refusal::NotRight {
                    error: SECOND,
                    wanted: SECOND,
                    offset,
                },
                Exit::PastLimit,
            ),
            (Refusal::Clock(ClockError::NoPermission), Exit::NoPermission),
            (Refusal::Clock(ClockError::NotCounted), Exit::Internal),
            (
                Refusal::Disturbed(Disturbance::Slept { time }),
                Exit::Internal,
            ),
            (Refusal::Unanswered, Exit::NoAnswer),
        ])
        .collect()
    }

    #[test]
    fn every_code_but_0_has_its_reason_in_one_line() {
        for (refusal, exit) in refusals() {
            let outcome = outcome(refusal);
            assert_eq!(Exit::of(&outcome), exit, "{:?}", outcome.action);
            let why = why(&outcome, view(false)).unwrap_or_default();
            assert!(!why.is_empty() && !why.contains('\n'), "{exit:?}: {why}");
        }
        let right = outcome(Idle::SelfTest);
        assert_eq!(Exit::of(&right), Exit::Done);
        assert_eq!(why(&right, view(false)), None);
    }

    #[test]
    fn plain_ntp_that_decided_alone_is_told_whatever_was_done() {
        let step = Action::Step {
            offset: Offset::ZERO,
        };
        for action in [step, Idle::SelfTest.into()] {
            let mut outcome = outcome(action);
            outcome.judged.by_ntp = true;
            assert_eq!(Exit::of(&outcome), Exit::Unauthenticated);
            let why = why(&outcome, view(false)).unwrap();
            assert!(why.contains("--allow-ntp"), "{why}");
        }
    }

    #[test]
    fn run_that_did_its_work_and_could_not_end_it_has_failed_and_says_all_of_it() {
        let mut outcome = outcome(Action::Step {
            offset: Offset::ZERO,
        });
        let time = SECOND;
        let slept = || Problem::Disturbed(Disturbance::Slept { time });
        outcome.problems = vec![slept(), slept()];
        assert_eq!(Exit::of(&outcome), Exit::Internal);
        let why = why(&outcome, view(false)).unwrap();
        assert_eq!(why.matches("this machine slept").count(), 2, "{why}");
    }

    #[test]
    fn run_that_cannot_begin_says_what_to_do_with_options() {
        for (unready, exit, word) in [
            (
                Unready::Clock(ClockError::NoPermission),
                Exit::NoPermission,
                "--dry-run",
            ),
            (
                Unready::Kept(vec!["chronyd"]),
                Exit::NoPermission,
                "--beside-daemon",
            ),
            (Unready::BeforeEpoch, Exit::Internal, "by hand"),
            (
                Unready::System(io::Error::other("no sockets left")),
                Exit::Internal,
                "no sockets",
            ),
        ] {
            let unusable = Unusable::from(unready);
            assert_eq!(unusable.exit, exit);
            let problem = unusable.problem;
            assert!(
                problem.contains(word) && !problem.contains('\n'),
                "{problem}"
            );
        }
    }

    #[test]
    fn codes_are_those_of_the_manual() {
        assert!(Exit::ALL.iter().map(|exit| exit.code()).eq(0..=8));
    }

    #[test]
    fn schema_of_the_result_knows_every_code_that_comes_with_one() {
        let schema = include_str!("../../tsq-view/schema/result.schema.json");
        let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
        let listed = schema["properties"]["exit_code"]["enum"]
            .as_array()
            .unwrap();
        for exit in Exit::ALL.into_iter().filter(|exit| *exit != Exit::Usage) {
            assert!(listed.contains(&exit.code().into()), "{exit:?}");
        }
    }
}
