//! What a measurement prints.

use std::fmt;

use serde_json::{Value, json};

use crate::Conditions;

/// The outcome of one sub-command: for people and for programs.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was measured, with its parameters.
    pub title: String,
    /// Under which conditions.
    pub conditions: Conditions,
    /// The figures for people.
    pub table: Table,
    /// What a reader must know to read them.
    pub notes: Vec<String>,
    /// The figures for programs.
    pub rows: Vec<Value>,
}

impl Report {
    /// Prints it to standard output.
    pub fn print(&self, json: bool) {
        if json {
            println!(
                "{}",
                json!({
                    "title": self.title,
                    "conditions": self.conditions.json(),
                    "notes": self.notes,
                    "rows": self.rows,
                })
            );
            return;
        }
        println!("{}\n{}\n\n{}", self.title, self.conditions, self.table);
        for note in &self.notes {
            println!("{note}");
        }
    }
}

/// Rows of text in aligned columns, as Markdown.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub fn new(headings: &[&str]) -> Self {
        Self {
            rows: vec![headings.iter().map(ToString::to_string).collect()],
        }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for (index, row) in self.rows.iter().enumerate() {
            for (column, width) in widths.iter().enumerate() {
                let cell = row.get(column).map_or("", String::as_str);
                match column {
                    0 => write!(f, "| {cell:<width$} |")?,
                    _ => write!(f, " {cell:>width$} |")?,
                }
            }
            writeln!(f)?;
            if index == 0 {
                for (column, width) in widths.iter().enumerate() {
                    match column {
                        0 => write!(f, "|{:-<1$}|", "", width + 2)?,
                        _ => write!(f, "{:-<1$}:|", "", width + 1)?,
                    }
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["what", "us"]);
        table.row(["a".into(), "12.5".into()]);
        assert_eq!(
            table.to_string(),
            "| what |   us |\n|------|-----:|\n| a    | 12.5 |\n"
        );
    }
}
