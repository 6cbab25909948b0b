//! How this program shows things.

use std::env;
use std::io::{IsTerminal, stdout};

use tsq_server::log::colours;
use tsq_sync::Spelling;
use tsq_view::View;
use tsq_view::findings::Place;

/// Settings are options here.
pub(crate) const OPTIONS: Spelling = Spelling("--");

/// On standard output.
pub(crate) fn view(verbose: bool) -> View {
    View {
        spelling: OPTIONS,
        colour: colours(
            stdout().is_terminal(),
            env::var_os("NO_COLOR").as_deref(),
            env::var_os("TERM").as_deref(),
        ),
        verbose,
    }
}

pub(crate) fn place() -> Place {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Place {
        program: "tsq-adjtime",
        version: env!("CARGO_PKG_VERSION"),
        kernel: format!("Linux {}", release.trim()),
    }
}
