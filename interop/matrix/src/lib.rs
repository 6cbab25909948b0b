//! The matrix: our programs against others' QUIC stacks, both ways, and interop/RESULTS.md from what was seen.

#![forbid(unsafe_code)]

mod aioquic;
mod bench;
mod c;
mod cell;
mod client;
mod recorded;
mod server;
mod stack;
mod table;
mod trial;
mod verdict;

use std::fs;
use std::panic;
use std::process::Command;

use self::bench::Bench;
use self::cell::{CELLS, Cell};
use self::stack::Stack;
use self::verdict::Verdict;
use tsq_workbench::debian::{self, Package};
use tsq_workbench::process::{Failure, capture, cargo, run as run_command};
use tsq_workbench::tally::Tally;
use tsq_workbench::workspace::Workspace;

/// What BoringSSL is built and bound with.
pub const PACKAGES: [Package; 2] = [
    Package {
        name: "cmake",
        why: "quiche builds BoringSSL",
        probe: &["cmake", "--version"],
    },
    Package {
        name: "libclang-dev",
        why: "quiche reads BoringSSL's headers",
        probe: &["sh", "-c", "ls /usr/lib/llvm-*/lib/libclang.so*"],
    },
];

pub use self::c::PACKAGES as C_PACKAGES;

/// What to run.
#[derive(clap::Args)]
pub struct Args {
    /// Run this peer alone and leave the rows of the others as they are; repeatable
    #[arg(long, value_name = "NAME")]
    peer: Vec<Stack>,
}

/// Which program plays which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// A peer's client asks tsq-server.
    OurServer,
    /// tsq-adjtime asks a peer's server.
    OurClient,
}

/// One row of the matrix.
struct Row {
    stack: Stack,
    direction: Direction,
    verdicts: Vec<Verdict>,
}

/// Runs the cells and writes what came of them; fails when a cell did.
pub fn run(workspace: &Workspace, args: &Args) -> Result<(), Failure> {
    let chosen = |stack: &Stack| args.peer.is_empty() || args.peer.contains(stack);
    build(
        workspace,
        &Stack::ALL.into_iter().filter(chosen).collect::<Vec<_>>(),
    )?;
    // Without a file, or with one of another form, there is nothing to keep.
    let before = fs::read_to_string(workspace.root.join(RESULTS)).unwrap_or_default();
    let rows = guarded(|| {
        let bench = Bench::new(workspace);
        every_row()
            .filter_map(|(stack, direction)| match chosen(&stack) {
                true => Some(row(&bench, stack, direction)),
                false => row_before(&before, stack, direction),
            })
            .collect::<Vec<_>>()
    })
    .map_err(Failure::new)?;
    let text = table::render(&rows, &runs(workspace, &before, chosen)?);
    let file = workspace.root.join(RESULTS);
    fs::write(&file, text)
        .map_err(|error| Failure::new(format!("writing {}: {error}", file.display())))?;
    Failure::unless_empty("interop", &failures(&rows))
}

fn every_row() -> impl Iterator<Item = (Stack, Direction)> {
    Direction::BOTH
        .into_iter()
        .flat_map(|direction| Stack::ALL.map(|stack| (stack, direction)))
}

/// A row as it was recorded; none where it was not, or not with these columns.
fn row_before(results: &str, stack: Stack, direction: Direction) -> Option<Row> {
    let verdicts = recorded::verdicts(results, direction, stack);
    Some(Row {
        stack,
        direction,
        verdicts: verdicts.into_iter().collect::<Option<_>>()?,
    })
}

