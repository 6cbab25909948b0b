//! Proves on a real kernel's clock, in a virtual machine, that `tsq-adjtime` sets a clock rightly.
//!
//! The machine's clock is put wrong, the command is run there against servers on this host, and the clock is judged by
//! the servers and by this host's own clock. This host's clock is read and never set.

#![forbid(unsafe_code)]

mod dated;
mod guarded;
mod guest;
mod image;
mod linux;
mod machines;
mod record;
mod scenario;
mod server;
pub mod systemd;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use self::dated::Dated;
use self::guest::Guest;
use self::image::Contents;
use self::linux::Linux;
use self::machines::{MACHINES, SLEWED};
use self::record::{Line, Record};
use self::scenario::{Machine, Scenario};
use self::server::Server;
use tsq_workbench::debian::{self, Package};
use tsq_workbench::process::{Failure, cargo, run as run_command};
use tsq_workbench::tally::Tally;
use tsq_workbench::workspace::Workspace;

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

/// A machine's time from power-on to its last verdict.
const LIMIT: Duration = Duration::from_secs(300);

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Runs every scenario on its machine and counts it as a test.
pub fn run(workspace: &Workspace, tally: &mut Tally) -> Result<(), Failure> {
    if std::env::consts::ARCH != "x86_64" {
        return Err(Failure::new(
            "the guest is an x86-64 machine and this host is not; cargo xtask test --skip vm",
        ));
    }
    debian::install_missing(&PACKAGES)?;
    let folder = workspace.target.join("vm");
    fs::create_dir_all(&folder)
        .map_err(|error| Failure::new(format!("making {}: {error}", folder.display())))?;
    let linux = Linux::ready(&folder)?;
    let programs = build(workspace, &folder)?;
    let server = |name| Server::start(&programs.join("tsq-server"), &folder.join(name), &[]);
    let servers = [server("server-1")?, server("server-2")?];
    let dated = Dated::start(&programs, &folder)?;
    let contents = Contents {
        program: &programs.join("tsq-adjtime"),
        authority: &dated.authority,
        script: &script(&servers, &dated),
    };
    let image = image::pack(&folder, &linux, &contents)?;
    let boot = |machine| Running::boot(machine, &linux, &image, &folder);
    let beside = boot(&SLEWED)?;
    let mut wrong = 0;
    for machine in &MACHINES {
        wrong += boot(machine)?.watch(tally)?;
    }
    wrong += beside.watch(tally)?;
    match wrong {
        0 => Ok(()),
        wrong => Err(Failure::new(format!(
            "{wrong} scenarios came out wrong; the guests' consoles are in {}",
            folder.display()
        ))),
    }
}

/// Static programs, for the guest has no libraries. The profile's own optimisation of the whole program would take
/// minutes and change nothing here.
fn build(workspace: &Workspace, folder: &Path) -> Result<PathBuf, Failure> {
    run_command(
        cargo(&workspace.root)
            .args(["build", "--release", "--target", TARGET, "--target-dir"])
            .arg(folder)
            .args([
                "-p",
                "tsq-adjtime",
                "-p",
                "tsq-server",
                "-p",
                "tsq-certs",
                "--bins",
            ])
            .env("RUSTFLAGS", "-C target-feature=+crt-static")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    )?;
    Ok(folder.join(TARGET).join("release"))
}

/// The guest's `/init`.
fn script(servers: &[Server], dated: &Dated) -> String {
    let mut words = vec!["--json --timeout 10000".to_owned()];
    words.extend(servers.iter().map(|server| format!("--pin {}", server.pin)));
    words.extend(
        servers
            .iter()
            .map(|server| format!("10.0.2.2:{}", server.port)),
    );
    let mut script = include_str!("guest.sh").to_owned();
    script += &format!("export SERVERS='{}'\n", words.join(" "));
    script += &format!("export DATED='{}'\n", dated.words());
    script += "case \"$machine\" in\n";
    script.extend(MACHINES.iter().chain([&SLEWED]).map(Machine::script));
    script + "esac\npoweroff -f\n"
}

/// A machine that was switched on.
struct Running {
    machine: &'static Machine,
    guest: Guest,
    /// By so many seconds, at power-on.
    ahead: i64,
    console: PathBuf,
}

impl Running {
    fn boot(
        machine: &'static Machine,
        linux: &Linux,
        image: &Path,
        folder: &Path,
    ) -> Result<Self, Failure> {
        let console = folder.join(format!("console-{}.log", machine.name));
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(|_| Failure::new("this host's clock is before 1970"))?;
        let now = now.as_secs().cast_signed();
        let shows = machine.battery.shows(now);
        let guest = Guest::boot(&linux.image, image, &console, shows, machine.name, LIMIT)?;
        Ok(Self {
            machine,
            guest,
            ahead: shows - now,
            console,
        })
    }

    /// Prints a line for each scenario as its end comes; returns how many came out wrong.
    fn watch(&self, tally: &mut Tally) -> Result<usize, Failure> {
        let mut wrong = 0;
        for scenario in self.machine.scenarios {
            let lines = self.guest.scenario().map_err(|failure| {
                let console = self.console.display();
                Failure::new(format!("{failure}; the guest's console is in {console}"))
            })?;
            let complaints = judged(scenario, &lines, self.ahead);
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
        Ok(wrong)
    }
}

/// Prints the scenario's numbers; returns what is wrong with them.
fn judged(scenario: &Scenario, lines: &[Line], ahead: i64) -> Vec<String> {
    match Record::of(lines) {
        Ok(record) => {
            println!("{}: {}", scenario.name, verdict::numbers(scenario, &record));
            verdict::complaints(scenario, &record, ahead)
        }
        Err(error) => {
            println!("{}: no numbers", scenario.name);
            vec![error]
        }
    }
}
