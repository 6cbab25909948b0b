//! What the test steps need on a machine. Installs what is missing where it can, says what it does, and names the
//! way out where it cannot.

use std::path::Path;
use std::process::Command;

use crate::chrony;
use crate::interop;
use crate::process::{Failure, cargo, run, succeeds};
use crate::workspace::Workspace;

/// The version the project's `deny.toml` was written for.
const CARGO_DENY: &str = "0.20.2";

/// A Debian package and how to see that what we want of it is there.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) why: &'static str,
    pub(crate) probe: &'static [&'static str],
}

const PACKAGES: [Package; 3] = [
    Package {
        name: "faketime",
        why: "end-to-end tests with a wrong clock",
        probe: &["faketime", "--version"],
    },
    Package {
        name: "iproute2",
        why: "offset benchmarks over a veth pair",
        probe: &["ip", "-V"],
    },
    Package {
        name: "python3-venv",
        why: "the independent peers in interop/",
        probe: &["python3", "-c", "import venv, ensurepip"],
    },
];

/// Makes every tool available or fails with the command that would.
pub(crate) fn ready(workspace: &Workspace) -> Result<(), Failure> {
    components(&workspace.root)?;
    install_missing(&PACKAGES)?;
    install_missing(&interop::PACKAGES)?;
    install_missing(&interop::C_PACKAGES)?;
    chrony::ready(workspace)?;
    cargo_deny(&workspace.root)?;
    if !has_nextest(&workspace.root) {
        println!("cargo-nextest is not here; cargo test is used (the same tests, slower)");
    }
    python_peers(&workspace.root)
}

/// nextest runs the test executables side by side; optional.
pub(crate) fn has_nextest(root: &Path) -> bool {
    succeeds(cargo(root).args(["nextest", "--version"]))
}

fn components(root: &Path) -> Result<(), Failure> {
    for (component, tool) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if !succeeds(cargo(root).args([tool, "--version"])) {
            println!("installing {component}");
            run(Command::new("rustup").args(["component", "add", component]))?;
        }
    }
    Ok(())
}

/// Installs those of `packages` that are not here, or fails with the command that would.
pub(crate) fn install_missing(packages: &[Package]) -> Result<(), Failure> {
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

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) fn can_install() -> bool {
    is_root() && succeeds(Command::new("apt-get").arg("--version"))
}

pub(crate) fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .arg("--quiet")
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn cargo_deny(root: &Path) -> Result<(), Failure> {
    if succeeds(cargo(root).args(["deny", "--version"])) {
        return Ok(());
    }
    println!("installing cargo-deny {CARGO_DENY} (built from source, some minutes)");
    // Measured on two cores: 41 s to build instead of 121 s, for 0.65 s instead of 0.33 s per run.
    let unoptimised = ["--profile", "dev"];
    run(cargo(root)
        .args(["install", "cargo-deny", "--locked", "--version", CARGO_DENY])
        .args(unoptimised)
        .env("CARGO_PROFILE_DEV_DEBUG", "0"))
}

/// `interop/setup.sh` makes the Python environment and does nothing when it is up to date.
fn python_peers(root: &Path) -> Result<(), Failure> {
    let setup = root.join("interop/setup.sh");
    if !setup.exists() {
        return Ok(());
    }
    println!("interop/setup.sh: Python environment of the independent peers");
    run(Command::new("bash").arg(setup))
}
