//! The matrix: our programs against others' QUIC stacks, both ways, and interop/RESULTS.md from what was seen.

mod aioquic;
mod bench;
mod cell;
mod client;
mod rebinder;
mod server;
mod stack;
mod table;

use std::fs;
use std::panic;

use self::bench::Bench;
use self::cell::{CELLS, Cell, Verdict};
use self::stack::Stack;
use crate::process::{Failure, cargo, run as run_command};
use crate::tools::{self, Package};
use crate::workspace::Workspace;

/// What BoringSSL is built and bound with.
const PACKAGES: [Package; 2] = [
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

/// Runs every cell and writes what came of it; fails when a cell did.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    tools::install_missing(&PACKAGES)?;
    build(workspace)?;
    let rows = guarded(|| {
        let bench = Bench::new(workspace);
        let both = [Direction::OurServer, Direction::OurClient];
        both.iter()
            .flat_map(|direction| Stack::ALL.map(|stack| row(&bench, stack, *direction)))
            .collect::<Vec<_>>()
    })
    .map_err(Failure::new)?;
    let file = workspace.root.join("interop/RESULTS.md");
    let text = table::render(&rows, &stack::versions(workspace)?)?;
    fs::write(&file, text)
        .map_err(|error| Failure::new(format!("writing {}: {error}", file.display())))?;
    Failure::unless_empty("interop", &failures(&rows))
}

/// Our programs, then the peers in a workspace and a target folder of their own.
fn build(workspace: &Workspace) -> Result<(), Failure> {
    let ours = ["tsq-server", "tsq-adjtime", "tsq-certs"];
    let packages = ours.iter().flat_map(|name| ["-p", name]);
    run_command(
        cargo(&workspace.root)
            .args(["build", "--bins"])
            .args(packages),
    )?;
    // Their own tests first: a peer that is wrong alone proves nothing.
    for what in ["test", "build"] {
        run_command(
            cargo(&workspace.root.join("interop/stacks"))
                .args([what, "--quiet", "--locked", "--target-dir"])
                .arg(stack::target(workspace)),
        )?;
    }
    Ok(())
}

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
