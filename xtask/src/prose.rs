//! What people edit in Markdown: no line too long to see at once, and every page of the book in its table of contents.

use std::path::{Path, PathBuf};

use tsq_workbench::files;
use tsq_workbench::process::Failure;

/// A line of prose ends here at the latest.
const COLUMNS: usize = 120;

/// What programs write, and what only grows at its end.
const WRITTEN: [&str; 4] = ["CHANGELOG.md", "HISTORY.md", "LEDGER.md", "RESULTS.md"];

const CONTENTS: &str = "docs/SUMMARY.md";

/// One line `file:line: reason` for each fault.
pub(crate) fn faults(root: &Path, files: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let contents = files::read(&root.join(CONTENTS))?;
    let mut findings = Vec::new();
    for file in files {
        let name = file
            .strip_prefix(root)
            .unwrap_or(file)
            .display()
            .to_string();
        if WRITTEN.iter().any(|written| file.ends_with(written)) {
            continue;
        }
        let too_long = too_long(&files::read(file)?);
        findings.extend(too_long.into_iter().map(|(line, columns)| {
            format!("{name}:{line}: {columns} columns, where {COLUMNS} are the most")
        }));
        let page = name.strip_prefix("docs/");
        if page.is_some_and(|page| name != CONTENTS && !contents.contains(&format!("({page})"))) {
            findings.push(format!("{name}: not in {CONTENTS}"));
        }
    }
    Ok(findings)
}

/// Numbers and lengths of lines that are too long; rows of tables and blocks of code cannot be cut.
fn too_long(text: &str) -> Vec<(usize, usize)> {
    let mut code = false;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        if start.starts_with("```") {
            code = !code;
        }
        let columns = line.chars().count();
        if !code && !start.starts_with('|') && columns > COLUMNS {
            found.push((index + 1, columns));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_prose_can_be_too_long() {
        let long = "x".repeat(COLUMNS + 1);
        let text = format!("fine\n{long}\n| {long} |\n```text\n{long}\n```\n  {long}\n");
        assert_eq!(too_long(&text), [(2, COLUMNS + 1), (7, COLUMNS + 3)]);
        // Letters and not bytes.
        assert_eq!(too_long(&"µ".repeat(COLUMNS)), []);
    }
}
