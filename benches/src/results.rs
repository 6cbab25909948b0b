//! The raw results of whole runs: one file, from which everything that people read is made.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;
use crate::section::Section;

/// What `results.json` holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The command of the run that wrote last.
    pub command: String,
    /// The version of every program that was measured, by its name.
    pub programs: BTreeMap<String, String>,
    /// In the order they are shown. A run of some sections leaves the others as they were.
    pub sections: Vec<Measured>,
}

/// A section, and what was around its measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// When it began, in UTC.
    pub begun: String,
    /// How long it took.
    pub seconds: f64,
    /// Made in a quick run: few rounds.
    pub quick: bool,
    /// The commit that was built, where the folder is a clone of the repository; "+" where files had changed.
    pub commit: Option<String>,
    /// Tasks that wanted to run in the minute before.
    pub load_before: Option<f64>,
    /// Tasks that wanted to run in its last minute: the measurement's own included.
    pub load_after: Option<f64>,
    /// Why there is nothing, where there is nothing.
    pub failure: Option<String>,
    /// The figures; no rows after a failure.
    pub section: Section,
}

impl Results {
    /// Reads a file that [`Self::write`] made.
    ///
    /// # Errors
    /// It cannot be read, or holds something else; the message names it.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let name = file.display();
        let text = fs::read_to_string(file).map_err(|error| format!("reading {name}: {error}"))?;
        serde_json::from_str(&text)
            .map_err(|error| format!("{name} is not from tsq-bench: {error}").into())
    }

    /// Writes it whole or not at all: a run that is killed leaves the last complete one.
    ///
    /// # Errors
    /// The file cannot be written; the message names it.
    pub fn write(&self, file: &Path) -> Result<(), Error> {
        let name = file.display();
        let text = by_line(&serde_json::to_value(self)?, 0) + "\n";
        let new = file.with_extension("json.new");
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, file))
            .map_err(|error| format!("writing {name}: {error}").into())
    }

    /// Puts a section in the place of an older one of the same id, else at the end.
    pub fn put(&mut self, measured: Measured) {
        let id = &measured.section.id;
        match self.sections.iter_mut().find(|old| old.section.id == *id) {
            Some(old) => *old = measured,
            None => self.sections.push(measured),
        }
    }

    /// Whether this section was measured, in this run or an earlier one.
    #[must_use]
    pub fn has_figures(&self, id: &str) -> bool {
        let mut all = self.sections.iter();
        all.any(|measured| measured.section.id == id && measured.failure.is_none())
    }

    /// Sorts the sections as `ids` has them and drops what it does not have: sections of an older program.
    pub fn in_order(&mut self, ids: &[&str]) {
        let place = |measured: &Measured| ids.iter().position(|id| *id == measured.section.id);
        self.sections.retain(|measured| place(measured).is_some());
        self.sections.sort_by_key(place);
    }
}

/// JSON with a line for each row: a change of one figure is a change of one line, and rounds do not fill pages.
fn by_line(value: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    let block = |open, lines: Vec<String>, close| {
        let lines = lines.join(&format!(",\n{indent}  "));
        format!("{open}\n{indent}  {lines}\n{indent}{close}")
    };
    match value {
        Value::Array(items) if depth < ROW && !items.is_empty() => {
            let lines = items.iter().map(|item| by_line(item, depth + 1));
            block('[', lines.collect(), ']')
        }
        Value::Object(fields) if depth < ROW && !fields.is_empty() => {
            let lines = fields.iter().map(|(key, value)| {
                format!(
                    "{}: {}",
                    Value::from(key.as_str()),
                    by_line(value, depth + 1)
                )
            });
            block('{', lines.collect(), '}')
        }
        _ => value.to_string(),
    }
}

/// How deep a row stands: in the results, their sections, one of these, its section, and the rows of that.
const ROW: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Conditions;
    use crate::section::{Better, Cell, Figure, Row};

    fn measured(id: &str, rows: Vec<Row>) -> Measured {
        Measured {
            begun: "2026-11-21 19:40 UTC".into(),
            seconds: 1.5,
            quick: true,
            commit: None,
            load_before: None,
            load_after: Some(0.5),
            failure: None,
            section: Section {
                id: id.into(),
                title: String::new(),
                question: String::new(),
                command: String::new(),
                conditions: Conditions::now(),
                figures: vec![Figure::new("a", "a", "ms", Better::Less)],
                rows,
                notes: Vec::new(),
            },
        }
    }

    #[test]
    fn results_survive_their_file_with_a_line_for_each_row() {
        let rows = (0..3).map(|n| {
            let row = Row::new("case", format!("subject {n}"), n == 0);
            row.with("a", Cell::of(1.0, [1.0, 2.0]))
        });
        let mut results = Results::default();
        results.put(measured("x", rows.collect()));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("results.json");
        results.write(&file).unwrap();
        assert_eq!(Results::read(&file).unwrap(), results);
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text.lines().filter(|l| l.contains("subject")).count(), 3);
    }

    #[test]
    fn figure_that_is_no_number_is_a_word_and_can_be_read_again() {
        let rows = vec![
            Row::new("case", "a", true).with("a", f64::NAN),
            Row::new("case", "b", true).with("a", Cell::of(1.0, [1.0, f64::INFINITY])),
        ];
        let mut results = Results::default();
        results.put(measured("x", rows));
        let text = serde_json::to_string(&results).unwrap();
        let again: Results = serde_json::from_str(&text).unwrap();
        let cell = |row: usize| &again.sections[0].section.rows[row].cells["a"];
        assert_eq!(*cell(0), Cell::from("no number"));
        assert_eq!(cell(1).rounds(), [1.0]);
    }

    #[test]
    fn section_measured_again_keeps_its_place() {
        let mut results = Results::default();
        for id in ["a", "b", "a"] {
            results.put(measured(id, Vec::new()));
        }
        let ids: Vec<&str> = results
            .sections
            .iter()
            .map(|m| m.section.id.as_str())
            .collect();
        assert_eq!(ids, ["a", "b"]);
    }

    #[test]
    fn another_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("results.json");
        fs::write(&file, "{}").unwrap();
        let error = Results::read(&file).unwrap_err().to_string();
        assert!(
            error.contains("results.json is not from tsq-bench"),
            "{error}"
        );
    }
}
