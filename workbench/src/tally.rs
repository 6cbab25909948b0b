//! Tests run and their outcome, read off what the test runners print.

use std::ops::AddAssign;

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Ended well.
    pub passed: u64,
    /// Ended badly.
    pub failed: u64,
}

impl Tally {
    /// The totals in a line of cargo-nextest, such as `Summary [ 0.1s] 3 tests run: 2 passed, 1 failed, 0 skipped`.
    pub fn of_nextest(line: &str) -> Option<Self> {
        let (_, counts) = line
            .trim_start()
            .strip_prefix("Summary [")?
            .split_once(" run: ")?;
        Some(sum(without_remarks(counts).split(',')))
    }

    /// The totals in a line of the standard runner, such as `test result: ok. 3 passed; 0 failed; 1 ignored`.
    ///
    /// Not for nextest's output, which quotes such lines from the tests that failed.
    pub fn of_standard_runner(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        Some(sum(counts.split(';')))
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Every way a test can end badly counts as failed: nextest knows `timed out` and `exec failed` too.
fn sum<'a>(counts: impl Iterator<Item = &'a str>) -> Tally {
    let mut tally = Tally::default();
    for (number, outcome) in counts.filter_map(|count| count.trim().split_once(' ')) {
        let number: u64 = number.parse().unwrap_or(0);
        match outcome {
            "passed" => tally.passed += number,
            _ if outcome.ends_with("failed") || outcome == "timed out" => tally.failed += number,
            _ => {}
        }
    }
    tally
}

/// Drops the remarks in parentheses: `7 passed (1 slow, 2 leaky)` has seven tests.
fn without_remarks(counts: &str) -> String {
    let mut depth = 0_u32;
    let outside = |c: &char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => return depth == 0,
        }
        false
    };
    counts
        .chars()
        .filter(outside)
        .collect::<String>()
        .replace(" ,", ",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: u64, failed: u64) -> Option<Tally> {
        Some(Tally { passed, failed })
    }

    #[test]
    fn standard_runner_is_counted() {
        let line = "test result: FAILED. 12 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(Tally::of_standard_runner(line), tally(12, 2));
    }

    #[test]
    fn nextest_is_counted() {
        let line = "     Summary [   0.003s] 5 tests run: 4 passed, 1 failed, 0 skipped";
        assert_eq!(Tally::of_nextest(line), tally(4, 1));
    }

    #[test]
    fn remarks_count_no_test_twice() {
        let line = "     Summary [   9.1s] 9/11 tests run: 7 passed (1 slow, 2 leaky), 2 timed out, 0 skipped";
        assert_eq!(Tally::of_nextest(line), tally(7, 2));
    }

    #[test]
    fn failed_test_quoted_by_nextest_is_not_counted_again() {
        let line =
            "    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 1 filtered out";
        assert_eq!(Tally::of_nextest(line), None);
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(Tally::of_standard_runner("test time::eras ... ok"), None);
        assert_eq!(Tally::of_nextest("     Summary [   0.1s] 3 passed"), None);
    }
}
