//! Documentation: rustdoc without warnings, and Markdown whose links lead somewhere.

use crate::files;
use crate::links;
use crate::process::{Failure, cargo, run};
use crate::workspace::Workspace;

pub(crate) fn build(workspace: &Workspace) -> Result<(), Failure> {
    run(cargo(&workspace.root)
        .args(["doc", "--no-deps", "--workspace"])
        .env("RUSTDOCFLAGS", "-D warnings"))
}

/// Checks links within the project only; nothing is fetched.
pub(crate) fn links(workspace: &Workspace) -> Result<(), Failure> {
    let files = files::with_extension(&workspace.root, &["md"])?;
    let findings = links::broken(&workspace.root, &files)?;
    println!("{} files", files.len());
    Failure::unless_empty("broken links", &findings)
}
