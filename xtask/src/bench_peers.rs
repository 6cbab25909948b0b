//! Our programs beside those of others: `tsq-bench all`, with everything it needs installed and built.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::chrony;
use crate::peers;
use tsq_workbench::debian::{self, Package};
use tsq_workbench::process::{Failure, cargo, run as run_command};
use tsq_workbench::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Three minutes instead of twenty, into the build folder: is every cell filled?
    #[arg(long)]
    quick: bool,
    /// Measure these sections and leave the others as they are
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    only: Vec<String>,
    /// Measure all but these sections
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    skip: Vec<String>,
    /// Measure nothing: make tables, plots and the page from benches/results.json
    #[arg(long, conflicts_with_all = ["quick", "only", "skip"])]
    render: bool,
    /// Measure nothing: only install the other programs, below the build folder
    #[arg(long, conflicts_with_all = ["quick", "only", "skip", "render"])]
    install_only: bool,
}

/// What the sections need besides the other projects' programs.
const PACKAGES: [Package; 2] = [
    Package {
        name: "iproute2",
        why: "network namespaces, in which every port is free",
        probe: &["ip", "-V"],
    },
    Package {
        name: "faketime",
        why: "clients whose clock is wrong by a year",
        probe: &["faketime", "--version"],
    },
];

/// Measures or renders; `tsq-bench` prints where the results are, and who wins.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<(), Failure> {
    if args.render {
        return render(workspace);
    }
    if args.install_only {
        println!("in {}", peers::ready(workspace).display());
        return Ok(());
    }
    if !debian::is_root() {
        return Err(Failure::new(WITHOUT_ROOT));
    }
    debian::install_missing(&PACKAGES)?;
    peers::ready(workspace);
    println!("building the programs as they are shipped (some minutes when anything changed)");
    let built = PROGRAMS.iter().flat_map(|package| ["-p", package]);
    let mut build = cargo(&workspace.root);
    build.args(["build", "--release"]).args(built);
    // What is measured is what is shipped, whatever the caller's environment says of profiles.
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"CARGO_PROFILE_") {
            build.env_remove(name);
        }
    }
    run_command(&mut build)?;
    Err(replace_with(&mut measure(workspace, args)))
}

const PROGRAMS: [&str; 5] = [
    "tsq-benches",
    "tsq-server",
    "tsq-adjtime",
    "tsq-certs",
    "tsq-perf",
];

const WITHOUT_ROOT: &str = "as root, please: every section with a program of another project is measured in network \
     namespaces, where port 123 is free, and takes from that program the right to set the clock. Without root \
     only our own server's start can be measured: cargo run --release -p tsq-benches -- start";

fn measure(workspace: &Workspace, args: &Args) -> Command {
    let programs = workspace.target.join("release");
    let mut command = Command::new(programs.join("tsq-bench"));
    command
        .arg("all")
        .current_dir(&workspace.root)
        .env("TSQ_BIN_DIR", &programs)
        .env("TSQ_CHRONYD", chrony::program(workspace))
        .env(peers::VARIABLE, peers::folder(workspace));
    if args.quick {
        // Too few rounds for the record.
        let folder = workspace.target.join("bench-peers");
        command.arg("--quick").arg("--out").arg(folder);
    } else {
        command.args(RECORD);
    }
    for (option, ids) in [("--only", &args.only), ("--skip", &args.skip)] {
        if !ids.is_empty() {
            command.args([option, &ids.join(",")]);
        }
    }
    command
}

/// What is committed.
const RECORD: [&str; 4] = ["--out", "benches", "--readme", "README.md"];

fn render(workspace: &Workspace) -> Result<(), Failure> {
    let results = Path::new("benches/results.json");
    run_command(
        cargo(&workspace.root)
            .args(["run", "--quiet", "-p", "tsq-benches", "--", "render"])
            .arg(results)
            .args(RECORD),
    )
}

/// In place of this process: a signal from the keyboard finds one program, which cleans up before it ends.
fn replace_with(command: &mut Command) -> Failure {
    let error = command.exec();
    let program = command.get_program().to_string_lossy();
    Failure::new(format!("cannot run {program}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn words(args: &Args) -> Vec<String> {
        let workspace = Workspace {
            root: PathBuf::from("/w"),
            target: PathBuf::from("/t"),
            packages: Vec::new(),
        };
        let command = measure(&workspace, args);
        let words = command.get_args().map(|word| word.to_string_lossy());
        words.map(String::from).collect()
    }

    fn args(quick: bool, only: &[&str]) -> Args {
        Args {
            quick,
            only: only.iter().map(ToString::to_string).collect(),
            skip: Vec::new(),
            render: false,
            install_only: false,
        }
    }

    #[test]
    fn quick_run_leaves_the_record_alone() {
        assert_eq!(
            words(&args(true, &[])),
            ["all", "--quick", "--out", "/t/bench-peers"]
        );
    }

    #[test]
    fn whole_run_writes_the_record() {
        let expected = "all --out benches --readme README.md --only start,server";
        assert_eq!(
            words(&args(false, &["start", "server"])).join(" "),
            expected
        );
    }
}
