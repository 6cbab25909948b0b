//! What a program made of an attack, in words.

use serde_json::Value;

use crate::Error;
use crate::peers::{Answer, Finished, Run, STILL_RUNNING};

/// How a run under attack ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    /// For people.
    pub(super) words: String,
    /// How wrong the clock would be now, in milliseconds; None when it would not have been set.
    pub(super) error_ms: Option<f64>,
    /// What the program says the error is at most.
    pub(super) bound_ms: Option<f64>,
}

/// What is known of a run besides what it gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Truth {
    /// Microseconds by which the clock that the program saw was behind.
    pub(super) behind_us: f64,
    /// What is compared is a time that was printed, held against our clock in the middle of the run: good for no more
    /// than to see whether the program's own bound holds.
    pub(super) coarse: bool,
}

impl Outcome {
    /// Of a run of a program, of ours or not.
    pub(super) fn of(run: Result<&Run, &Error>, truth: Truth, ours: bool) -> Self {
        match run {
            Err(reason) => Self::words(without_end(&reason.to_string())),
            Ok(Run {
                answer: Some(answer),
                ..
            }) => Self::of_answer(*answer, truth),
            Ok(Run { finished, .. }) => Self::words(without_answer(finished, truth, ours)),
        }
    }

    fn words(words: String) -> Self {
        Self {
            words,
            error_ms: None,
            bound_ms: None,
        }
    }

    fn of_answer(answer: Answer, truth: Truth) -> Self {
        let bound = answer.bound_us;
        let Some(offset) = answer.offset_us else {
            return Self::words(match bound {
                Some(bound) if truth.behind_us.abs() > bound => {
                    "not measured: it goes by the kernel's clock, which faketime does not shift"
                        .into()
                }
                Some(bound) => format!("says only: right within {}", span(bound)),
                None => "says nothing of the clock".into(),
            });
        };
        let error = offset - truth.behind_us;
        let words = match bound {
            Some(bound) if truth.coarse && error.abs() <= bound => {
                format!("right within its bound of {}", span(bound))
            }
            _ if error.abs() <= NEAR_US => "true time".into(),
            None => format!("wrong by {}, claims no bound", span(error)),
            Some(bound) if error.abs() <= bound => {
                format!(
                    "wrong by {}, within its bound of {}",
                    span(error),
                    span(bound)
                )
            }
            Some(bound) => {
                format!(
                    "wrong by {}, beyond its bound of {}",
                    span(error),
                    span(bound)
                )
            }
        };
        Self {
            words,
            error_ms: Some(error / 1e3),
            bound_ms: bound.map(|bound| bound / 1e3),
        }
    }

    /// Several runs of one program under one attack: what was not the same every time is told with how often it was.
    pub(super) fn together(outcomes: &[Self]) -> Self {
        let mut words: Vec<(&str, usize)> = Vec::new();
        for outcome in outcomes {
            match words.iter_mut().find(|(words, _)| *words == outcome.words) {
                Some((_, count)) => *count += 1,
                None => words.push((&outcome.words, 1)),
            }
        }
        let all = outcomes.len();
        let words: Vec<String> = match words[..] {
            [(words, _)] => vec![words.into()],
            _ => words
                .iter()
                .map(|(words, count)| format!("{count} of {all} runs: {words}"))
                .collect(),
        };
        let worst = outcomes
            .iter()
            .max_by(|a, b| a.badness().total_cmp(&b.badness()));
        Self {
            words: words.join("; "),
            error_ms: worst.and_then(|outcome| outcome.error_ms),
            bound_ms: worst.and_then(|outcome| outcome.bound_ms),
        }
    }

    fn badness(&self) -> f64 {
        self.error_ms.map_or(-1.0, f64::abs)
    }
}

/// What a busy machine may do to an offset.
const NEAR_US: f64 = 20e3;

/// A program that was stopped had its time; the limit is the same for all.
fn without_end(reason: &str) -> String {
    let limit = reason
        .strip_prefix(STILL_RUNNING)
        .and_then(|rest| rest.split(';').next());
    match limit {
        Some(limit) => format!("no time within {} s", limit.trim().trim_end_matches('s')),
        None => reason.into(),
    }
}

fn without_answer(finished: &Finished, truth: Truth, ours: bool) -> String {
    let code = match finished.code {
        Some(code) => format!("code {code}"),
        None => "ended by a signal".into(),
    };
    let meaning = match finished.code {
        Some(3) if ours => "no usable answer",
        Some(4) if ours => "servers disagree",
        Some(5) if ours => return refused(finished, truth),
        Some(7) if ours => "refused: not to be trusted",
        _ => "no time",
    };
    format!("{meaning} ({code})")
}

