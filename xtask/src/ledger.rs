//! `draft/LEDGER.md`: for every rule of the protocol, where it is implemented and which test proves it.
//!
//! A person writes the rule and its state; the two columns between come from the citations in the source.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use crate::citations::{self, Citation, Role};
use tsq_workbench::files;
use tsq_workbench::process::Failure;
use tsq_workbench::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fill the columns "implemented in" and "proven by" from the source
    #[arg(long)]
    write: bool,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<(), Failure> {
    if args.write {
        write(workspace)
    } else {
        check(workspace)
    }
}

pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let text = files::read(&ledger_file(workspace))?;
    let citations = citations::all(workspace)?;
    let findings = findings(&text, &citations);
    println!("{}", summary(&text));
    Failure::unless_empty("draft/LEDGER.md", &findings)
}

fn write(workspace: &Workspace) -> Result<(), Failure> {
    let file = ledger_file(workspace);
    let text = filled(&files::read(&file)?, &citations::all(workspace)?);
    fs::write(&file, text)
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))?;
    check(workspace)
}

fn ledger_file(workspace: &Workspace) -> PathBuf {
    workspace.root.join("draft/LEDGER.md")
}

/// A table line that describes one rule: what a person wrote of it.
struct Row<'a> {
    id: &'a str,
    rule: &'a str,
    state: &'a str,
}

impl<'a> Row<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let cells = line.strip_prefix('|')?.trim_end().strip_suffix('|')?;
        let cells: Vec<&str> = cells.split('|').map(str::trim).collect();
        let &[id, rule, _, _, state] = cells.as_slice() else {
            return None;
        };
        looks_like_id(id).then_some(Self { id, rule, state })
    }

    fn is_done(&self) -> bool {
        self.state == "done"
    }

    /// `open`, or `open: why or where`.
    fn is_open(&self) -> bool {
        self.state
            .strip_prefix("open")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    }

    fn with_places(&self, citations: &[Citation]) -> String {
        let implemented = places(citations, self.id, Role::Implements);
        let proven = places(citations, self.id, Role::Proves);
        format!(
            "| {} | {} | {implemented} | {proven} | {} |",
            self.id, self.rule, self.state
        )
    }
}

/// Every id of the protocol's rules, in order.
fn known_ids() -> impl Iterator<Item = String> {
    let families = [
        ('C', 1..=6),
        ('E', 1..=5),
        ('T', 0..=13),
        ('M', 1..=11),
        ('F', 1..=6),
    ];
    families
        .into_iter()
        .flat_map(|(letter, numbers)| numbers.map(move |number: u32| format!("{letter}{number}")))
}

fn looks_like_id(cell: &str) -> bool {
    let mut chars = cell.chars();
    let letter = chars.next().is_some_and(|c| c.is_ascii_uppercase());
    let number = chars.as_str();
    letter && !number.is_empty() && number.chars().all(|c| c.is_ascii_digit())
}

/// Everything wrong with the table or the citations, one line each.
fn findings(text: &str, citations: &[Citation]) -> Vec<String> {
    let rows: Vec<Row<'_>> = text.lines().filter_map(Row::parse).collect();
    let mut findings = wrong_ids(&rows, citations);
    for row in &rows {
        findings.extend(wrong_state(row, citations));
    }
    if filled(text, citations) != text {
        findings.push(
            "the places are not those of the source; run: cargo xtask ledger --write".to_owned(),
        );
    }
    findings
}

