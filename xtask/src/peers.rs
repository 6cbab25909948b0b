//! The programs that the benchmarks measure beside ours, all below one folder; none is installed on the machine.
//!
//! What cannot be had is left out with its reason, and the benchmarks say so in its rows.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::chrony;
use tsq_workbench::debian::{apt_get, can_install};
use tsq_workbench::debian::{source, unpack};
use tsq_workbench::process::{Failure, cargo, run, succeeds};
use tsq_workbench::workspace::Workspace;

/// The variable by which `tsq-bench` is told the folder.
pub(crate) const VARIABLE: &str = "TSQ_BENCH_TOOLS";

/// Brings together what can be had, and returns the folder; what is there already is kept.
pub(crate) fn ready(workspace: &Workspace) -> PathBuf {
    let folder = folder(workspace);
    let peers: [(&str, Ready); 5] = [
        ("chrony", chronyd),
        ("NTPsec", ntpsec),
        ("busybox", busybox),
        ("ntpd-rs", |workspace, folder| {
            installed(workspace, folder, &NTPD_RS)
        }),
        ("roughenough", |workspace, folder| {
            installed(workspace, folder, &ROUGHENOUGH)
        }),
    ];
    for (name, ready) in peers {
        let outcome = fs::create_dir_all(folder.join("bin"))
            .map_err(|error| Failure::new(format!("cannot make {}: {error}", folder.display())))
            .and_then(|()| ready(workspace, &folder));
        if let Err(failure) = outcome {
            println!("left out: {name}: {failure}");
        }
    }
    folder
}

/// Where they are.
pub(crate) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("tools/peers")
}

type Ready = fn(&Workspace, &Path) -> Result<(), Failure>;

fn chronyd(workspace: &Workspace, folder: &Path) -> Result<(), Failure> {
    chrony::ready(workspace)?;
    link(&chrony::program(workspace), &folder.join("bin/chronyd"))
}

fn ntpsec(_: &Workspace, folder: &Path) -> Result<(), Failure> {
    let modules = folder.join("usr/lib/python3/dist-packages");
    let starts = || {
        let ntpdig = succeeds(
            Command::new("python3")
                .arg(folder.join("usr/bin/ntpdig"))
                .arg("--version")
                .env("PYTHONPATH", &modules)
                .env("PYTHONDONTWRITEBYTECODE", "1"),
        );
        ntpdig && succeeds(Command::new(folder.join("usr/sbin/ntpd")).arg("--version"))
    };
    if starts() {
        return Ok(());
    }
    println!("unpacking NTPsec, not installing");
    unpack(&NTPSEC, folder)?;
    // The module looks for its library beside itself first.
    let entries = fs::read_dir(folder.join("usr/lib")).into_iter().flatten();
    for library in entries.flatten().map(|e| e.path().join("ntp/libntpc.so")) {
        if library.is_file() {
            link(&library, &modules.join("ntp/libntpc.so"))?;
        }
    }
    if !starts() && can_install() {
        run(apt_get()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(NTPSEC_LIBRARIES))?;
    }
    match starts() {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "as root: apt-get install {}",
            NTPSEC_LIBRARIES.join(" ")
        ))),
    }
}

const NTPSEC: [&str; 4] = ["ntpsec", "ntpsec-ntpdig", "ntpsec-ntpdate", "python3-ntp"];
/// What Debian's are linked with.
const NTPSEC_LIBRARIES: [&str; 3] = ["libbsd0", "libcap2", "libssl3"];

/// Debian builds its busybox without ntpd, and so this one is built from Debian's source with nothing else in it.
fn busybox(_: &Workspace, folder: &Path) -> Result<(), Failure> {
    let program = folder.join("bin/busybox");
    if succeeds(&mut Command::new(&program)) {
        return Ok(());
    }
    println!("building busybox ntpd from Debian's source");
    let source = source("busybox", &folder.join("busybox"))?;
    let make = |words: &[&str]| {
        let mut command = Command::new("make");
        // It asks and answers a thousand questions.
        match succeeds(command.args(words).current_dir(&source)) {
            true => Ok(()),
            false => {
                let reason = format!("make {} failed (are gcc and make here?)", words.join(" "));
                Err(Failure::new(reason))
            }
        }
    };
    make(&["allnoconfig"])?;
    let file = source.join(".config");
    let text = fs::read_to_string(&file)
        .map_err(|error| Failure::new(format!("busybox's configuration: {error}")))?;
    fs::write(&file, with_ntpd(&text))
        .map_err(|error| Failure::new(format!("busybox's configuration: {error}")))?;
    // What the configuration does not answer is asked on standard input, which is empty: the defaults hold.
    make(&["oldconfig"])?;
    make(&["-j2"])?;
    fs::copy(source.join("busybox"), &program)
        .map_err(|error| Failure::new(format!("busybox was not built: {error}")))?;
    // Done with.
    let _ = fs::remove_dir_all(folder.join("busybox"));
    Ok(())
}

fn with_ntpd(configuration: &str) -> String {
    let option = |line: &str| {
        let wanted = ["BUSYBOX", "NTPD", "FEATURE_NTPD_SERVER"];
        let found = wanted
            .iter()
            .find(|name| line == format!("# CONFIG_{name} is not set"));
        found.map_or_else(|| format!("{line}\n"), |name| format!("CONFIG_{name}=y\n"))
    };
    configuration.lines().map(option).collect()
}

/// A package of crates.io.
struct Crate {
    name: &'static str,
    version: &'static str,
    /// One of its programs, which tells its version.
    program: &'static str,
}

const NTPD_RS: Crate = Crate {
    name: "ntpd",
    version: "1.9.0",
    program: "ntp-ctl",
};
const ROUGHENOUGH: Crate = Crate {
    name: "roughenough",
    version: "1.3.0-draft14",
    program: "roughenough-client",
};

fn installed(workspace: &Workspace, folder: &Path, wanted: &Crate) -> Result<(), Failure> {
    let Crate {
        name,
        version,
        program,
    } = wanted;
    let root = folder.join("cargo");
    let said = Command::new(root.join("bin").join(program))
        .arg("--version")
        .output();
    // ntp-ctl says it on standard error.
    let said = said.map(|said| [said.stdout, said.stderr].concat());
    if said.is_ok_and(|said| String::from_utf8_lossy(&said).contains(version)) {
        return Ok(());
    }
    println!("installing {name} {version} (built from source, some minutes)");
    let build = folder.join("build");
    run(cargo(&workspace.root)
        .args(["install", name, "--locked", "--force", "--version", version])
        .arg("--root")
        .arg(&root)
        .arg("--target-dir")
        .arg(&build))?;
    // Only of use to the next build of the same.
    let _ = fs::remove_dir_all(build);
    Ok(())
}

/// Makes `link` point at `program`, whatever it pointed at before.
fn link(program: &Path, link: &Path) -> Result<(), Failure> {
    // Fails where there is none.
    let _ = fs::remove_file(link);
    symlink(program, link)
        .map_err(|error| Failure::new(format!("cannot link {}: {error}", link.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busybox_is_built_with_its_ntp_server_and_little_else() {
        let text = "# CONFIG_BUSYBOX is not set\n# CONFIG_NTPD is not set\n\
                    # CONFIG_FEATURE_NTPD_SERVER is not set\n# CONFIG_FEATURE_NTPD_CONF is not set\n";
        assert_eq!(
            with_ntpd(text),
            "CONFIG_BUSYBOX=y\nCONFIG_NTPD=y\nCONFIG_FEATURE_NTPD_SERVER=y\n\
             # CONFIG_FEATURE_NTPD_CONF is not set\n"
        );
    }
}
