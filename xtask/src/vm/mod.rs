//! Proves on a real kernel's clock, in a virtual machine, that `tsq-adjtime` sets a clock rightly.
//!
//! The machine's clock is put wrong, the command is run there against servers on this host, and the clock is judged by
//! the servers and by this host's own clock. This host's clock is read and never set.

mod guarded;
mod guest;
mod image;
mod linux;
mod record;
mod scenario;
mod server;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::guest::Guest;
use self::linux::Linux;
use self::record::{Line, Record};
use self::scenario::{BOOTED_BEHIND, SCENARIOS, Scenario};
use self::server::Server;
use crate::process::{Failure, cargo, run as run_command};
use crate::tally::Tally;
use crate::tools::{self, Package};
use crate::workspace::Workspace;

const PACKAGES: [Package; 2] = [
    Package {
        name: "qemu-system-x86",
        why: "a machine whose clock may be set",
        probe: &["qemu-system-x86_64", "--version"],
    },
    Package {
        name: "busybox-static",
        why: "the tools inside that machine",
        // There is a busybox that is not static, under the same name.
        probe: &["dpkg", "-s", "busybox-static"],
    },
];

/// The guest's time from power-on to the last verdict; 40 s on two idle cores.
const LIMIT: Duration = Duration::from_secs(120);

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Runs every scenario and counts it as a test.
pub(crate) fn run(workspace: &Workspace, tally: &mut Tally) -> Result<(), Failure> {
    if std::env::consts::ARCH != "x86_64" {
        return Err(Failure::new(
            "the guest is an x86-64 machine and this host is not; cargo xtask test --skip vm",
        ));
    }
    tools::install_missing(&PACKAGES)?;
    let folder = workspace.target.join("vm");
    fs::create_dir_all(&folder)
        .map_err(|error| Failure::new(format!("making {}: {error}", folder.display())))?;
    let linux = Linux::ready(&folder)?;
    let programs = build(workspace, &folder)?;
    let server = |name| Server::start(&programs.join("tsq-server"), &folder.join(name));
    let servers = [server("server-1")?, server("server-2")?];
    let program = programs.join("tsq-adjtime");
    let image = image::pack(&folder, &linux, &program, &script(&servers))?;
    let console = folder.join("console.log");
    let guest = Guest::boot(&linux.image, &image, &console, BOOTED_BEHIND, LIMIT)?;
    watch(&guest, tally).map_err(|failure| {
        let console = console.display();
        Failure::new(format!("{failure}; the guest's console is in {console}"))
    })
}

/// Static programs, for the guest has no libraries. The profile's own optimisation of the whole program would take
/// minutes and change nothing here.
fn build(workspace: &Workspace, folder: &Path) -> Result<PathBuf, Failure> {
    run_command(
        cargo(&workspace.root)
            .args(["build", "--release", "--target", TARGET, "--target-dir"])
            .arg(folder)
            .args(["-p", "tsq-adjtime", "-p", "tsq-server", "--bins"])
            .env("RUSTFLAGS", "-C target-feature=+crt-static")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    )?;
    Ok(folder.join(TARGET).join("release"))
}

/// The guest's `/init`.
fn script(servers: &[Server]) -> String {
    let mut words = vec!["--json --timeout 10000".to_owned()];
    words.extend(servers.iter().map(|server| format!("--pin {}", server.pin)));
    words.extend(
        servers
            .iter()
            .map(|server| format!("10.0.2.2:{}", server.port)),
    );
    let mut script = include_str!("guest.sh").to_owned();
    script += &format!("export SERVERS='{}'\n", words.join(" "));
    script.extend(SCENARIOS.iter().map(Scenario::script));
    script + "poweroff -f\n"
}

/// Prints a line for each scenario as its end comes.
fn watch(guest: &Guest, tally: &mut Tally) -> Result<(), Failure> {
    let mut wrong = 0;
    for scenario in &SCENARIOS {
        let complaints = judged(scenario, &guest.scenario()?);
        for complaint in &complaints {
            println!("    WRONG: {complaint}");
        }
        if complaints.is_empty() {
            tally.passed += 1;
        } else {
            tally.failed += 1;
            wrong += 1;
        }
    }
    match wrong {
        0 => Ok(()),
        wrong => Err(Failure::new(format!(
            "{wrong} of {} scenarios came out wrong",
            SCENARIOS.len()
        ))),
    }
}

/// Prints the scenario's numbers; returns what is wrong with them.
fn judged(scenario: &Scenario, lines: &[Line]) -> Vec<String> {
    match Record::of(lines) {
        Ok(record) => {
            println!("{}: {}", scenario.name, verdict::numbers(scenario, &record));
            verdict::complaints(scenario, &record)
        }
        Err(error) => {
            println!("{}: no numbers", scenario.name);
            vec![error]
        }
    }
}
