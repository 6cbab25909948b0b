//! Formatting, lints, and the compiler version we promise.

use std::process::Command;

use tsq_matrix::STACKS;
use tsq_workbench::process::{Failure, capture, cargo, run};
use tsq_workbench::workspace::{Package, Workspace};

pub(crate) fn fmt(workspace: &Workspace) -> Result<(), Failure> {
    for folder in [&workspace.root, &workspace.root.join(STACKS)] {
        run(cargo(folder).args(["fmt", "--all", "--check"]))?;
    }
    Ok(())
}

pub(crate) fn clippy(workspace: &Workspace) -> Result<(), Failure> {
    run(cargo(&workspace.root).args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

/// The declared `rust-version` must be met by the compiler in use and must cover every dependency's own.
pub(crate) fn msrv(workspace: &Workspace) -> Result<(), Failure> {
    let rustc = capture(
        Command::new("rustc")
            .arg("--version")
            .current_dir(&workspace.root),
    )?;
    let ours = declared(workspace)?;
    let running = rustc.split_whitespace().nth(1).and_then(Version::parse);
    let running = running.ok_or_else(|| Failure::new(format!("no version in {rustc:?}")))?;
    println!("declared {ours}; building with {running} (CI builds with the declared version)");
    if running < ours {
        return Err(Failure::new(format!(
            "this compiler is older than the declared {ours}; rustup update"
        )));
    }
    let too_new: Vec<String> = workspace
        .packages
        .iter()
        .filter(|package| needs_newer(package, ours))
        .map(describe)
        .collect();
    Failure::unless_empty(
        "dependencies that need a newer compiler than declared",
        &too_new,
    )
}

/// The one version all our packages declare.
fn declared(workspace: &Workspace) -> Result<Version, Failure> {
    let mut common = None;
    for package in workspace.ours() {
        let version = package.rust_version.as_deref().and_then(Version::parse);
        let version = version
            .ok_or_else(|| Failure::new(format!("{} declares no rust-version", package.name)))?;
        if *common.get_or_insert(version) != version {
            return Err(Failure::new(format!(
                "{} declares another rust-version than the others",
                package.name
            )));
        }
    }
    common.ok_or_else(|| Failure::new("the workspace has no packages"))
}

fn needs_newer(package: &Package, ours: Version) -> bool {
    package
        .rust_version
        .as_deref()
        .and_then(Version::parse)
        .is_some_and(|needed| needed > ours)
}

fn describe(package: &Package) -> String {
    format!(
        "{} {} needs {}",
        package.name,
        package.version,
        package.rust_version.as_deref().unwrap_or_default()
    )
}

/// A compiler version; a missing patch number is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        // A nightly or beta compiler has a suffix: 1.96.0-nightly.
        let text = text.split_once('-').map_or(text, |(numbers, _)| numbers);
        let mut numbers = text.split('.').map(str::parse);
        let version = Self {
            major: numbers.next()?.ok()?,
            minor: numbers.next().unwrap_or(Ok(0)).ok()?,
            patch: numbers.next().unwrap_or(Ok(0)).ok()?,
        };
        numbers.next().is_none().then_some(version)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(Version::parse("1.9") < Version::parse("1.70.0"));
        assert_eq!(Version::parse("1.95"), Version::parse("1.95.0"));
        assert_eq!(Version::parse("1.96.0-nightly"), Version::parse("1.96"));
    }

    #[test]
    fn nonsense_is_no_version() {
        assert_eq!(Version::parse("stable"), None);
        assert_eq!(Version::parse("1.2.3.4"), None);
    }
}
