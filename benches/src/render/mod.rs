//! Everything that people read, made from the results alone: `RESULTS.md`, a plot for each figure worth one, one page,
//! and the short table in the README.
//!
//! No template engine and no plotting library: most of a page is tables whose columns the results name, and a plot is
//! a few lines of SVG. Equal results give equal files, so that a test can compare them.

mod circumstances;
mod losses;
mod markdown;
mod number;
mod page;
mod plot;
mod plotted;
mod readme;
mod table;
mod text;
mod verdict;
mod xml;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::Error;
use crate::results::Results;
use plotted::{PLOTS, plot_path, plotted};

pub use readme::in_readme;
pub use text::{print, short_verdicts};

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

fn write(file: &Path, text: &str) -> Result<(), Error> {
    fs::write(file, text).map_err(|error| format!("writing {}: {error}", file.display()).into())
}
