//! A Linux kernel for the guest: Debian's cloud kernel, downloaded and unpacked but never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tsq_workbench::process::{Failure, capture, run};

/// An unpacked kernel package.
#[derive(Debug)]
pub(super) struct Linux {
    pub(super) image: PathBuf,
    root: PathBuf,
}

/// Depends on the newest kernel's package, whose name holds its version.
const NEWEST: &str = "linux-image-cloud-amd64";

impl Linux {
    /// The kernel below `folder`; downloads it the first time.
    pub(super) fn ready(folder: &Path) -> Result<Self, Failure> {
        let root = folder.join("linux");
        if Self::in_folder(&root).is_none() {
            unpack(&download(folder)?, &root)?;
        }
        Self::in_folder(&root)
            .ok_or_else(|| Failure::new(format!("no kernel below {}", root.display())))
    }

    fn in_folder(root: &Path) -> Option<Self> {
        let image = find(&root.join("boot"), &|name| name.starts_with("vmlinuz-"))?;
        let root = root.to_owned();
        Some(Self { image, root })
    }

    /// The file of a module, not compressed.
    pub(super) fn module(&self, name: &str) -> Result<PathBuf, Failure> {
        let wanted = format!("{name}.ko");
        find(&self.root, &|name| name == wanted)
            .ok_or_else(|| Failure::new(format!("the kernel package has no {wanted}")))
    }
}

fn download(folder: &Path) -> Result<PathBuf, Failure> {
    let depends = capture(Command::new("apt-cache").args(["depends", NEWEST]))?;
    let package = newest(&depends)
        .ok_or_else(|| Failure::new(format!("no package {NEWEST}; as root: apt-get update")))?;
    println!("downloading {package} (27 MB, not installed)");
    run(Command::new("apt-get")
        .args(["--quiet", "download", package])
        // Root's own folder is closed to the user that apt would download as.
        .args(["-o", "APT::Sandbox::User=root"])
        .current_dir(folder))?;
    let prefix = format!("{package}_");
    find(folder, &|name| name.starts_with(&prefix))
        .ok_or_else(|| Failure::new(format!("{package} was not downloaded")))
}

/// Unpacks beside `root` first: half a kernel would be taken for a whole one by the next run.
fn unpack(package: &Path, root: &Path) -> Result<(), Failure> {
    let part = root.with_extension("part");
    run(Command::new("dpkg").arg("-x").arg(package).arg(&part))?;
    fs::rename(&part, root)
        .and_then(|()| fs::remove_file(package))
        .map_err(|error| Failure::new(format!("keeping {}: {error}", root.display())))
}

fn newest(depends: &str) -> Option<&str> {
    let mut names = depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.find(|name| name.starts_with("linux-image-"))
}

/// The first file below `folder` whose name is `wanted`.
fn find(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder).ok()?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folders.push(entry.path());
        } else if entry.file_name().to_str().is_some_and(wanted) {
            return Some(entry.path());
        }
    }
    folders.iter().find_map(|folder| find(folder, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_kernel_is_what_the_package_depends_on() {
        let depends = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(newest(depends), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(newest("linux-image-cloud-amd64\n"), None);
    }

    #[test]
    fn kernel_and_its_modules_are_found_in_an_unpacked_package() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Linux::in_folder(folder.path()).is_none());
        for file in ["boot/vmlinuz-6", "lib/modules/6/net/failover.ko"] {
            let file = folder.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let linux = Linux::in_folder(folder.path()).unwrap();
        assert!(linux.image.ends_with("boot/vmlinuz-6"));
        assert!(linux.module("failover").unwrap().ends_with("failover.ko"));
        assert!(linux.module("over").is_err());
    }
}
