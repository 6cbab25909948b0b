//! What every table shows alike, on a terminal, in Markdown and on the page.

use super::number::{self, number};
use crate::section::{Cell, Figure, Row};

/// The rows of each case, which stand together.
pub(super) fn cases(rows: &[Row]) -> impl Iterator<Item = (&str, &[Row])> {
    rows.chunk_by(|a, b| a.case == b.case)
        .map(|rows| (rows[0].case.as_str(), rows))
}

/// The heading of a column, with its unit, which a line does not break off.
pub(super) fn heading(figure: &Figure) -> String {
    match figure.unit.as_str() {
        "" => figure.heading.clone(),
        unit => format!("{},\u{a0}{}", figure.heading, number::unit(unit)),
    }
}

/// The figures that a row of these has at all: a table does not show empty columns.
pub(super) fn columns<'a>(figures: &'a [Figure], rows: &[Row]) -> Vec<&'a Figure> {
    let is_used = |figure: &&Figure| rows.iter().any(|row| row.cells.contains_key(&figure.key));
    figures.iter().filter(is_used).collect()
}

/// What stands in a cell, without the unit.
pub(super) fn words(cell: Option<&Cell>) -> String {
    match cell {
        Some(Cell::Number { value, .. }) => number(*value),
        Some(Cell::Text(text)) => text.clone(),
        None => "\u{2013}".into(),
    }
}
