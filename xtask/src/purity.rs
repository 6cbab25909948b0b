//! Promises about whole crates, checked where they are written: `tsq-proto` cannot reach a clock or a socket, cores reach
//! none by themselves, libraries name no option, and `unsafe` stays in the two crates that talk to the kernel.

use crate::cores;
use crate::flags;
use tsq_workbench::files;
use tsq_workbench::process::Failure;
use tsq_workbench::workspace::{Package, Target, Workspace};

/// The crates whose system-call modules may hold `unsafe`.
const MAY_BE_UNSAFE: [&str; 2] = ["tsq-clock", "tsq-net"];

/// The crate without `std` and without dependencies.
const PURE: &str = "tsq-proto";

pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let mut findings = no_std(workspace)?;
    findings.extend(cores::findings(workspace)?);
    findings.extend(flags::findings(workspace)?);
    for package in workspace
        .ours()
        .filter(|package| !MAY_BE_UNSAFE.contains(&package.name.as_str()))
    {
        for target in package
            .targets
            .iter()
            .filter(|target| is_shipped_or_run(target))
        {
            if !has_line(&files::read(&target.root_file)?, "#![forbid(unsafe_code)]") {
                let file = workspace.relative(&target.root_file).display();
                findings.push(format!("{file}: no #![forbid(unsafe_code)]"));
            }
        }
    }
    Failure::unless_empty("promises of crates", &findings)
}

/// Test crates may need `unsafe`, for example to count allocations.
fn is_shipped_or_run(target: &Target) -> bool {
    !matches!(target.kind.as_str(), "test" | "bench")
}

fn no_std(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let package = workspace.ours().find(|package| package.name == PURE);
    let package = package.ok_or_else(|| Failure::new(format!("package {PURE} is gone")))?;
    let source = library_source(package)?;
    let mut findings: Vec<String> = package
        .dependencies
        .iter()
        .map(|name| format!("{PURE} depends on {name}; it may depend on nothing"))
        .collect();
    if !has_line(&source, "#![no_std]") {
        findings.push(format!("{PURE}: lib.rs is not #![no_std]"));
    }
    if links_std_outside_tests(&source) {
        findings.push(format!(
            "{PURE}: lib.rs links std or alloc outside #[cfg(test)]"
        ));
    }
    Ok(findings)
}

fn library_source(package: &Package) -> Result<String, Failure> {
    let library = package.targets.iter().find(|target| target.kind == "lib");
    let library =
        library.ok_or_else(|| Failure::new(format!("{} has no library", package.name)))?;
    files::read(&library.root_file)
}

/// Only the crate root can link them, so no other file needs a look.
fn links_std_outside_tests(source: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(index, line)| {
        let links = line.starts_with("extern crate std") || line.starts_with("extern crate alloc");
        let for_tests = index > 0 && lines[index - 1] == "#[cfg(test)]";
        links && !for_tests
    })
}

fn has_line(source: &str, wanted: &str) -> bool {
    source.lines().any(|line| line.trim_end() == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn std_may_be_linked_for_tests_only() {
        assert!(!links_std_outside_tests(
            "#![no_std]\n#[cfg(test)]\nextern crate std;\n"
        ));
        assert!(links_std_outside_tests("#![no_std]\nextern crate std;\n"));
        assert!(links_std_outside_tests("extern crate alloc as a;\n"));
    }

    #[test]
    fn attribute_in_a_comment_does_not_count() {
        assert!(!has_line("// #![no_std]\n", "#![no_std]"));
    }
}
