//! What all the runs of one client over one path came to.

use std::time::Duration;

use crate::Quantiles;
use crate::peers::Run;
use crate::section::{Cell, Row};

/// Runs of one client over one path.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    runs: u32,
    answers: u32,
    /// Microseconds of those that named an offset, with their sign: all of it is error.
    offsets: Vec<f64>,
    /// Microseconds of those that claimed a bound.
    bounds: Vec<f64>,
    /// How many of those claimed one that the truth was within.
    inside: u32,
    /// Milliseconds of every run.
    walls: Vec<f64>,
    /// Runs that did not end by themselves.
    endless: u32,
    /// Why it cannot run, or did not.
    reason: Option<String>,
}

impl Tally {
    pub(super) fn add(&mut self, run: &Run) {
        self.runs += 1;
        self.walls.push(run.finished.wall.as_secs_f64() * 1000.0);
        let Some(answer) = run.answer else {
            return;
        };
        self.answers += 1;
        self.offsets.extend(answer.offset_us);
        if let Some(bound) = answer.bound_us {
            self.bounds.push(bound);
            // Who says no more than "within" has said the truth: the clocks are one.
            let error = answer.offset_us.unwrap_or(0.0).abs();
            self.inside += u32::from(error <= bound);
        }
    }

    /// A run that did not end by itself.
    pub(super) fn add_failure(&mut self, reason: &str, wall: Duration) {
        self.runs += 1;
        self.endless += 1;
        self.walls.push(wall.as_secs_f64() * 1000.0);
        self.reason.get_or_insert_with(|| reason.into());
    }

    /// It cannot run here at all.
    pub(super) fn cannot(&mut self, reason: &str) {
        self.reason = Some(reason.into());
    }

    /// The time of all its runs.
    pub(super) fn spent(&self) -> Duration {
        Duration::from_secs_f64(self.walls.iter().sum::<f64>() / 1000.0)
    }

    pub(super) fn runs(&self) -> u32 {
        self.runs
    }

    /// Whether more runs would say no more: it cannot run, or does not end.
    pub(super) fn is_settled(&self) -> bool {
        self.endless > 1 || (self.runs == 0 && self.reason.is_some())
    }

    /// After the last run: says why there was none.
    pub(super) fn finish(&mut self, reason: &str) {
        if self.runs == 0 {
            self.reason.get_or_insert_with(|| reason.into());
        }
    }

    /// The row with all the cells that sections have a column for; only the first when it never ran.
    pub(crate) fn cells(&self, row: Row) -> Row {
        if self.runs == 0 {
            let reason = self.reason.as_deref().unwrap_or("not run");
            return row.with("error_median_us", reason);
        }
        let walls = Quantiles::of(self.walls.iter().copied());
        let row = row
            .with("runs", f64::from(self.runs))
            .with("answered", percent(self.answers, self.runs));
        let row = match &walls {
            Some(q) => row
                .with("wall_ms", Cell::of(q.median(), self.walls.as_slice()))
                .with("wall_max_ms", q.max()),
            None => row,
        };
        self.bound_cells(self.error_cells(row))
    }

    fn error_cells(&self, row: Row) -> Row {
        let Some(errors) = Quantiles::of(self.offsets.iter().map(|us| us.abs())) else {
            let word = match self.answers {
                0 => self.reason.as_deref().unwrap_or("no answer"),
                _ => "names no offset",
            };
            return row.with("error_median_us", word);
        };
        row.with(
            "error_median_us",
            Cell::of(errors.median(), self.offsets.as_slice()),
        )
        .with("error_p95_us", errors.cell(95))
        .with("error_p99_us", errors.cell(99))
        .with("error_max_us", errors.max())
    }

    fn bound_cells(&self, row: Row) -> Row {
        match Quantiles::of(self.bounds.iter().copied()) {
            Some(bounds) => {
                let claimed = u32::try_from(self.bounds.len()).unwrap_or(u32::MAX);
                row.with(
                    "bound_median_us",
                    Cell::of(bounds.median(), self.bounds.as_slice()),
                )
                .with("inside", percent(self.inside, claimed))
            }
            None if self.answers > 0 => row
                .with("bound_median_us", "claims none")
                .with("inside", "claims none"),
            None => row,
        }
    }
}

fn percent(part: u32, whole: u32) -> f64 {
    100.0 * f64::from(part) / f64::from(whole.max(1))
}

#[cfg(test)]
mod tests {
    use crate::peers::{Answer, Finished};

    use super::*;

    fn run(answer: Option<(Option<f64>, Option<f64>)>) -> Run {
        let answer = answer.map(|(offset_us, bound_us)| Answer {
            offset_us,
            bound_us,
        });
        let finished = Finished {
            wall: Duration::from_millis(5),
            cpu: Duration::ZERO,
            code: Some(0),
            stdout: String::new(),
            stderr: String::new(),
        };
        Run { answer, finished }
    }

    fn cells(tally: &Tally) -> Row {
        tally.cells(Row::new("path", "client", false))
    }

    #[test]
    fn truth_is_inside_as_often_as_the_error_is_not_above_the_bound() {
        let mut tally = Tally::default();
        tally.add(&run(Some((Some(-10.0), Some(10.0)))));
        tally.add(&run(Some((Some(11.0), Some(10.0)))));
        tally.add(&run(None));
        tally.add(&run(Some((Some(1.0), Some(2.0)))));
        let row = cells(&tally);
        assert_eq!(row.cells["inside"], Cell::from(100.0 * 2.0 / 3.0));
        assert_eq!(row.cells["answered"], Cell::from(75.0));
        assert_eq!(row.cells["error_max_us"], Cell::from(11.0));
        assert_eq!(
            row.cells["bound_median_us"],
            Cell::of(10.0, [10.0, 10.0, 2.0])
        );
    }

    #[test]
    fn no_bound_is_a_word_and_no_success() {
        let mut tally = Tally::default();
        tally.add(&run(Some((Some(1.0), None))));
        assert_eq!(cells(&tally).cells["inside"], Cell::from("claims none"));
    }

    #[test]
    fn bound_without_an_offset_is_counted_and_the_error_is_a_word() {
        let mut tally = Tally::default();
        tally.add(&run(Some((None, Some(1e6)))));
        let row = cells(&tally);
        assert_eq!(row.cells["error_median_us"], Cell::from("names no offset"));
        assert_eq!(row.cells["inside"], Cell::from(100.0));
    }

    #[test]
    fn client_that_never_answered_is_shown_with_its_runs() {
        let mut tally = Tally::default();
        tally.add(&run(None));
        tally.add_failure("still running", Duration::from_secs(60));
        assert!(!tally.is_settled());
        tally.add_failure("still running", Duration::from_secs(60));
        assert!(tally.is_settled());
        let row = cells(&tally);
        assert_eq!(row.cells["answered"], Cell::from(0.0));
        assert_eq!(row.cells["runs"], Cell::from(3.0));
        assert_eq!(row.cells["error_median_us"], Cell::from("still running"));
    }

    #[test]
    fn client_that_did_not_run_says_why() {
        let mut tally = Tally::default();
        tally.cannot("not installed");
        assert!(tally.is_settled());
        tally.finish("no time was left");
        let row = cells(&tally);
        assert_eq!(row.cells["error_median_us"], Cell::from("not installed"));
        assert_eq!(row.cells.len(), 1);
    }
}
