//! Debian's chrony, unpacked and not installed: installing it would start a daemon that sets the machine's clock and
//! remove the one that keeps it. The tests start it themselves, with `-x`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tsq_workbench::debian::unpack;
use tsq_workbench::debian::{apt_get, can_install};
use tsq_workbench::process::{Failure, run, succeeds};
use tsq_workbench::workspace::Workspace;

/// The chronyd that the tests use: the machine's, else the unpacked one.
pub(crate) fn program(workspace: &Workspace) -> PathBuf {
    let installed = ["/usr/sbin/chronyd", "/sbin/chronyd"].map(PathBuf::from);
    let unpacked = folder(workspace).join("usr/sbin/chronyd");
    installed
        .into_iter()
        .find(|path| path.is_file())
        .unwrap_or(unpacked)
}

/// Makes [`program`] one that starts, or fails with the command that would.
pub(crate) fn ready(workspace: &Workspace) -> Result<(), Failure> {
    let program = program(workspace);
    if starts(&program) {
        return Ok(());
    }
    println!(
        "missing: chrony (an independent NTP and NTS server for the tests); unpacking it, not installing"
    );
    let folder = folder(workspace);
    fs::create_dir_all(&folder)
        .map_err(|error| Failure::new(format!("cannot make {}: {error}", folder.display())))?;
    unpack(&["chrony"], &folder)?;
    if !starts(&program) && can_install() {
        run(apt_get()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(LIBRARIES))?;
    }
    if starts(&program) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "as root: apt-get install {}",
        LIBRARIES.join(" ")
    )))
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("tools/chrony")
}

fn starts(program: &Path) -> bool {
    succeeds(Command::new(program).arg("--version"))
}

/// What Debian's chronyd is linked with.
const LIBRARIES: [&str; 5] = [
    "libcap2",
    "libedit2",
    "libgnutls30",
    "libnettle8",
    "libseccomp2",
];