/// The peers with their versions: those chosen ran today.
fn runs(
    workspace: &Workspace,
    before: &str,
    chosen: impl Fn(&Stack) -> bool,
) -> Result<Vec<String>, Failure> {
    let today = capture(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    let run = |stack: Stack| match chosen(&stack) {
        true => stack::version(workspace, stack)
            .map(|version| Some(format!("{} {version} on {}", stack.name(), today.trim()))),
        false => Ok(recorded::last_run(before, stack)),
    };
    Stack::ALL
        .into_iter()
        .filter_map(|stack| run(stack).transpose())
        .collect()
}

/// Runs every cell that interop/RESULTS.md calls ok; fails when one is not ok now. Figures may differ, and a cell may
/// fail once or twice where the machine is busy with other things. Writes nothing.
pub fn check(workspace: &Workspace, tally: &mut Tally) -> Result<(), Failure> {
    build(workspace, &Stack::ALL)?;
    let results = fs::read_to_string(workspace.root.join(RESULTS))
        .map_err(|error| Failure::new(format!("reading {RESULTS}: {error}")))?;
    let checked = guarded(|| {
        let bench = Bench::new(workspace);
        every_row()
            .flat_map(|(stack, direction)| row_again(&bench, &results, stack, direction))
            .collect::<Vec<_>>()
    })
    .map_err(Failure::new)?;
    let count = |good| checked.iter().filter(|ran| ran.is_ok() == good).count() as u64;
    *tally += Tally {
        passed: count(true),
        failed: count(false),
    };
    println!(
        "{} of {} cells are ok as recorded",
        count(true),
        checked.len()
    );
    if checked.is_empty() {
        return Err(Failure::new(format!("{RESULTS} calls no cell ok")));
    }
    let bad: Vec<String> = checked.into_iter().filter_map(Result::err).collect();
    Failure::unless_empty("interop", &bad)
}

/// The cells of one row that were ok, each with what is wrong now.
fn row_again(
    bench: &Bench,
    results: &str,
    stack: Stack,
    direction: Direction,
) -> Vec<Result<(), String>> {
    let good = recorded::good_cells(results, direction, stack);
    CELLS
        .iter()
        .zip(good)
        .filter(|(_, was_good)| *was_good)
        .map(|(cell, _)| again(bench, stack, direction, cell))
        .collect()
}

fn again(bench: &Bench, stack: Stack, direction: Direction, cell: &Cell) -> Result<(), String> {
    let name = format!("{}: {}", direction.names(stack), cell.name);
    let mut last = String::new();
    for attempt in 1..=ATTEMPTS {
        let verdict = judge(bench, stack, direction, cell);
        if matches!(verdict, Verdict::Ok(_)) {
            return Ok(());
        }
        println!("{name}: attempt {attempt} of {ATTEMPTS}: {verdict}");
        last = format!("{name}: recorded as ok, now: {verdict}");
    }
    Err(last)
}

/// A machine that is busy otherwise may let a peer's own time limit pass; what is broken fails each time.
const ATTEMPTS: u32 = 3;

const RESULTS: &str = "interop/RESULTS.md";

/// Our programs, then those of the peers that are not in Python.
fn build(workspace: &Workspace, stacks: &[Stack]) -> Result<(), Failure> {
    // As the test command's build step has it: a choice of packages would have other features, and build all anew.
    run_command(cargo(&workspace.root).args(["build", "--workspace", "--bins"]))?;
    if stacks.contains(&Stack::Ngtcp2) {
        debian::install_missing(&C_PACKAGES)?;
        c::build(workspace)?;
    }
    if stacks.contains(&Stack::Quiche) || stacks.contains(&Stack::S2nQuic) {
        debian::install_missing(&PACKAGES)?;
        build_rust(workspace)?;
    }
    Ok(())
}

/// In a workspace and a target folder of their own.
fn build_rust(workspace: &Workspace) -> Result<(), Failure> {
    // Their own tests first: a peer that is wrong alone proves nothing. Their lints share what is built.
    let lints = ["--workspace", "--all-targets", "--", "-D", "warnings"];
    println!("building the peers of {STACKS} (some minutes the first time)");
    for (what, more) in [("test", &[][..]), ("clippy", &lints), ("build", &[])] {
        run_command(
            cargo(&workspace.root.join(STACKS))
                .args([what, "--quiet", "--locked", "--target-dir"])
                .arg(stack::target(workspace))
                .args(more),
        )
        .map_err(|failure| {
            Failure::new(format!(
                "the peers of {STACKS} cannot be built or tested: {failure}"
            ))
        })?;
    }
    Ok(())
}

/// A workspace of its own.
pub const STACKS: &str = "interop/stacks";

fn row(bench: &Bench, stack: Stack, direction: Direction) -> Row {
    let verdicts = CELLS
        .iter()
        .map(|cell| {
            let verdict = judge(bench, stack, direction, cell);
            println!("{:36} {:22} {verdict}", direction.names(stack), cell.name);
            verdict
        })
        .collect();
    Row {
        stack,
        direction,
        verdicts,
    }
}

/// A helper of the tests that panics says why the cell fails.
fn judge(bench: &Bench, stack: Stack, direction: Direction, cell: &Cell) -> Verdict {
    let side = match direction {
        Direction::OurServer => cell.our_server,
        Direction::OurClient => cell.our_client,
    };
    guarded(|| side(bench, stack)).unwrap_or_else(|panic| Verdict::fails(&panic))
}

/// Runs what may panic and gives the message instead.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let outcome = panic::catch_unwind(panic::AssertUnwindSafe(work));
    panic::set_hook(hook);
    outcome.map_err(|payload| {
        payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string))
            .unwrap_or_else(|| "a panic without words".into())
    })
}

fn failures(rows: &[Row]) -> Vec<String> {
    rows.iter()
        .flat_map(|row| {
            row.verdicts
                .iter()
                .zip(&CELLS)
                .map(move |(v, c)| (row, v, c))
        })
        .filter(|(_, verdict, _)| matches!(verdict, Verdict::Fails(_)))
        .map(|(row, verdict, cell)| {
            format!(
                "{}: {}: {verdict}",
                row.direction.names(row.stack),
                cell.name
            )
        })
        .collect()
}

impl Direction {
    const BOTH: [Self; 2] = [Self::OurServer, Self::OurClient];

    /// The heading in interop/RESULTS.md.
    fn title(self) -> &'static str {
        match self {
            Self::OurServer => "A peer's client asks tsq-server",
            Self::OurClient => "tsq-adjtime asks a peer's server",
        }
    }

    fn names(self, stack: Stack) -> String {
        let (client, server) = match self {
            Self::OurServer => (stack.name(), "tsq-server"),
            Self::OurClient => ("tsq-adjtime", stack.name()),
        };
        format!("{client} asks {server}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_becomes_its_message() {
        assert_eq!(guarded(|| 7), Ok(7));
        let (what, why) = ("cell", "reason");
        assert_eq!(
            guarded(|| -> u8 { panic!("{what}: {why}") }),
            Err("cell: reason".into())
        );
    }
}
