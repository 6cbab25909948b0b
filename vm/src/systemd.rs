//! The shipped unit under a real systemd, in a virtual machine: this host's systemd as process 1 of a system that has
//! nothing but it, `tsq-server` and a script that judges.
//!
//! Not a step of the test: it takes a minute or two, and what it is about changes rarely.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::PACKAGES;
use super::linux::Linux;
use tsq_workbench::debian::{self, Package};
use tsq_workbench::process::{Failure, cargo, run as run_command, watch};
use tsq_workbench::workspace::Workspace;

/// Boots it; its console says what it finds.
pub fn run(workspace: &Workspace) -> Result<(), Failure> {
    debian::install_missing(&PACKAGES)?;
    debian::install_missing(&[Package {
        name: "systemd",
        why: "process 1 of the guest",
        probe: &["systemctl", "--version"],
    }])?;
    // A build for debugging has the fault that kills a thread.
    let programs = ["build", "-p", "tsq-server", "-p", "tsq-adjtime", "--bins"];
    run_command(cargo(&workspace.root).args(programs))?;
    let folder = workspace.target.join("vm");
    let failed = |what: &str, error| Failure::new(format!("{what}: {error}"));
    fs::create_dir_all(&folder).map_err(|error| failed("making a folder", error))?;
    let linux = Linux::ready(&folder)?;
    let image = pack(workspace, &folder)?;
    let (mut ok, mut wrong, mut done) = (0, 0, false);
    let mut qemu = Command::new("timeout");
    qemu.args(["600", "qemu-system-x86_64"])
        .args(MACHINE)
        .args(["-append", KERNEL, "-kernel"])
        .arg(&linux.image)
        .arg("-initrd")
        .arg(&image)
        .stdin(Stdio::null());
    watch(&mut qemu, |line| {
        let Some((_, found)) = line.split_once("judge ") else {
            return;
        };
        ok += usize::from(found.starts_with("ok "));
        wrong += usize::from(found.starts_with("WRONG "));
        done |= found.starts_with("done");
    })?;
    match (ok, wrong, done) {
        (FINDINGS, 0, true) => Ok(()),
        _ => Err(Failure::new(format!(
            "{ok} of {FINDINGS} findings are as expected, {wrong} are wrong"
        ))),
    }
}

fn pack(workspace: &Workspace, folder: &Path) -> Result<std::path::PathBuf, Failure> {
    let (root, init, image) = (
        folder.join("systemd-root"),
        folder.join("systemd-init"),
        folder.join("systemd.cpio.gz"),
    );
    run_command(
        Command::new("sh")
            .args(["-c", include_str!("systemd/root.sh"), "root.sh"])
            .arg(&root)
            .arg(workspace.target.join("debug"))
            .arg(workspace.root.join("packaging")),
    )?;
    let judge = root.join("judge.sh");
    fs::write(&judge, include_str!("systemd/judge.sh"))
        .map_err(|error| Failure::new(format!("writing {}: {error}", judge.display())))?;
    run_command(
        Command::new("sh")
            .args(["-c", PACK, "pack"])
            .args([&root, &init, &image]),
    )?;
    Ok(image)
}

/// The system goes into a file system that can be left: systemd makes others of it for its services, which the
/// kernel's first one does not allow.
const PACK: &str = r#"
set -e
rm -rf "$2"
mkdir -p "$2/bin" "$2/new" "$2/dev"
cp /usr/bin/busybox "$2/bin"
tar -C "$1" -cf "$2/root.tar" .
cat >"$2/init" <<'END'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs none /dev
/bin/busybox mount -t tmpfs -o size=900m none /new
/bin/busybox tar -C /new -xf /root.tar
exec /bin/busybox switch_root /new /lib/systemd/systemd
END
chmod +x "$2/init"
cd "$2"
find . | busybox cpio -o -H newc 2>/dev/null | gzip -1 >"$3"
"#;

/// Lines of the judge.
const FINDINGS: usize = 21;

const KERNEL: &str = "console=ttyS0 panic=-1 quiet loglevel=1 no_timer_check systemd.show_status=0";

const MACHINE: &[&str] = &[
    "-accel",
    "tcg",
    "-cpu",
    "max",
    "-m",
    "1800",
    "-nographic",
    "-no-reboot",
];
