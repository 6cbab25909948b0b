//! Which figures have a plot, and where its file is.

use crate::results::Measured;
use crate::section::Figure;

/// Where plots are, in the folder of the results.
pub(super) const PLOTS: &str = "plots";

pub(super) fn plot_path(measured: &Measured, figure: &Figure) -> String {
    format!("{PLOTS}/{}-{}.svg", measured.section.id, figure.key)
}

/// The figures worth a plot that have a number at all.
pub(super) fn plotted(measured: &Measured) -> impl Iterator<Item = &Figure> {
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
