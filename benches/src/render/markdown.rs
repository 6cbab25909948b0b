//! `RESULTS.md`.

use super::circumstances::{circumstances, programs};
use super::losses::{losses, wins};
use super::plotted::{plot_path, plotted};
use super::table::{cases, columns, heading, words};
use super::verdict::{Verdict, Winner, best, tally, verdicts};
use super::xml::append;
use crate::results::{Measured, Results};
use crate::section::{Cell, Figure, Row};

/// The whole document.
pub(super) fn document(results: &Results) -> String {
    let mut text = String::from(
        "# Results\n\n\
         Made by `cargo xtask bench-peers`; do not edit: run it again. How to read it, and the limits of each figure: \
         [README.md](/benches/README.md). As a page: [results.html](results.html). Earlier figures: [HISTORY.md](/benches/HISTORY.md).\n\n\
         Ours are **bold**; ★ marks the best of a case, floors and yardsticks left out. A word in a cell says why there is no number.\n",
    );
    machine(&mut text, results);
    overview(&mut text, results);
    for measured in &results.sections {
        section(&mut text, measured);
    }
    text
}

fn machine(text: &mut String, results: &Results) {
    let mut machines: Vec<String> = Vec::new();
    for measured in &results.sections {
        let machine = measured.section.conditions.machine();
        if !machines.contains(&machine) {
            machines.push(machine);
        }
    }
    for machine in machines {
        append(text, format_args!("\nMachine: {machine}.\n"));
    }
    if results.sections.is_empty() {
        text.push_str("\nNothing is measured yet.\n");
        return;
    }
    append(
        text,
        format_args!("\nThe last command: `{}`.\n", results.command),
    );
    if !results.programs.is_empty() {
        append(text, format_args!("\nPrograms: {}.\n", programs(results)));
    }
}

fn overview(text: &mut String, results: &Results) {
    let all: Vec<Verdict<'_>> = results
        .sections
        .iter()
        .flat_map(|measured| verdicts(&measured.section))
        .collect();
    if all.is_empty() {
        return;
    }
    append(text, format_args!("\n## Who wins\n\n{}\n", tally(&all)));
    list(text, "Where ours is better", &wins(results));
    list(text, "Where another is better", &losses(results));
    text.push_str("\n| | ours | the best with NTS | the best of all others | verdict |\n|---|---|---|---|---|\n");
    for measured in &results.sections {
        let verdicts = verdicts(&measured.section);
        if !verdicts.is_empty() {
            append(
                text,
                format_args!("| **{}** | | | | |\n", cell(&measured.section.title)),
            );
        }
        for verdict in verdicts {
            let side = |(value, subject): (String, &str)| match subject {
                "" => value,
                _ => format!("{value} ({subject})"),
            };
            let nts = verdict.best_nts().map_or(String::new(), |nts| {
                let (value, words) = (verdict.value(nts), verdict.words_against(Some(nts)));
                format!("{value} ({}): {words}", nts.subject)
            });
            line(
                text,
                &[
                    verdict.what(),
                    side(verdict.of_ours()),
                    nts,
                    side(verdict.of_theirs()),
                    emphasised(&verdict),
                ],
            );
        }
    }
}

fn list(text: &mut String, title: &str, lines: &[String]) {
    if !lines.is_empty() {
        append(text, format_args!("\n{title}:\n\n"));
    }
    for line in lines {
        append(text, format_args!("- {line}\n"));
    }
}

fn emphasised(verdict: &Verdict<'_>) -> String {
    match verdict.winner() {
        Winner::Ours(_) => format!("**{}**", verdict.words()),
        _ => verdict.words(),
    }
}

fn section(text: &mut String, measured: &Measured) {
    let section = &measured.section;
    append(text, format_args!("\n## {}\n\n", section.title));
    if !section.question.is_empty() {
        append(text, format_args!("{} ", section.question));
    }
    append(
        text,
        format_args!(
            "{}; alone by `{}`.\n",
            circumstances(measured),
            section.command
        ),
    );
    if let Some(reason) = &measured.failure {
        append(text, format_args!("\nNot measured: {}.\n", cell(reason)));
    }
    for figure in plotted(measured) {
        let path = plot_path(measured, figure);
        append(text, format_args!("\n![{}]({path})\n", heading(figure)));
    }
    for (case, rows) in cases(&section.rows) {
        append(text, format_args!("\n**{}**\n\n", cell(case)));
        table(text, &section.figures, rows);
    }
    if !section.notes.is_empty() {
        text.push('\n');
    }
    for note in &section.notes {
        append(text, format_args!("- {note}\n"));
    }
}

fn table(text: &mut String, figures: &[Figure], rows: &[Row]) {
    let figures = columns(figures, rows);
    let headings = figures.iter().map(|figure| heading(figure));
    line(
        text,
        &std::iter::once(String::new())
            .chain(headings)
            .collect::<Vec<_>>(),
    );
    append(
        text,
        format_args!("|---|{}\n", "---:|".repeat(figures.len())),
    );
    let bests: Vec<Option<f64>> = figures.iter().map(|figure| best(figure, rows)).collect();
    for row in rows {
        let bold = if row.ours { "**" } else { "" };
        let mut cells = vec![format!("{bold}{}{bold}", row.subject)];
        for (figure, best) in figures.iter().zip(&bests) {
            let cell = row.cells.get(&figure.key);
            let is_best = best.is_some() && cell.and_then(Cell::value) == *best;
            let star = if is_best && !row.reference {
                " ★"
            } else {
                ""
            };
            let bold = if cell.is_some() { bold } else { "" };
            cells.push(format!("{bold}{}{bold}{star}", words(cell)));
        }
        line(text, &cells);
    }
}

fn line(text: &mut String, cells: &[String]) {
    let cells: Vec<String> = cells.iter().map(|words| cell(words)).collect();
    append(text, format_args!("| {} |\n", cells.join(" | ")));
}

/// Words that stay in their cell.
fn cell(words: &str) -> String {
    words.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_in_their_cell() {
        assert_eq!(cell("|offset|\nis"), "\\|offset\\| is");
    }
}
