//! Everything that people read, made from the results alone: `RESULTS.md`, a plot for each figure worth one, one page,
//! and the short table in the README.
//!
//! No template engine and no plotting library: most of a page is tables whose columns the results name, and a plot is
//! a few lines of SVG. Equal results give equal files, so that a test can compare them.

mod losses;
mod markdown;
mod number;
mod page;
mod plot;
mod readme;
mod text;
mod verdict;
mod xml;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::Error;
use crate::results::{Measured, Results};
use crate::section::Figure;

pub use readme::in_readme;
pub use text::short_verdicts;
pub(crate) use text::text;

/// Makes everything from the results in `file`: files in `folder`, and the table between the marks of `readme`.
///
/// # Errors
/// A file cannot be read or written, or the README has no marks.
pub fn files(file: &Path, folder: &Path, readme: Option<&Path>) -> Result<(), Error> {
    let results = Results::read(file)?;
    let plots = folder.join(PLOTS);
    fs::create_dir_all(&plots).map_err(|error| format!("making {}: {error}", plots.display()))?;
    let documents = documents(&results);
    for (name, text) in &documents {
        write(&folder.join(name), text)?;
    }
    for entry in fs::read_dir(&plots)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_plot = path.extension().is_some_and(|end| end == "svg");
        // Of a figure that is measured no more.
        if is_plot && !documents.contains_key(&format!("{PLOTS}/{name}")) {
            fs::remove_file(&path)?;
        }
    }
    if let Some(readme) = readme {
        let before = fs::read_to_string(readme)
            .map_err(|error| format!("reading {}: {error}", readme.display()))?;
        write(readme, &in_readme(&before, &results)?)?;
    }
    Ok(())
}

/// Every file by its path in the folder of the results.
#[must_use]
pub fn documents(results: &Results) -> BTreeMap<String, String> {
    let mut documents = BTreeMap::from([
        ("RESULTS.md".into(), markdown::document(results)),
        ("results.html".into(), page::page(results)),
    ]);
    for measured in &results.sections {
        for figure in plotted(measured) {
            let plot = plot::standalone(&measured.section, figure);
            documents.insert(plot_path(measured, figure), plot);
        }
    }
    documents
}

/// Where plots are, in the folder of the results.
const PLOTS: &str = "plots";

fn plot_path(measured: &Measured, figure: &Figure) -> String {
    format!("{PLOTS}/{}-{}.svg", measured.section.id, figure.key)
}

/// The figures worth a plot that have a number at all.
fn plotted(measured: &Measured) -> impl Iterator<Item = &Figure> {
    let section = &measured.section;
    let has_number = |figure: &&Figure| {
        let mut cells = section
            .rows
            .iter()
            .filter_map(|row| row.cells.get(&figure.key));
        cells.any(|cell| cell.value().is_some())
    };
    section
        .figures
        .iter()
        .filter(|figure| figure.plot)
        .filter(has_number)
}

fn write(file: &Path, text: &str) -> Result<(), Error> {
    fs::write(file, text).map_err(|error| format!("writing {}: {error}", file.display()).into())
}

/// Every program with its version, in one line.
fn programs(results: &Results) -> String {
    let programs = results.programs.iter();
    let programs = programs.map(|(name, says)| format!("{name} {}", version(says)));
    programs.collect::<Vec<_>>().join(", ")
}

/// `4.3` of `chronyd (chrony) version 4.3 (+CMDMON)`; all that it says where none of it looks like a version.
fn version(says: &str) -> &str {
    let is_part = |c: char| !c.is_ascii_alphanumeric();
    let words = says
        .split_whitespace()
        .map(|word| word.trim_matches(is_part));
    let words = words.map(|word| word.strip_prefix('v').unwrap_or(word));
    let mut versions =
        words.filter(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'));
    versions.next().unwrap_or(says)
}

/// What the run knows of a section, in one line: when, how long, how busy.
fn circumstances(measured: &Measured) -> String {
    let load = |load: Option<f64>| load.map_or("unknown".into(), |load| format!("{load:.2}"));
    let mut parts = vec![
        format!("Measured {}", measured.begun),
        format!("in {:.0} s", measured.seconds),
    ];
    if measured.quick {
        parts.push("quick run, few rounds".into());
    }
    if let Some(commit) = &measured.commit {
        parts.push(format!("commit {commit}"));
    }
    parts.push(format!(
        "load average {} before and {} after",
        load(measured.load_before),
        load(measured.load_after)
    ));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_found_in_what_a_program_says() {
        let cases = [
            ("chronyd (chrony) version 4.3 (+CMDMON +NTP)", "4.3"),
            (
                "BusyBox v1.35.0 (Debian 1:1.35.0-4+b9) multi-call binary.",
                "1.35.0",
            ),
            ("ntpd ntpsec-1.2.2", "ntpd ntpsec-1.2.2"),
            ("0.1.0", "0.1.0"),
            (
                "roughenough is not installed",
                "roughenough is not installed",
            ),
        ];
        for (says, expected) in cases {
            assert_eq!(version(says), expected);
        }
    }
}
