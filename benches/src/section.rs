//! One measured table, the form in which every measurement hands over its figures.
//!
//! A section knows nothing of how it is shown: text, Markdown, SVG and HTML are all made from it, and its
//! JSON is the raw result.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Conditions;

/// What one measurement gave: rows of subjects under cases, with named figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// Short and stable, such as `one-shot`; names files and anchors.
    pub id: String,
    /// A heading, such as "One-shot client".
    pub title: String,
    /// What the figures answer, in one sentence.
    pub question: String,
    /// The command that measures this section alone.
    pub command: String,
    /// Where and when, looked at before the first measurement.
    pub conditions: Conditions,
    /// The columns, in order.
    pub figures: Vec<Figure>,
    /// In the order they are shown; those of one case stand together.
    pub rows: Vec<Row>,
    /// What a reader must know to read the figures, and their limits.
    pub notes: Vec<String>,
}

/// A column: what was measured, and in which unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    /// Its name in [`Row::cells`], with the unit, such as `wall_ms`.
    pub key: String,
    /// Its heading without the unit, such as "wall time, median".
    pub heading: String,
    /// The unit, empty for words and counts.
    pub unit: String,
    /// Which way is good.
    pub better: Better,
    /// Worth a plot of its own.
    pub plot: bool,
}

impl Figure {
    /// A figure without a plot.
    #[must_use]
    pub fn new(key: &str, heading: &str, unit: &str, better: Better) -> Self {
        Self {
            key: key.into(),
            heading: heading.into(),
            unit: unit.into(),
            better,
            plot: false,
        }
    }

    /// The rounds behind a cell as they compare: by their size where less is better, as errors are kept with their signs.
    #[must_use]
    pub fn rounds(&self, cell: &Cell) -> Vec<f64> {
        let rounds = cell.rounds().iter().copied();
        match self.better {
            Better::Less => rounds.map(f64::abs).collect(),
            _ => rounds.collect(),
        }
    }

    /// The same, with a plot.
    #[must_use]
    pub fn plotted(self) -> Self {
        Self { plot: true, ..self }
    }
}

/// Which way of a figure is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Less is better.
    Less,
    /// More is better.
    More,
    /// Neither: a description, or a word.
    Neither,
}

/// One subject under one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Under what, such as "loopback, idle" or "5 % loss".
    pub case: String,
    /// Who, such as "tsq-adjtime, datagrams" or "chronyd -Q, NTS"; names the protocol where the program speaks several.
    pub subject: String,
    /// Whether it is a program of ours.
    pub ours: bool,
    /// A floor or a yardstick, such as a plain echo: shown, but no rival that wins or loses.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reference: bool,
    /// By [`Figure::key`]; a figure that is not here is shown as not measured.
    pub cells: BTreeMap<String, Cell>,
}

impl Row {
    /// A row without cells.
    #[must_use]
    pub fn new(case: impl Into<String>, subject: impl Into<String>, ours: bool) -> Self {
        Self {
            case: case.into(),
            subject: subject.into(),
            ours,
            reference: false,
            cells: BTreeMap::new(),
        }
    }

    /// A row that neither wins nor loses, without cells.
    #[must_use]
    pub fn reference(case: impl Into<String>, subject: impl Into<String>) -> Self {
        Self {
            reference: true,
            ..Self::new(case, subject, false)
        }
    }

    /// The same with one more cell.
    #[must_use]
    pub fn with(mut self, key: &str, cell: impl Into<Cell>) -> Self {
        self.cells.insert(key.into(), cell.into());
        self
    }
}

/// One figure of one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// A number, and all that it was made from.
    Number {
        /// The figure.
        value: f64,
        /// The rounds or runs it stands for, in the order they were measured; may be empty.
        rounds: Vec<f64>,
    },
    /// A word, such as an outcome, or why there is no number.
    Text(String),
}

impl Cell {
    /// A figure with the rounds it was made from; a word where it is infinite or no number, which JSON cannot say.
    ///
    /// The results are kept for good: seven digits, and of more than [`Self::MOST_ROUNDS`] rounds every second, third
    /// and so on.
    #[must_use]
    pub fn of(value: f64, rounds: impl Into<Vec<f64>>) -> Self {
        let rounds: Vec<f64> = rounds.into();
        let every = rounds.len().div_ceil(Self::MOST_ROUNDS).max(1);
        let rounds = rounds.into_iter().step_by(every);
        let rounds = rounds.filter(|round| round.is_finite());
        match value.is_finite() {
            true => Self::Number {
                value: seven_digits(value),
                rounds: rounds.map(seven_digits).collect(),
            },
            false => "no number".into(),
        }
    }

    /// More rounds than a plot can show.
    pub const MOST_ROUNDS: usize = 100;

    /// The figure, where there is one.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Number { value, .. } => Some(*value),
            Self::Text(_) => None,
        }
    }

    /// The rounds behind the figure.
    #[must_use]
    pub fn rounds(&self) -> &[f64] {
        match self {
            Self::Number { rounds, .. } => rounds,
            Self::Text(_) => &[],
        }
    }
}

/// What is left out is noise of a float.
fn seven_digits(value: f64) -> f64 {
    format!("{value:.6e}").parse().unwrap_or(value)
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::of(value, [])
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_seven_digits_and_a_hundred_rounds() {
        let cell = Cell::of(40.307_000_000_000_7, vec![0.1 + 0.2; 1000]);
        assert_eq!(cell.value(), Some(40.307));
        assert_eq!(cell.rounds(), vec![0.3; 100]);
        assert_eq!(Cell::from(1_234_567.0).value(), Some(1_234_567.0));
        assert_eq!(Cell::of(1.0, vec![0.0; 101]).rounds().len(), 51);
    }

    #[test]
    fn section_survives_its_json() {
        let section = Section {
            id: "one-shot".into(),
            title: "One-shot client".into(),
            question: "How long until the offset is known?".into(),
            command: "cargo xtask bench-peers --only one-shot".into(),
            conditions: Conditions::now(),
            figures: vec![Figure::new("wall_ms", "wall time", "ms", Better::Less).plotted()],
            rows: vec![
                Row::new("loopback", "tsq-adjtime", true)
                    .with("wall_ms", Cell::of(2.5, [2.5, 2.75])),
                Row::new("loopback", "busybox ntpd", false).with("wall_ms", "no answer"),
            ],
            notes: vec!["From start to exit.".into()],
        };
        let text = serde_json::to_string(&section).unwrap();
        assert_eq!(serde_json::from_str::<Section>(&text).unwrap(), section);
    }
}
