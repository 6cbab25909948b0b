//! Debian's packages, unpacked and not installed: to install a daemon would start it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Failure, run, succeeds};
use crate::tools::{apt_get, can_install};

/// Unpacks the packages into `folder`; what they depend on is not looked at.
pub(crate) fn unpack(packages: &[&str], folder: &Path) -> Result<(), Failure> {
    let downloads = fresh(&folder.join("downloads"))?;
    let mut download = apt_get();
    download
        .arg("download")
        .args(packages)
        .current_dir(&downloads);
    if !succeeds(&mut download) {
        if can_install() {
            run(apt_get().arg("update"))?;
        }
        run(&mut download)?;
    }
    for package in files(&downloads, "deb") {
        run(Command::new("dpkg-deb").arg("-x").arg(package).arg(folder))?;
    }
    remove(&downloads)
}

/// Unpacks the original source of a package into a folder below `folder`, from where the machine's packages come from.
pub(crate) fn source(package: &str, folder: &Path) -> Result<PathBuf, Failure> {
    let downloads = fresh(&folder.join("downloads"))?;
    // The lists of sources are not everybody's to have: they stay in this folder.
    let lists = folder.join("lists");
    make(&lists.join("partial"))?;
    let list = folder.join("source.sources");
    write(&list, &sources()?)?;
    let option = |name: &str, path: &Path| format!("-oDir::{name}={}", path.display());
    let apt = |words: &[&str]| {
        let mut command = apt_get();
        command
            .args([
                option("Etc::SourceList", &list),
                option("Etc::SourceParts", &folder.join("none")),
                option("State::Lists", &lists),
            ])
            .args(words)
            .current_dir(&downloads);
        run(&mut command)
    };
    apt(&["update"])?;
    apt(&["source", "--download-only", package])?;
    let archive = files(&downloads, "bz2")
        .chain(files(&downloads, "xz"))
        .chain(files(&downloads, "gz"))
        .find(|path| path.to_string_lossy().contains(".orig."))
        .ok_or_else(|| Failure::new(format!("the source of {package} has no original archive")))?;
    let unpacked = fresh(&folder.join(package))?;
    run(Command::new("tar")
        .args(["--extract", "--strip-components", "1", "--file"])
        .arg(archive)
        .arg("--directory")
        .arg(&unpacked))?;
    for done in [downloads, lists] {
        remove(&done)?;
    }
    Ok(unpacked)
}

/// The machine's own list with sources in place of packages.
fn sources() -> Result<String, Failure> {
    let file = "/etc/apt/sources.list.d/debian.sources";
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::new(format!("cannot read {file}: {error}")))?;
    Ok(of_sources(&text))
}

fn of_sources(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix("Types:") {
        Some(_) => "Types: deb-src\n".to_owned(),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

fn files(folder: &Path, end: &str) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(move |path| path.extension().is_some_and(|found| found == end))
}

fn fresh(folder: &Path) -> Result<PathBuf, Failure> {
    if folder.exists() {
        remove(folder)?;
    }
    make(folder)?;
    Ok(folder.to_owned())
}

fn make(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder)
        .map_err(|error| Failure::new(format!("cannot make {}: {error}", folder.display())))
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    fs::write(file, text)
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))
}

fn remove(folder: &Path) -> Result<(), Failure> {
    fs::remove_dir_all(folder)
        .map_err(|error| Failure::new(format!("cannot remove {}: {error}", folder.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_of_sources_keeps_place_and_signature() {
        let text = "Types: deb\nURIs: x\nSigned-By: y\n\nTypes: deb deb-src\nURIs: z\n";
        assert_eq!(
            of_sources(text),
            "Types: deb-src\nURIs: x\nSigned-By: y\n\nTypes: deb-src\nURIs: z\n"
        );
    }
}
