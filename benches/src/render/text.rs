//! Results on a terminal.

use tsq_perf::Table;

use super::table::{cases, columns, heading, words};
use super::verdict::verdicts;
use crate::results::Results;
use crate::section::{Figure, Row, Section};

/// Prints a section to standard output: as tables, or as one JSON object.
///
/// # Errors
/// A figure is no number, which JSON cannot say.
pub fn print(section: &Section, json: bool) -> Result<(), serde_json::Error> {
    match json {
        true => println!("{}", serde_json::to_string(section)?),
        false => print!("{}", text(section)),
    }
    Ok(())
}

/// A section: title, conditions, a table for each case and the notes.
fn text(section: &Section) -> String {
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
