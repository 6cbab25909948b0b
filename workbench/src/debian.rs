//! Debian's packages: installed where they are missing, or unpacked only, as to install a daemon would start it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Failure, run, succeeds};

/// A Debian package and how to see that what we want of it is there.
pub struct Package {
    /// As Debian calls it.
    pub name: &'static str,
    /// What it is for.
    pub why: &'static str,
    /// A command that succeeds where it is.
    pub probe: &'static [&'static str],
}

/// Installs those of `packages` that are not here, or fails with the command that would.
pub fn install_missing(packages: &[Package]) -> Result<(), Failure> {
    let missing: Vec<&Package> = packages
        .iter()
        .filter(|p| !succeeds(Command::new(p.probe[0]).args(&p.probe[1..])))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    for package in &missing {
        println!("missing: {} ({})", package.name, package.why);
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    if !can_install() {
        return Err(Failure::new(format!(
            "as root: apt-get install {}",
            names.join(" ")
        )));
    }
    println!("installing {}", names.join(" "));
    run(apt_get().arg("update"))?;
    run(apt_get()
        .args(["install", "--yes", "--no-install-recommends"])
        .args(names))
}

/// Whether we run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether packages can be installed from here.
pub fn can_install() -> bool {
    is_root() && succeeds(Command::new("apt-get").arg("--version"))
}

/// `apt-get`, which asks nothing.
pub fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .arg("--quiet")
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Unpacks the packages into `folder`; what they depend on is not looked at.
pub fn unpack(packages: &[&str], folder: &Path) -> Result<(), Failure> {
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
pub fn source(package: &str, folder: &Path) -> Result<PathBuf, Failure> {
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
