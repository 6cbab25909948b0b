//! Tables of Markdown files that promise tests: whoever follows a name there must find the test.
//!
//! A column headed `test` holds the names of test functions as code spans, or says in words why there is none. A cell
//! of it must not be empty, and a name must be that of a test in Rust, a check in Python, or a scenario of `cargo xtask vm`.

use std::collections::BTreeSet;

use tsq_workbench::files;
use tsq_workbench::process::Failure;
use tsq_workbench::workspace::Workspace;

/// Checks every such table of the project.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let known = known_tests(workspace)?;
    let (mut findings, mut names) = (Vec::new(), 0);
    for file in files::with_extension(&workspace.root, &["md"])? {
        let shown = workspace.relative(&file).display().to_string();
        for cell in test_cells(&files::read(&file)?) {
            names += code_spans(&cell.text).len();
            findings.extend(
                cell.faults(&known)
                    .into_iter()
                    .map(|fault| format!("{shown}:{}: {fault}", cell.line)),
            );
        }
    }
    println!("{names} tests named in tables, {} tests", known.len());
    Failure::unless_empty("tables of tests", &findings)
}

/// One row's cell in a column headed `test`.
struct Cell {
    line: usize,
    text: String,
}

impl Cell {
    fn faults(&self, known: &BTreeSet<String>) -> Vec<String> {
        if self.text.is_empty() {
            return vec!["neither a test nor the reason for there being none".into()];
        }
        code_spans(&self.text)
            .into_iter()
            .filter(|name| !known.contains(*name))
            .map(|name| format!("there is no test `{name}`"))
            .collect()
    }
}

fn test_cells(markdown: &str) -> Vec<Cell> {
    let mut column = None;
    let mut found = Vec::new();
    for (index, line) in markdown.lines().enumerate() {
        let Some(cells) = table_row(line) else {
            column = None;
            continue;
        };
        match column {
            None => column = Some(cells.iter().position(|cell| *cell == "test")),
            Some(Some(column)) if !is_rule(&cells) => found.push(Cell {
                line: index + 1,
                text: cells.get(column).copied().unwrap_or_default().to_owned(),
            }),
            Some(_) => {}
        }
    }
    found
}

/// The cells of a line that is a row of a table. A bar within a code span ends no cell when it is escaped.
fn table_row(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let mut cells = Vec::new();
    let mut start = 0;
    for (at, _) in inner.match_indices('|') {
        if !inner[..at].ends_with('\\') {
            cells.push(inner[start..at].trim());
            start = at + 1;
        }
    }
    cells.push(inner[start..].trim());
    Some(cells)
}

/// The line between a table's head and its rows.
fn is_rule(cells: &[&str]) -> bool {
    cells
        .iter()
        .all(|cell| cell.chars().all(|c| matches!(c, '-' | ':')))
}

fn code_spans(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn known_tests(workspace: &Workspace) -> Result<BTreeSet<String>, Failure> {
    let mut known = BTreeSet::new();
    for file in files::with_extension(&workspace.root, &["rs"])? {
        known.extend(rust_tests(&files::read(&file)?));
    }
    for file in files::with_extension(&workspace.root, &["py"])? {
        known.extend(python_checks(&files::read(&file)?));
    }
    for file in files::with_extension(&workspace.root.join("vm/src"), &["rs"])? {
        known.extend(scenarios(&files::read(&file)?));
    }
    Ok(known)
}

/// The names of what is tried in virtual machines, which are sentences.
fn scenarios(source: &str) -> Vec<String> {
    source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("name: \"")?.strip_suffix("\","))
        .map(str::to_owned)
        .collect()
}

/// Functions after `#[test]`, with other attributes between or not.
fn rust_tests(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line == "#[test]" {
            is_test = true;
        } else if is_test && !line.starts_with('#') && line.contains("fn ") {
            names.extend(name_after(line, "fn "));
            is_test = false;
        }
    }
    names
}

fn python_checks(source: &str) -> Vec<String> {
    source
        .lines()
        .filter(|line| line.starts_with("def "))
        .filter_map(|line| name_after(line, "def "))
        .collect()
}

fn name_after(line: &str, keyword: &str) -> Option<String> {
    let (_, rest) = line.split_once(keyword)?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some(rest[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(markdown: &str) -> Vec<String> {
        let known = BTreeSet::from(["late_answer_is_refused".to_owned()]);
        let cells = test_cells(markdown);
        cells.iter().flat_map(|cell| cell.faults(&known)).collect()
    }

    #[test]
    fn named_test_that_is_there_and_a_reason_in_words_are_good() {
        let table = "| what | test |\n|---|---|\n| a | `late_answer_is_refused` |\n| b | none: needs a radio clock |\n";
        assert_eq!(test_cells(table).len(), 2);
        assert_eq!(faults(table), Vec::<String>::new());
    }

    #[test]
    fn missing_test_and_empty_cell_are_found() {
        let table = "| what | test |\n|---|---|\n| a | `late_answer_is_refused`, `no_such` |\n| a \\| b | |\n";
        assert_eq!(
            faults(table),
            [
                "there is no test `no_such`",
                "neither a test nor the reason for there being none"
            ]
        );
    }

    #[test]
    fn other_columns_and_tables_promise_nothing() {
        assert_eq!(
            faults("| test it | what |\n|---|---|\n| `x` | `y` |\n"),
            Vec::<String>::new()
        );
        assert_eq!(
            faults("| what |\n|---|\n| `x` |\n\n| what | test |\n|---|---|\n"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn tests_are_known_by_their_attribute_in_rust_and_their_name_in_python() {
        let source =
            "#[test]\n#[ignore]\nfn one() {}\nfn two() {}\n    #[test]\n    fn three() {\n";
        assert_eq!(rust_tests(source), ["one", "three"]);
        assert_eq!(scenarios("    name: \"17 h behind\",\n"), ["17 h behind"]);
        assert_eq!(
            python_checks("def check(x):\n    def inner():\n"),
            ["check"]
        );
    }
}
