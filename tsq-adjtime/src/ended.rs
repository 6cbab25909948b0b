//! How a command ends: its exit code, and the line on standard error that every code but 0 has.

use std::io::{self, Write};

use tsq_client::Protocol;
use tsq_command::output;

use crate::analysis::Verdict;
use crate::outcome::{Action, Exit, Outcome};
use crate::settings::Unusable;

/// How a command ends. Of an end that is not good there is none without a reason, so none is silent: who reads the code alone,
/// as a timer's mail or a log, finds the reason beside it, whatever was printed on standard output and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    exit: Exit,
    why: Option<String>,
}

impl Ended {
    /// With 0.
    pub fn well() -> Self {
        Self {
            exit: Exit::Done,
            why: None,
        }
    }

    /// With this code, for this reason; with 0 nobody needs one.
    pub fn with(exit: Exit, why: impl Into<String>) -> Self {
        match exit {
            Exit::Done => Self::well(),
            exit => Self {
                exit,
                why: Some(why.into()),
            },
        }
    }

    /// As a run that came to `outcome` does.
    pub fn of(outcome: &Outcome) -> Self {
        Self::with(outcome.exit, reason(outcome))
    }

    /// Says why on standard error, in one line, unless all is well; the process's exit code.
    pub fn tell(result: Result<Self, Unusable>) -> u8 {
        let Self { exit, why } = result.unwrap_or_else(Self::from);
        if let Some(why) = why {
            // Only the failure to write this very line could follow, and there is nobody to tell.
            let _ = writeln!(io::stderr(), "tsq-adjtime: {why}");
        }
        exit.code()
    }
}

impl From<Unusable> for Ended {
    fn from(unusable: Unusable) -> Self {
        Self {
            exit: unusable.exit,
            why: Some(unusable.problem),
        }
    }
}

/// Writes a result to standard output.
///
/// # Errors
/// [`Unusable`] with the system's reason.
pub fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Unusable> {
    output::print(write).map_err(crate::run::internal)
}

fn reason(outcome: &Outcome) -> String {
    if let Some(problem) = &outcome.problem {
        return problem.clone();
    }
    match (&outcome.action, outcome.exit) {
        (_, Exit::Unauthenticated) => {
            "plain NTP alone decided, which nothing authenticates (--allow-ntp)".into()
        }
        (Action::Refused { reason }, _) => match failures(outcome).as_slice() {
            [] => reason.clone(),
            [only] if outcome.sources.len() == 1 => only.clone(),
            failures => format!("{reason} ({})", failures.join("; ")),
        },
        (Action::None { .. } | Action::Slew { .. } | Action::Step { .. }, _) => {
            "the clock may not be right: see the result".into()
        }
    }
}

/// Who gave nothing, and why: of many the first few.
fn failures(outcome: &Outcome) -> Vec<String> {
    let verdicts = outcome.sources.iter().zip(&outcome.analysis.verdicts);
    let mut failed = verdicts.filter_map(|(source, verdict)| match verdict {
        Verdict::Failed(failure) => {
            let by = match source.protocol {
                Protocol::Tsq => String::new(),
                other => format!("by {other}: "),
            };
            Some(format!("{}: {by}{failure}", source.server))
        }
        Verdict::Judged(tsq_algo::Verdict::Unsynchronised) => {
            Some(format!("{}: {verdict}", source.server))
        }
        Verdict::Judged(_) | Verdict::Duplicate { .. } => None,
    });
    let mut told: Vec<String> = failed.by_ref().take(FEW).collect();
    match failed.count() {
        0 => {}
        more => told.push(format!("and {more} more")),
    }
    told
}

const FEW: usize = 4;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::analysis::{Analysis, Choice};

    const ALL: [Exit; 9] = [
        Exit::Done,
        Exit::Internal,
        Exit::Usage,
        Exit::NoAnswer,
        Exit::NoAgreement,
        Exit::PastLimit,
        Exit::NoPermission,
        Exit::TrustRefused,
        Exit::Unauthenticated,
    ];

    fn outcome(exit: Exit, action: Action) -> Outcome {
        Outcome {
            sources: Vec::new(),
            analysis: Analysis::of(&[], &Choice::default()),
            action,
            remaining: None,
            dry_run: false,
            elapsed: Duration::ZERO,
            exit,
            problem: None,
            warnings: Vec::new(),
            trust: None,
            self_test: None,
        }
    }

    #[test]
    fn every_code_but_0_has_its_reason_whatever_was_done() {
        assert!(ALL.iter().map(|exit| exit.code()).eq(0..=8));
        for exit in ALL {
            for action in [
                Action::refused("it may not be"),
                Action::None {
                    reason: "right".into(),
                },
                Action::Step {
                    offset: tsq_proto::Offset::ZERO,
                },
            ] {
                let ended = Ended::of(&outcome(exit, action));
                let why = ended.why.unwrap_or_default();
                assert_eq!(why.is_empty(), exit == Exit::Done, "{exit:?}: {why}");
                assert!(!why.contains('\n'), "{why}");
            }
        }
    }

    #[test]
    fn schema_of_the_result_knows_every_code_that_comes_with_one() {
        let schema = include_str!("../schema/result.schema.json");
        let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
        let listed = schema["properties"]["exit_code"]["enum"]
            .as_array()
            .unwrap();
        for exit in ALL.into_iter().filter(|exit| *exit != Exit::Usage) {
            assert!(listed.contains(&exit.code().into()), "{exit:?}");
        }
    }
}
