//! What interop/RESULTS.md says: the test command asks that what ran well still does, and a run of some peers leaves
//! the rows of the others.

use super::Direction;
use super::cell::CELLS;
use super::stack::Stack;
use super::verdict::Verdict;

/// What stands before the peers with their versions and days.
pub(super) const LAST_RUN: &str = "They ran last: ";
/// What stands between two of them.
pub(super) const BETWEEN_RUNS: &str = "; ";

/// A peer's version and the day it ran last, with its name.
pub(super) fn last_run(results: &str, stack: Stack) -> Option<String> {
    let line = results
        .lines()
        .find_map(|line| line.strip_prefix(LAST_RUN)?.strip_suffix('.'))?;
    line.split(BETWEEN_RUNS)
        .find(|run| run.split(' ').next() == Some(stack.name()))
        .map(str::to_owned)
}

/// The cells of one row that are recorded as ok, in the order of [`CELLS`].
pub(super) fn good_cells(results: &str, direction: Direction, stack: Stack) -> Vec<bool> {
    let verdicts = verdicts(results, direction, stack).into_iter();
    verdicts
        .map(|verdict| matches!(verdict, Some(Verdict::Ok(_))))
        .collect()
}

/// One row as recorded, in the order of [`CELLS`]; none where a cell is not there.
pub(super) fn verdicts(results: &str, direction: Direction, stack: Stack) -> Vec<Option<Verdict>> {
    let section = results
        .split("\n## ")
        .find(|section| section.starts_with(direction.title()));
    let mut rows = section.unwrap_or_default().lines().filter_map(words);
    let names = rows.next().unwrap_or_default();
    let row = rows.find(|row| row.first() == Some(&stack.name()));
    let row = row.unwrap_or_default();
    CELLS
        .iter()
        .map(|cell| {
            let column = names.iter().position(|name| *name == cell.name);
            verdict(results, row.get(column?)?)
        })
        .collect()
}

/// What a cell of the table says.
fn verdict(results: &str, word: &str) -> Option<Verdict> {
    if let Some(reason) = word.strip_prefix("fails: ") {
        return Some(Verdict::Fails(reason.into()));
    }
    if let Some(mark) = word.strip_prefix("- ") {
        let note = results.lines().find_map(|line| line.strip_prefix(mark))?;
        return Some(Verdict::never(note.trim().strip_suffix('.')?));
    }
    let figure = word.strip_prefix("ok")?;
    match figure.strip_prefix(' ') {
        None if !figure.is_empty() => None,
        figure => Some(Verdict::Ok(figure.unwrap_or_default().into())),
    }
}

/// The cells of a line of a table.
fn words(line: &str) -> Option<Vec<&str>> {
    let inner = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

#[cfg(test)]
mod tests {
    use super::super::table::render;
    use super::super::{Row, Verdict};
    use super::*;

    #[test]
    fn what_is_written_as_ok_is_read_as_ok() {
        let some = |direction| {
            let fresh = |at: usize| match (at, direction) {
                (0, Direction::OurServer) => Verdict::Ok("3 ms".into()),
                (1, _) => Verdict::Ok(String::new()),
                (2, _) => Verdict::fails("okay | not"),
                _ => Verdict::never("ok it is not"),
            };
            (0..CELLS.len()).map(fresh).collect()
        };
        let rows = [Direction::OurServer, Direction::OurClient].map(|direction| Row {
            stack: Stack::Quiche,
            direction,
            verdicts: some(direction),
        });
        let results = render(&rows, &[]);
        let good = |direction, stack| {
            let good = good_cells(&results, direction, stack);
            let at = |good: &Vec<bool>| good.iter().position(|is_good| *is_good);
            (at(&good), good.iter().filter(|is_good| **is_good).count())
        };
        assert_eq!(good(Direction::OurServer, Stack::Quiche), (Some(0), 2));
        assert_eq!(good(Direction::OurClient, Stack::Quiche), (Some(1), 1));
        assert_eq!(good(Direction::OurClient, Stack::S2nQuic), (None, 0));
        for row in rows {
            let again = verdicts(&results, row.direction, row.stack);
            let again: Option<Vec<_>> = again.into_iter().collect();
            assert_eq!(again.as_ref(), Some(&row.verdicts));
        }
    }

    #[test]
    fn last_run_is_that_of_the_peer_by_its_whole_name() {
        let runs = [
            "quiche 0.30.0 on 2026-11-21",
            "s2n-quic 1.91.0 on 2026-11-20",
        ];
        let results = render(&[], &runs.map(str::to_owned));
        let of = |stack| last_run(&results, stack);
        assert_eq!(of(Stack::Quiche).as_deref(), Some(runs[0]));
        assert_eq!(of(Stack::S2nQuic).as_deref(), Some(runs[1]));
        assert_eq!(of(Stack::Ngtcp2), None);
    }
}
