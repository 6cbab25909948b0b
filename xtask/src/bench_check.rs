//! `cargo xtask bench-check`: counts the instructions of the hot paths and holds them against `benches/counts.json`.
//!
//! A count is the same on a busy machine as on an idle one, to less than a percent; a time is not. Callgrind counts
//! what happens inside one function of `tsq-counts`, which goes a path of `benches/hot-paths` so many times.

mod callgrind;
mod counts;

use callgrind::Program;
use counts::{Comparison, Counts};
use tsq_workbench::debian::{Package, install_missing};
use tsq_workbench::process::{Failure, capture, cargo, run};
use tsq_workbench::tally::Tally;
use tsq_workbench::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Record today's counts in benches/counts.json
    #[arg(long)]
    write: bool,
}

pub(crate) fn check(workspace: &Workspace, args: &Args) -> Result<(), Failure> {
    let now = count(workspace)?;
    let file = workspace.root.join(FILE);
    if args.write {
        now.write(&file)?;
        println!("{FILE}: {} paths recorded", now.instructions.len());
        return Ok(());
    }
    let recorded = Counts::read(&file)?;
    if let Some(difference) = now.on_another_processor(&recorded) {
        return Err(Failure::new(format!(
            "{difference}; these counts cannot be compared. Check out the commit to compare with, record it here \
             (cargo xtask bench-check --write), and come back"
        )));
    }
    judge(&recorded, &now)
}

/// The step of `cargo xtask test`: every benchmark once, so that none rots, and the counts where they can be compared.
pub(crate) fn step(workspace: &Workspace, _: &mut Tally) -> Result<(), Failure> {
    run(cargo(&workspace.root).args(["test", "--quiet", "-p", PACKAGE, "--bench", "*"]))?;
    let now = count(workspace)?;
    let recorded = Counts::read(&workspace.root.join(FILE))?;
    if let Some(difference) = now.on_another_processor(&recorded) {
        println!("counts are not compared: {difference}");
        return Ok(());
    }
    judge(&recorded, &now)
}

fn judge(recorded: &Counts, now: &Counts) -> Result<(), Failure> {
    if let Some(difference) = now.by_other_tools(recorded) {
        println!("note: {difference}");
    }
    let comparison = Comparison::of(recorded, now);
    print!("{comparison}");
    comparison.verdict()
}

fn count(workspace: &Workspace) -> Result<Counts, Failure> {
    install_missing(&[VALGRIND])?;
    let binary = "tsq-counts";
    run(cargo(&workspace.root).args(["build", "--release", "-p", PACKAGE, "--bin", binary]))?;
    let program = Program::new(workspace.target.join("release").join(binary))?;
    let mut counts = Counts {
        about: ABOUT.into(),
        cpu: program.cpu()?,
        compiler: capture(std::process::Command::new("rustc").arg("--version"))?
            .trim()
            .into(),
        valgrind: program.valgrind()?,
        instructions: std::collections::BTreeMap::new(),
    };
    for path in program.paths()? {
        let count = program.count(&path)?;
        counts.instructions.insert(path.name, count);
    }
    Ok(counts)
}

const FILE: &str = "benches/counts.json";

const PACKAGE: &str = "tsq-hot-paths";

const ABOUT: &str = "Instructions of one pass of each hot path (benches/hot-paths), counted by callgrind. Written by \
                     cargo xtask bench-check --write, compared by cargo xtask bench-check. cpu: what the program saw \
                     of the processor under valgrind, by which the cryptography and the C library choose their code.";

const VALGRIND: Package = Package {
    name: "valgrind",
    why: "counting instructions of the hot paths",
    probe: &["valgrind", "--version"],
};
