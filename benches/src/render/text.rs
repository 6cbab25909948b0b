//! Results on a terminal.

use tsq_perf::Table;

use super::number::{self, number};
use super::verdict::verdicts;
use crate::results::Results;
use crate::section::{Cell, Figure, Row, Section};

/// A section: title, conditions, a table for each case and the notes.
pub(crate) fn text(section: &Section) -> String {
    let mut parts = vec![format!(
        "{}: {}\n{}\n",
        section.title, section.question, section.conditions
    )];
    for (case, rows) in cases(&section.rows) {
        parts.push(format!("{case}:\n{}", table(&section.figures, rows)));
    }
    if !section.notes.is_empty() {
        parts.push(section.notes.join("\n") + "\n");
    }
    parts.join("\n")
}

/// Every comparison in a line, and what could not be measured.
#[must_use]
pub fn short_verdicts(results: &Results) -> String {
    let mut table = Table::new(&["", "ours", "best of theirs", "verdict", "who of theirs"]);
    let mut failures = String::new();
    let mut compared = 0;
    for measured in &results.sections {
        let section = &measured.section;
        if let Some(reason) = &measured.failure {
            failures += &format!("{}: not measured: {reason}\n", section.id);
        }
        for verdict in verdicts(section) {
            compared += 1;
            let (ours, (theirs, who)) = (verdict.of_ours().0, verdict.of_theirs());
            table.row([
                format!("{}: {}", section.id, verdict.what()),
                ours,
                theirs,
                verdict.words(),
                who.into(),
            ]);
        }
    }
    match compared {
        0 => failures,
        _ => format!("{table}{failures}"),
    }
}

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

fn table(figures: &[Figure], rows: &[Row]) -> Table {
    let figures = columns(figures, rows);
    let headings: Vec<String> = figures.iter().map(|figure| heading(figure)).collect();
    let headings: Vec<&str> = std::iter::once("")
        .chain(headings.iter().map(String::as_str))
        .collect();
    let mut table = Table::new(&headings);
    for row in rows {
        let cells = figures
            .iter()
            .map(|figure| words(row.cells.get(&figure.key)));
        let cells: Vec<String> = std::iter::once(row.subject.clone()).chain(cells).collect();
        table.row(cells);
    }
    table
}
