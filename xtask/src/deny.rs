//! Licences, banned crates, sources and advisories of every dependency.

use std::time::Duration;

use tsq_workbench::process::{Failure, cargo, run, succeeds_within};
use tsq_workbench::workspace::Workspace;

/// Long enough to fetch the advisory database, short enough not to hold up a machine without a network.
const FETCH_LIMIT: Duration = Duration::from_secs(45);

/// The workspaces of their own, each with a `deny.toml`: what they allow must not loosen what our programs allow.
const OTHERS: [&str; 2] = ["fuzz", "interop/stacks"];

pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let others = OTHERS.map(|folder| workspace.root.join(folder));
    let all = [&workspace.root].into_iter().chain(&others);
    for folder in all.clone() {
        run(cargo(folder).args([
            "deny",
            "check",
            "--hide-inclusion-graph",
            "licenses",
            "bans",
            "sources",
        ]))?;
    }
    if !succeeds_within(
        cargo(&workspace.root).args(["deny", "fetch", "db"]),
        FETCH_LIMIT,
    ) {
        println!("advisories: skipped, no network");
        return Ok(());
    }
    for folder in all {
        run(cargo(folder).args(["deny", "--offline", "check", "advisories"]))?;
    }
    Ok(())
}
