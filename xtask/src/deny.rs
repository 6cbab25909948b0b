//! Licences, banned crates, sources and advisories of every dependency.

use std::time::Duration;

use crate::process::{Failure, cargo, run, succeeds_within};
use crate::workspace::Workspace;

/// Long enough to fetch the advisory database, short enough not to hold up a machine without a network.
const FETCH_LIMIT: Duration = Duration::from_secs(45);

pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    run(cargo(&workspace.root).args([
        "deny",
        "check",
        "--hide-inclusion-graph",
        "licenses",
        "bans",
        "sources",
    ]))?;
    if !succeeds_within(
        cargo(&workspace.root).args(["deny", "fetch", "db"]),
        FETCH_LIMIT,
    ) {
        println!("advisories: skipped, no network");
        return Ok(());
    }
    run(cargo(&workspace.root).args(["deny", "--offline", "check", "advisories"]))
}
