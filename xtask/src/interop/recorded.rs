//! What interop/RESULTS.md says ran well: the test command asks that it still does.

use super::Direction;
use super::cell::CELLS;
use super::stack::Stack;

/// The cells of one row that are recorded as ok, in the order of [`CELLS`].
pub(super) fn good_cells(results: &str, direction: Direction, stack: Stack) -> Vec<bool> {
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
            let word = column.and_then(|column| row.get(column));
            word.is_some_and(|word| *word == "ok" || word.starts_with("ok "))
        })
        .collect()
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
        let verdicts = |direction| {
            let fresh = |at: usize| match (at, direction) {
                (0, Direction::OurServer) => Verdict::Ok("3 ms".into()),
                (1, _) => Verdict::Ok(String::new()),
                (2, _) => Verdict::fails("okay | not"),
                _ => Verdict::Never("ok it is not"),
            };
            (0..CELLS.len()).map(fresh).collect()
        };
        let rows = [Direction::OurServer, Direction::OurClient].map(|direction| Row {
            stack: Stack::Quiche,
            direction,
            verdicts: verdicts(direction),
        });
        let results = render(&rows, &[]).unwrap();
        let good = |direction, stack| {
            let good = good_cells(&results, direction, stack);
            let at = |good: &Vec<bool>| good.iter().position(|is_good| *is_good);
            (at(&good), good.iter().filter(|is_good| **is_good).count())
        };
        assert_eq!(good(Direction::OurServer, Stack::Quiche), (Some(0), 2));
        assert_eq!(good(Direction::OurClient, Stack::Quiche), (Some(1), 1));
        assert_eq!(good(Direction::OurClient, Stack::S2nQuic), (None, 0));
    }
}
