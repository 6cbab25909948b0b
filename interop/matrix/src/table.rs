//! interop/RESULTS.md.

use std::fmt::Write;

use super::cell::CELLS;
use super::recorded::{BETWEEN_RUNS, LAST_RUN};
use super::verdict::Verdict;
use super::{Direction, Row};

/// The whole document. `runs` are the names of the peers, each with its version and the day it ran.
pub(crate) fn render(rows: &[Row], runs: &[String]) -> String {
    let mut notes = Vec::new();
    let mut text = format!(
        "# Interoperation\n\n\
         Made by `cargo xtask interop`; one row of it by `--peer NAME`. Do not edit: run it again.\n\n\
         {LAST_RUN}{}.\n\n\
         Each peer is a small program of this folder that shares no code with our crates: `peers/` in Python, \
         `stacks/` in Rust, `stacks-c/` in C. Client and server run on one host with one clock. A cell says ok only if it ran then \
         and everything asked of it held, with its figure where it has one.\n",
        runs.join(BETWEEN_RUNS)
    );
    for direction in Direction::BOTH {
        let title = direction.title();
        let rows = rows.iter().filter(|row| row.direction == direction);
        append(&mut text, format_args!("\n## {title}\n\n"));
        table(&mut text, rows, &mut notes);
    }
    for (number, note) in notes.iter().enumerate() {
        append(&mut text, format_args!("\n[{}] {note}.\n", number + 1));
    }
    text.push_str("\n## What a cell means\n\n");
    for cell in &CELLS {
        append(
            &mut text,
            format_args!("- **{}**: {}.\n", cell.name, cell.about),
        );
    }
    text
}

fn table<'a>(text: &mut String, rows: impl Iterator<Item = &'a Row>, notes: &mut Vec<String>) {
    let names: Vec<String> = CELLS.iter().map(|cell| cell.name.to_owned()).collect();
    line(text, "peer", &names);
    line(text, "---", &vec!["---".to_owned(); CELLS.len()]);
    for row in rows {
        let words: Vec<String> = row.verdicts.iter().map(|v| with_note(v, notes)).collect();
        line(text, row.stack.name(), &words);
    }
}

fn line(text: &mut String, first: &str, words: &[String]) {
    append(text, format_args!("| {first} | {} |\n", words.join(" | ")));
}

/// Equal reasons share a footnote.
fn with_note(verdict: &Verdict, notes: &mut Vec<String>) -> String {
    let Verdict::Never(reason) = verdict else {
        return verdict.to_string();
    };
    let at = notes.iter().position(|note| note == reason);
    let at = at.unwrap_or_else(|| {
        notes.push(reason.clone());
        notes.len() - 1
    });
    format!("{verdict} [{}]", at + 1)
}

fn append(text: &mut String, words: std::fmt::Arguments<'_>) {
    text.write_fmt(words)
        .expect("a string takes what it is given");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_reasons_share_a_footnote() {
        let mut notes = Vec::new();
        let marks = ["a", "b", "a"].map(|reason| with_note(&Verdict::never(reason), &mut notes));
        assert_eq!(marks, ["- [1]", "- [2]", "- [1]"]);
        assert_eq!(notes, ["a", "b"]);
        assert_eq!(
            with_note(&Verdict::Ok("3 ms".into()), &mut notes),
            "ok 3 ms"
        );
    }
}