fn wrong_ids(rows: &[Row<'_>], citations: &[Citation]) -> Vec<String> {
    let known: Vec<String> = known_ids().collect();
    let is_known = |id: &str| known.iter().any(|known| known == id);
    let count = |id: &str| rows.iter().filter(|row| row.id == id).count();
    let mut wrong = Vec::new();
    wrong.extend(
        known
            .iter()
            .filter(|id| count(id) == 0)
            .map(|id| format!("{id} is missing from the table")),
    );
    wrong.extend(
        known
            .iter()
            .filter(|id| count(id) > 1)
            .map(|id| format!("{id} stands in the table twice")),
    );
    wrong.extend(
        rows.iter()
            .filter(|row| !is_known(row.id))
            .map(|row| format!("{} is no rule id", row.id)),
    );
    let unknown = citations.iter().filter(|citation| !is_known(&citation.id));
    wrong.extend(unknown.map(|c| {
        format!(
            "{}:{}: cites {:?}, which is no rule id",
            c.file, c.line, c.id
        )
    }));
    wrong
}

fn wrong_state(row: &Row<'_>, citations: &[Citation]) -> Vec<String> {
    if row.is_open() {
        return Vec::new();
    }
    if !row.is_done() {
        return vec![format!(
            "{}: state {:?} is neither `done` nor `open`",
            row.id, row.state
        )];
    }
    let cited = |role| {
        citations
            .iter()
            .any(|citation| citation.id == row.id && citation.role == role)
    };
    let wanted = [(Role::Implements, "code"), (Role::Proves, "test")];
    let lacking = wanted.into_iter().filter(|(role, _)| !cited(*role));
    lacking
        .map(|(_, what)| format!("{} is marked done, but no {what} cites it", row.id))
        .collect()
}

/// The ledger with its two middle columns as the source has them; every other line as it was.
fn filled(text: &str, citations: &[Citation]) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        match Row::parse(line) {
            Some(row) => out.push_str(&row.with_places(citations)),
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

/// Names of tests shown per file; more would hide the table. The rest is found by searching for the id.
const SHOWN: usize = 3;

/// The cell's text: each file once, with the tests where it proves something.
fn places(citations: &[Citation], id: &str, role: Role) -> String {
    let mut files: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for citation in citations
        .iter()
        .filter(|citation| citation.id == id && citation.role == role)
    {
        let functions = files.entry(&citation.file).or_default();
        let function = citation
            .function
            .as_deref()
            .filter(|_| role == Role::Proves);
        functions.extend(function.filter(|name| !functions.contains(name)));
    }
    let cells: Vec<String> = files
        .iter()
        .map(|(file, functions)| place(file, functions))
        .collect();
    cells.join("; ")
}

fn place(file: &str, functions: &[&str]) -> String {
    let shown: Vec<String> = functions
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    let mut place = format!("`{file}`");
    if !shown.is_empty() {
        let _ = write!(place, ": {}", shown.join(", "));
    }
    if functions.len() > SHOWN {
        let _ = write!(place, " and {} more", functions.len() - SHOWN);
    }
    place
}

fn summary(text: &str) -> String {
    let rows: Vec<Row<'_>> = text.lines().filter_map(Row::parse).collect();
    let done = rows.iter().filter(|row| row.is_done()).count();
    format!("{done} of {} rules done", rows.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn citation(id: &str, role: Role, function: &str) -> Citation {
        let file = if role == Role::Proves {
            "a/tests/t.rs"
        } else {
            "a/src/lib.rs"
        };
        Citation {
            id: id.to_owned(),
            file: file.to_owned(),
            line: 7,
            role,
            function: Some(function.to_owned()),
        }
    }

    /// A table with every id; those of `done` are marked so.
    fn table(done: &[&str], citations: &[Citation]) -> String {
        let mut text = "# Ledger\n\n| id | rule | implemented in | proven by | state |\n|---|---|---|---|---|\n".to_owned();
        for id in known_ids() {
            let state = if done.contains(&id.as_str()) {
                "done"
            } else {
                "open: later"
            };
            let _ = writeln!(text, "| {id} | a rule | | | {state} |");
        }
        filled(&text, citations)
    }

    #[test]
    fn the_protocol_has_42_rules() {
        assert_eq!(known_ids().count(), 42);
    }

    #[test]
    fn done_rule_cited_in_code_and_test_is_accepted() {
        let citations = [
            citation("E4", Role::Implements, "finish"),
            citation("E4", Role::Proves, "late_is_refused"),
        ];
        assert_eq!(findings(&table(&["E4"], &citations), &citations), [""; 0]);
    }

    #[test]
    fn done_rule_without_a_test_is_reported() {
        let citations = [citation("E4", Role::Implements, "finish")];
        assert_eq!(
            findings(&table(&["E4"], &citations), &citations),
            ["E4 is marked done, but no test cites it"]
        );
    }

    #[test]
    fn done_rule_without_code_is_reported() {
        let citations = [citation("E4", Role::Proves, "t")];
        assert_eq!(
            findings(&table(&["E4"], &citations), &citations),
            ["E4 is marked done, but no code cites it"]
        );
    }

    #[test]
    fn unknown_id_in_the_source_is_reported_with_its_place() {
        let citations = [citation("E9", Role::Implements, "f")];
        assert_eq!(
            findings(&table(&[], &citations), &citations),
            ["a/src/lib.rs:7: cites \"E9\", which is no rule id"]
        );
    }

    #[test]
    fn missing_and_doubled_rows_are_reported() {
        let text = table(&[], &[]).replace("| C1 |", "| C2 |");
        assert_eq!(
            findings(&text, &[]),
            [
                "C1 is missing from the table",
                "C2 stands in the table twice"
            ]
        );
    }

    #[test]
    fn other_states_are_reported() {
        let text = table(&["M1"], &[]).replace("done", "opened");
        assert_eq!(
            findings(&text, &[]),
            ["M1: state \"opened\" is neither `done` nor `open`"]
        );
    }

    #[test]
    fn stale_places_are_reported_until_written() {
        let citations = [citation("E4", Role::Implements, "finish")];
        let stale = table(&[], &[]);
        let asked = ["the places are not those of the source; run: cargo xtask ledger --write"];
        assert_eq!(findings(&stale, &citations), asked);
        assert_eq!(findings(&filled(&stale, &citations), &citations), [""; 0]);
    }

    #[test]
    fn writing_keeps_rule_state_and_all_other_lines() {
        let text = "# Head\n\n| E4 | refuse | old | old | open: issue 9 |\n\ntail\n";
        let citations = [
            citation("E4", Role::Implements, "finish"),
            citation("E4", Role::Proves, "t"),
        ];
        let expected = "# Head\n\n| E4 | refuse | `a/src/lib.rs` | `a/tests/t.rs`: `t` | open: issue 9 |\n\ntail\n";
        assert_eq!(filled(text, &citations), expected);
        assert_eq!(filled(expected, &citations), expected);
    }

    #[test]
    fn long_lists_of_tests_are_cut() {
        let citations: Vec<Citation> = ["a", "b", "c", "d", "e"]
            .map(|name| citation("M1", Role::Proves, name))
            .into();
        assert_eq!(
            places(&citations, "M1", Role::Proves),
            "`a/tests/t.rs`: `a`, `b`, `c` and 2 more"
        );
    }
}
