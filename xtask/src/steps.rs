//! The steps of `cargo xtask test`, in order, and the loop that runs them.

use std::time::Instant;

use clap::builder::PossibleValuesParser;

use crate::{bench_check, deny, docs, fuzz, ledger, lint, proofs, purity, suite, tools};
use tsq_workbench::process::Failure;
use tsq_workbench::tally::Tally;
use tsq_workbench::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run this step alone; repeatable
    #[arg(long, value_name = "STEP", value_parser = step_names())]
    only: Vec<String>,
    /// Leave this step out; repeatable
    #[arg(long, value_name = "STEP", value_parser = step_names())]
    skip: Vec<String>,
    /// List the steps and end
    #[arg(long)]
    list: bool,
}

/// One step: what it is called, what it checks, and the check.
struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&Workspace, &mut Tally) -> Result<(), Failure>,
}

/// Cheap checks first: a developer should not wait for the tests to hear of a missing space.
const STEPS: [Step; 16] = [
    Step {
        name: "tools",
        about: "what the other steps need; installs it",
        run: |w, _| tools::ready(w),
    },
    Step {
        name: "fmt",
        about: "formatting",
        run: |w, _| lint::fmt(w),
    },
    Step {
        name: "links",
        about: "links and anchors in the Markdown files, and the length of their lines",
        run: |w, _| docs::links(w),
    },
    Step {
        name: "msrv",
        about: "the stated compiler version holds",
        run: |w, _| lint::msrv(w),
    },
    Step {
        name: "purity",
        about: "no_std, no dependencies, no unsafe where promised",
        run: |w, _| purity::check(w),
    },
    Step {
        name: "ledger",
        about: "draft/LEDGER.md against code and tests",
        run: |w, _| ledger::check(w),
    },
    Step {
        name: "proofs",
        about: "tests that tables in the documents name",
        run: |w, _| proofs::check(w),
    },
    Step {
        name: "deny",
        about: "licences, banned crates, sources, advisories",
        run: |w, _| deny::check(w),
    },
    Step {
        name: "clippy",
        about: "lints, warnings are errors",
        run: |w, _| lint::clippy(w),
    },
    Step {
        name: "docs",
        about: "rustdoc, warnings are errors",
        run: |w, _| docs::build(w),
    },
    Step {
        name: "build",
        about: "everything, binaries included",
        run: |w, _| suite::build(w),
    },
    Step {
        name: "tests",
        about: "unit, property, documentation and end-to-end tests",
        run: suite::run,
    },
    Step {
        name: "benches",
        about: "every benchmark once, and the instructions of the hot paths, as benches/counts.json has them",
        run: bench_check::step,
    },
    Step {
        name: "interop",
        about: "the matrix against other QUIC stacks, as interop/RESULTS.md has it",
        run: tsq_matrix::check,
    },
    Step {
        name: "fuzz",
        about: "properties on every seed, then a few seconds of fuzzing each",
        run: fuzz::check,
    },
    Step {
        name: "vm",
        about: "tsq-adjtime sets a real clock, in a virtual machine",
        run: tsq_vm::run,
    },
];

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<(), Failure> {
    if args.list {
        for step in &STEPS {
            println!("{:8} {}", step.name, step.about);
        }
        return Ok(());
    }
    let start = Instant::now();
    let mut tally = Tally::default();
    let outcome = run_all(workspace, args, &mut tally);
    println!("\ntotal time {:.1} s", start.elapsed().as_secs_f64());
    // CI reads this line; it stands also when a step failed.
    println!("{} passed, {} failed", tally.passed, tally.failed);
    outcome
}

fn run_all(workspace: &Workspace, args: &Args, tally: &mut Tally) -> Result<(), Failure> {
    for step in STEPS.iter().filter(|step| args.wants(step.name)) {
        println!("\n== {}: {}", step.name, step.about);
        let start = Instant::now();
        (step.run)(workspace, tally).map_err(|failure| {
            let again = format!("run it alone: cargo xtask test --only {}", step.name);
            Failure::new(format!("step {} failed: {failure}; {again}", step.name))
        })?;
        println!(
            "-- {}: ok, {:.1} s",
            step.name,
            start.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

impl Args {
    fn wants(&self, name: &str) -> bool {
        let listed = |names: &[String]| names.iter().any(|listed| listed == name);
        (self.only.is_empty() || listed(&self.only)) && !listed(&self.skip)
    }
}

fn step_names() -> PossibleValuesParser {
    PossibleValuesParser::new(STEPS.iter().map(|step| step.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(only: &[&str], skip: &[&str]) -> Args {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Args {
            only: owned(only),
            skip: owned(skip),
            list: false,
        }
    }

    #[test]
    fn without_options_every_step_runs() {
        assert!(STEPS.iter().all(|step| args(&[], &[]).wants(step.name)));
    }

    #[test]
    fn skip_wins_over_only() {
        let args = args(&["fmt", "docs"], &["docs"]);
        assert!(args.wants("fmt"));
        assert!(!args.wants("docs"));
        assert!(!args.wants("tests"));
    }
}
