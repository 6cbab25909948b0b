//! Documentation: rustdoc without warnings, Markdown whose links lead somewhere, prose that can be seen at once.

use tsq_workbench::files;
use tsq_workbench::process::{Failure, cargo, run};
use tsq_workbench::workspace::Workspace;

use crate::links;
use crate::prose;

pub(crate) fn build(workspace: &Workspace) -> Result<(), Failure> {
    run(cargo(&workspace.root)
        .args(["doc", "--no-deps", "--workspace"])
        .env("RUSTDOCFLAGS", "-D warnings"))
}

/// Checks links within the project only, for nothing is fetched; and the form of the prose.
pub(crate) fn links(workspace: &Workspace) -> Result<(), Failure> {
    let files = files::with_extension(&workspace.root, &["md"])?;
    let findings = links::broken(&workspace.root, &files)?;
    println!("{} files", files.len());
    Failure::unless_empty("broken links", &findings)?;
    Failure::unless_empty("prose", &prose::faults(&workspace.root, &files)?)
}
