//! The guest's only file system, unpacked by its kernel into memory.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::linux::Linux;
use tsq_workbench::process::{Failure, run};

/// The network card and what it needs, in the order they are loaded.
const MODULES: [&str; 8] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
];

/// What goes into it beside the modules.
pub(super) struct Contents<'a> {
    pub(super) program: &'a Path,
    /// For `--ca`.
    pub(super) authority: &'a Path,
    /// The guest's `/init`.
    pub(super) script: &'a str,
}

/// Packs them with all they need; returns the archive.
pub(super) fn pack(
    folder: &Path,
    linux: &Linux,
    contents: &Contents<'_>,
) -> Result<PathBuf, Failure> {
    let modules: Vec<PathBuf> = MODULES
        .iter()
        .map(|name| linux.module(name))
        .collect::<Result<_, _>>()?;
    let (root, archive) = (folder.join("image"), folder.join("image.cpio"));
    lay_out(&root, &modules, contents)
        .map_err(|error| Failure::new(format!("laying out {}: {error}", root.display())))?;
    run(Command::new("sh")
        .args(["-c", "find . | busybox cpio -o -H newc -F \"$0\" 2>&1"])
        .arg(&archive)
        .current_dir(&root))?;
    Ok(archive)
}

fn lay_out(root: &Path, modules: &[PathBuf], contents: &Contents<'_>) -> io::Result<()> {
    match fs::remove_dir_all(root) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    for folder in ["bin", "dev", "etc", "modules", "proc", "sys"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::copy(BUSYBOX, root.join("bin/busybox"))?;
    fs::copy(contents.program, root.join("bin/tsq-adjtime"))?;
    fs::copy(contents.authority, root.join("etc/ca.pem"))?;
    for (index, module) in modules.iter().enumerate() {
        // In the order of loading for the shell's `*`.
        let name = format!("modules/{index}-{}.ko", MODULES[index]);
        fs::copy(module, root.join(name))?;
    }
    fs::write(root.join("etc/passwd"), PASSWD)?;
    let init = root.join("init");
    fs::write(&init, contents.script)?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))
}

/// Where the package busybox-static puts it.
const BUSYBOX: &str = "/usr/bin/busybox";

const PASSWD: &str = "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n";
