use std::fmt;
use std::time::Duration;

use tsq_proto::Offset;
use tsq_proto::time::Span;
use tsq_proto::words::Foreign;

/// What became of a source, and the numbers behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its offset is part of the result.
    Used,
    /// It is not authenticated, but agrees with those that are: its offset is part of the result, which
    /// stays within what they allow.
    Refines,
    /// It agrees, and only its server's own error explains how: not combined.
    Outlier {
        /// How far its interval is from what the others share by their own bounds.
        by: Duration,
    },
    /// It agrees, and another one is preferred: not combined.
    Outranked,
    /// The majority says otherwise.
    Falseticker {
        /// Its distance from the offset agreed on.
        by: Offset,
    },
    /// There is no majority, so nobody's offset counts.
    Unresolved,
    /// It is not authenticated, and no authenticated source is there to hold it to.
    Unauthenticated,
    /// It says itself that nobody keeps its clock.
    Unsynchronised,
    /// Its newest sample is too old.
    Stale {
        /// How old.
        age: Duration,
        /// [`Limits::age`](crate::Limits::age).
        limit: Duration,
    },
    /// It could be wrong by too much to be of use.
    Distant {
        /// By how much: half the delay, and the server's own error.
        distance: Duration,
        /// [`Limits::distance`](crate::Limits::distance).
        limit: Duration,
    },
    /// Its samples scatter too much.
    Jittery {
        /// Their standard deviation.
        jitter: Duration,
        /// [`Limits::jitter`](crate::Limits::jitter).
        limit: Duration,
    },
    /// It treats leap seconds otherwise than most: its clock is right, and near a leap second not the same.
    OtherTimescale {
        /// Its smear; None: it does not smear, or does not say.
        smear: Option<String>,
    },
}

impl Verdict {
    /// A stable name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Refines => "refines",
            Self::Outlier { .. } => "outlier",
            Self::Outranked => "outranked",
            Self::Falseticker { .. } => "falseticker",
            Self::Unresolved => "unresolved",
            Self::Unauthenticated => "unauthenticated",
            Self::Unsynchronised => "unsynchronised",
            Self::Stale { .. } => "stale",
            Self::Distant { .. } => "distant",
            Self::Jittery { .. } => "jittery",
            Self::OtherTimescale { .. } => "other_timescale",
        }
    }

    /// Whether it agrees with those that decide, and may be one of them: combined or not.
    pub fn agrees(&self) -> bool {
        self.is_combined() || matches!(self, Self::Outlier { .. } | Self::Outranked)
    }

    /// Whether its offset is part of the result.
    pub fn is_combined(&self) -> bool {
        matches!(self, Self::Used | Self::Refines)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Used => f.write_str("used"),
            Self::Refines => f.write_str("used inside the bound of those that are authenticated"),
            Self::Outlier { by } => write!(
                f,
                "outlier: agrees, but {} from what the others allow by their own bounds",
                Span(*by)
            ),
            Self::Outranked => f.write_str("agrees; a preferred server is used"),
            Self::Falseticker { by } => write!(f, "falseticker: {by} from the majority"),
            Self::Unresolved => f.write_str("not used: the servers disagree"),
            Self::Unauthenticated => {
                f.write_str("not used: not authenticated, and no authenticated server agrees")
            }
            Self::Unsynchronised => f.write_str("unsynchronised, by its own word"),
            Self::Stale { age, limit } => {
                let (age, limit) = (beyond(*age), Span(*limit));
                write!(f, "stale: its last sample is {age} old, limit {limit}")
            }
            Self::Distant { distance, limit } => write!(
                f,
                "distant: may be wrong by {} (half its delay and its server's own error), limit {}",
                beyond(*distance),
                Span(*limit)
            ),
            Self::Jittery { jitter, limit } => {
                let (jitter, limit) = (beyond(*jitter), Span(*limit));
                write!(f, "jittery: standard deviation {jitter}, limit {limit}")
            }
            Self::OtherTimescale { smear: Some(smear) } => write!(
                f,
                "not used: smears leap seconds ({}), and most others do not do so",
                Foreign(smear)
            ),
            Self::OtherTimescale { smear: None } => {
                f.write_str("not used: does not smear leap seconds, and most others do")
            }
        }
    }
}

/// What is past a limit must not look as if it were the limit.
fn beyond(length: Duration) -> Span {
    Span(length).rounded_up()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_the_units_of_all_other_output() {
        let (short, long) = (Duration::from_nanos(56_400), Duration::from_secs(3));
        for verdict in [
            Verdict::Outlier { by: short },
            Verdict::Stale {
                age: short,
                limit: long,
            },
            Verdict::Distant {
                distance: short,
                limit: long,
            },
            Verdict::Jittery {
                jitter: short,
                limit: long,
            },
        ] {
            let words = verdict.to_string();
            assert!(words.contains("56.4 us"), "{words}");
            assert!(words.is_ascii(), "{words}");
        }
    }

    #[test]
    fn smear_that_a_server_tells_is_escaped() {
        let smear = Some("\u{1b}]0;x\u{7}\u{202e}".to_string());
        let words = Verdict::OtherTimescale { smear }.to_string();
        assert!(words.contains("(\\u{1b}]0;x\\u{7}\\u{202e})"), "{words}");
    }
}
