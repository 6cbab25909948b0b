//! What a measurement prints.

use serde_json::{Value, json};

use tsq_perf::Table;

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
