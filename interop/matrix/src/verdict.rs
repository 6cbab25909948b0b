//! What came of a cell.

use std::fmt;

/// What came of one cell. Only what ran may be [`Verdict::Ok`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It ran and everything asked of it held; with a figure, or empty.
    Ok(String),
    /// It ran and did not hold, in a few words.
    Fails(String),
    /// It cannot be: the reason becomes a footnote.
    Never(String),
}

impl Verdict {
    pub(crate) fn never(reason: &str) -> Self {
        Self::Never(reason.into())
    }

    /// The first line of a reason: the rest is for who runs it by hand.
    pub(crate) fn fails(reason: &str) -> Self {
        let line = reason.lines().next().unwrap_or_default();
        Self::Fails(line.replace('|', "/"))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok(figure) if figure.is_empty() => f.write_str("ok"),
            Self::Ok(figure) => write!(f, "ok {figure}"),
            Self::Fails(reason) => write!(f, "fails: {reason}"),
            Self::Never(_) => f.write_str("-"),
        }
    }
}

/// Of a trial's outcome: its figure, or why it failed.
pub(crate) fn verdict(outcome: Result<String, String>) -> Verdict {
    outcome.map_or_else(|reason| Verdict::fails(&reason), Verdict::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_is_one_line_that_fits_a_table() {
        assert_eq!(
            Verdict::fails("a | b\nmore"),
            Verdict::Fails("a / b".into())
        );
    }
}
