//! What the test steps need on a machine. Installs what is missing where it can, says what it does, and names the
//! way out where it cannot.

use std::path::Path;
use std::process::Command;

use tsq_workbench::debian::{Package, install_missing};
use tsq_workbench::process::{Failure, cargo, run, succeeds};
use tsq_workbench::workspace::Workspace;

use crate::chrony;

/// The version the project's `deny.toml` was written for.
const CARGO_DENY: &str = "0.20.2";

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
    install_missing(&tsq_matrix::PACKAGES)?;
    install_missing(&tsq_matrix::C_PACKAGES)?;
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