/// tsq-adjtime has a time, and its limit keeps it from using it.
fn refused(finished: &Finished, truth: Truth) -> String {
    let json: Value = serde_json::from_str(&finished.stdout).unwrap_or_default();
    let us = |field: &str| Some(json[field].as_f64()? / 1e3);
    let near = us("bound_ns").unwrap_or(0.0).max(NEAR_US);
    let found = match us("offset_ns").map(|offset| offset - truth.behind_us) {
        Some(error) if error.abs() <= near => "true time found".into(),
        Some(error) => format!("time found that is wrong by {}", span(error)),
        None => "time found".into(),
    };
    format!("{found}, refused: beyond --max-offset (code 5)")
}

/// Microseconds, as people say it.
fn span(us: f64) -> String {
    let (number, unit) = match us.abs() {
        size if size >= 2.0 * 86_400e6 => (us / 86_400e6, "days"),
        size if size >= 1e6 => (us / 1e6, "s"),
        size if size >= 1e3 => (us / 1e3, "ms"),
        _ => (us, "us"),
    };
    format!("{number:.1} {unit}").replacen(".0 ", " ", 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answered(offset_us: f64, bound_us: Option<f64>) -> Run {
        Run {
            answer: Some(Answer {
                offset_us: Some(offset_us),
                bound_us,
            }),
            finished: ended(0),
        }
    }

    fn ended(code: i32) -> Finished {
        Finished {
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
            code: Some(code),
            stdout: String::new(),
            stderr: String::new(),
        }
    }

    fn behind(us: f64) -> Truth {
        Truth {
            behind_us: us,
            coarse: false,
        }
    }

    fn words(run: &Run, behind_us: f64) -> String {
        Outcome::of(Ok(run), behind(behind_us), true).words
    }

    #[test]
    fn true_time_is_told_from_false_by_what_is_true() {
        assert_eq!(words(&answered(20e3, None), 0.0), "true time");
        let wrong = "wrong by 20.1 ms, claims no bound";
        assert_eq!(words(&answered(20.1e3, None), 0.0), wrong);
        let year = 365.0 * 86_400e6;
        assert_eq!(words(&answered(year, None), year), "true time");
        let wrong = "wrong by -365 days, claims no bound";
        assert_eq!(words(&answered(0.0, None), year), wrong);
    }

    #[test]
    fn error_is_held_against_the_claimed_bound() {
        let run = answered(-50e3, Some(50e3));
        assert_eq!(
            words(&run, 0.0),
            "wrong by -50 ms, within its bound of 50 ms"
        );
        let run = answered(10e6, Some(1e6));
        assert_eq!(words(&run, 0.0), "wrong by 10 s, beyond its bound of 1 s");
    }

    #[test]
    fn coarse_answer_is_only_held_against_its_own_bound() {
        let coarse = Truth {
            behind_us: 0.0,
            coarse: true,
        };
        let of = |error| Outcome::of(Ok(&answered(error, Some(5e6))), coarse, false).words;
        assert_eq!(of(1e3), "right within its bound of 5 s");
        assert_eq!(of(5e6), "right within its bound of 5 s");
        assert_eq!(of(6e6), "wrong by 6 s, beyond its bound of 5 s");
    }

    #[test]
    fn without_an_answer_the_clock_has_no_error() {
        let run = |code, stdout: &str| Run {
            answer: None,
            finished: Finished {
                stdout: stdout.into(),
                ..ended(code)
            },
        };
        let ours = Outcome::of(Ok(&run(7, "")), behind(0.0), true);
        assert_eq!(ours.words, "refused: not to be trusted (code 7)");
        assert_eq!(ours.error_ms, None);
        let theirs = Outcome::of(Ok(&run(7, "")), behind(0.0), false);
        assert_eq!(theirs.words, "no time (code 7)");
        let refused = words(&run(5, r#"{"offset_ns":10000000000}"#), 10e6);
        assert!(refused.starts_with("true time found, refused"), "{refused}");
        let refused = words(&run(5, r#"{"offset_ns":10000000000}"#), 0.0);
        assert!(
            refused.starts_with("time found that is wrong by 10 s"),
            "{refused}"
        );
    }

    #[test]
    fn program_that_did_not_end_found_no_time_and_one_that_is_missing_says_so() {
        let of = |reason: String| Outcome::of(Err(&reason.into()), behind(0.0), false).words;
        let stopped = of(format!("{STILL_RUNNING} 11s; its last word: nothing"));
        assert_eq!(stopped, "no time within 11 s");
        let missing = "busybox is not installed";
        assert_eq!(of(missing.into()), missing);
    }

    #[test]
    fn runs_that_differ_are_counted_and_the_worst_error_stands() {
        let [good, bad] = [answered(0.0, None), answered(10e6, None)]
            .map(|run| Outcome::of(Ok(&run), behind(0.0), false));
        let same = Outcome::together(&[good.clone(), good.clone()]);
        assert_eq!(same, good);
        let both = Outcome::together(&[good.clone(), bad.clone(), good]);
        assert_eq!(
            both.words,
            "2 of 3 runs: true time; 1 of 3 runs: wrong by 10 s, claims no bound"
        );
        assert_eq!(both.error_ms, bad.error_ms);
    }
}
