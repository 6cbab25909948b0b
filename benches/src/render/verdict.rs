//! Who wins: the best of ours against the best of theirs, for every figure that is plotted.

use crate::Quantiles;
use crate::quantiles::TOO_FEW;
use crate::section::{Better, Cell, Figure, Row, Section};

use super::number::{factor, number, with_unit};
use super::table::cases;

/// One figure under one case.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict<'a> {
    pub(super) figure: &'a Figure,
    pub(super) case: &'a str,
    /// None where none of ours has a figure.
    pub(super) ours: Option<Side<'a>>,
    /// None where none of theirs has a figure.
    pub(super) theirs: Option<Side<'a>>,
    /// Why none of ours has one.
    ours_word: Option<&'a str>,
    /// Why none of theirs has one.
    theirs_word: Option<&'a str>,
    /// The best of theirs that speaks NTS, where it is not the best of theirs anyway.
    pub(super) nts: Option<Side<'a>>,
}

/// The best of one side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Side<'a> {
    pub(super) subject: &'a str,
    pub(super) value: f64,
    /// The quarter and the three quarters of its rounds.
    middle: Option<(f64, f64)>,
}

/// How a comparison ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Winner {
    /// By this factor; infinite against a zero.
    Ours(f64),
    /// By this factor; infinite against a zero.
    Theirs(f64),
    /// Less than [`EVEN`] apart.
    Even,
    /// The middle halves of the rounds overlap: the difference is within their noise.
    Unclear,
    /// None of theirs has a figure.
    OnlyOurs,
    /// None of ours has a figure.
    OnlyTheirs,
}

/// What is closer than this is no victory.
const EVEN: f64 = 1.05;

/// Of percentages these count, as 96 of 100 runs answered is not as good as all.
const EVEN_POINTS: f64 = 1.0;

/// Every plotted figure that has a good way, under every case in which both sides took part.
pub(super) fn verdicts(section: &Section) -> Vec<Verdict<'_>> {
    let figures = section
        .figures
        .iter()
        .filter(|figure| figure.plot && figure.better != Better::Neither);
    figures
        .flat_map(|figure| {
            cases(&section.rows).filter_map(move |(case, rows)| verdict(figure, case, rows))
        })
        .collect()
}

/// The best of all in one case, ours and theirs; None where all are equal or nobody is there to compare with.
pub(super) fn best(figure: &Figure, rows: &[Row]) -> Option<f64> {
    let rows = rows.iter().filter(|row| !row.reference);
    let rows = rows.filter_map(|row| Some((row.ours, row.cells.get(&figure.key)?.value()?)));
    let values = rows.clone().map(|(_, value)| value);
    let (least, most) = (values.clone().reduce(f64::min)?, values.reduce(f64::max)?);
    // Ours are no rivals of each other.
    if least == most || rows.clone().all(|(ours, _)| ours) {
        return None;
    }
    match figure.better {
        Better::Less => Some(least),
        Better::More => Some(most),
        Better::Neither => None,
    }
}

fn verdict<'a>(figure: &'a Figure, case: &'a str, rows: &'a [Row]) -> Option<Verdict<'a>> {
    let taking_part = |ours: bool| {
        rows.iter()
            .any(|row| row.ours == ours && !row.reference && row.cells.contains_key(&figure.key))
    };
    if !taking_part(true) || !taking_part(false) || rows.iter().any(|row| is_unknown(figure, row)) {
        return None;
    }
    let best_of = |wanted: fn(&Row) -> bool| side(figure, rows, wanted);
    let ours = best_of(|row| row.ours);
    let theirs = best_of(|row| !row.ours);
    let nts = best_of(|row| !row.ours && speaks_nts(&row.subject))
        .filter(|nts| theirs.is_none_or(|best| best.subject != nts.subject));
    let word = |wanted: bool| {
        let mut rows = rows
            .iter()
            .filter(|row| row.ours == wanted && !row.reference);
        rows.find_map(|row| match row.cells.get(&figure.key)? {
            Cell::Text(text) => Some(text.as_str()),
            Cell::Number { .. } => None,
        })
    };
    (ours.is_some() || theirs.is_some()).then_some(Verdict {
        figure,
        case,
        ours,
        theirs,
        ours_word: word(true),
        theirs_word: word(false),
        nts,
    })
}

/// Whether a program took part whose figure cannot be named for want of values: who is the best then, nobody knows.
fn is_unknown(figure: &Figure, row: &Row) -> bool {
    let cell = row.cells.get(&figure.key);
    !row.reference && matches!(cell, Some(Cell::Text(text)) if text == TOO_FEW)
}

fn side<'a>(figure: &Figure, rows: &'a [Row], wanted: fn(&Row) -> bool) -> Option<Side<'a>> {
    let sides = rows
        .iter()
        .filter(|row| !row.reference && wanted(row))
        .filter_map(|row| {
            let cell = row.cells.get(&figure.key)?;
            Some(Side {
                subject: &row.subject,
                value: cell.value()?,
                middle: middle(&figure.rounds(cell)),
            })
        });
    let order = |a: &Side<'_>, b: &Side<'_>| a.value.total_cmp(&b.value);
    match figure.better {
        Better::More => sides.max_by(order),
        _ => sides.min_by(order),
    }
}

fn middle(rounds: &[f64]) -> Option<(f64, f64)> {
    let rounds = Quantiles::of(rounds.iter().copied())?;
    Some((rounds.percentile(25), rounds.percentile(75)))
}

fn speaks_nts(subject: &str) -> bool {
    subject
        .split(|c: char| !c.is_alphanumeric())
        .any(|word| word == "NTS")
}

impl Verdict<'_> {
    /// The best of theirs that speaks NTS, which is as protected as ours: the fair comparison.
    pub(super) fn best_nts(&self) -> Option<&Side<'_>> {
        let theirs = self.theirs.as_ref();
        self.nts
            .as_ref()
            .or_else(|| theirs.filter(|side| speaks_nts(side.subject)))
    }

    /// The best of ours against the best of theirs.
    pub(super) fn winner(&self) -> Winner {
        self.against(self.theirs.as_ref())
    }

    /// The best of ours against this one.
    pub(super) fn against(&self, theirs: Option<&Side<'_>>) -> Winner {
        let subject = theirs.map_or("", |theirs| theirs.subject);
        let (ours, theirs) = match (&self.ours, theirs) {
            (Some(ours), Some(theirs)) if overlap(ours, theirs) => {
                return match self.compared(ours.value, theirs.value) {
                    Winner::Even => Winner::Even,
                    _ => Winner::Unclear,
                };
            }
            (Some(ours), Some(theirs)) => (ours.value, theirs.value),
            (Some(_), None) => return Winner::OnlyOurs,
            _ => return Winner::OnlyTheirs,
        };
        // Below what a program prints nobody knows how good it is.
        let least = self.resolution(subject);
        self.compared(ours.max(least), theirs.max(least))
    }

    fn compared(&self, ours: f64, theirs: f64) -> Winner {
        let (less, more) = (ours.min(theirs), ours.max(theirs));
        let factor = match less {
            _ if less == more => 1.0,
            0.0.. => more / less,
            // Below zero there is no "times as much".
            _ => f64::INFINITY,
        };
        let ours_is_better = (ours < theirs) == (self.figure.better == Better::Less);
        let is_even = match self.figure.unit.as_str() {
            "%" => more - less < EVEN_POINTS,
            _ => factor < EVEN,
        };
        match factor {
            _ if is_even => Winner::Even,
            _ if ours_is_better => Winner::Ours(factor),
            _ => Winner::Theirs(factor),
        }
    }

    /// What a program prints is whole multiples of this, in the figure's unit; 0 where it is finer than all that is compared.
    fn resolution(&self, subject: &str) -> f64 {
        if self.figure.unit != "us" {
            return 0.0;
        }
        let mut known = PRINTED.iter().filter(|(name, _)| subject.starts_with(name));
        known.next().map_or(0.0, |(_, micros)| *micros)
    }

    /// In words: "ours ×19".
    pub(super) fn words(&self) -> String {
        self.words_against(self.theirs.as_ref())
    }

    /// How the best of ours does against this one, in words.
    pub(super) fn words_against(&self, theirs: Option<&Side<'_>>) -> String {
        let winner = self.against(theirs);
        let points = match (&self.ours, theirs) {
            (Some(ours), Some(theirs)) if self.figure.unit == "%" => {
                Some(number((ours.value - theirs.value).abs()))
            }
            _ => None,
        };
        let floored =
            |side: &Side<'_>| side.value < self.resolution(theirs.map_or("", |it| it.subject));
        match (winner, points) {
            (Winner::Ours(by), None) if self.ours.as_ref().is_some_and(floored) => {
                format!("ours ×{} or more", factor(by))
            }
            (Winner::Ours(_), Some(points)) => format!("ours by {points} points"),
            (Winner::Theirs(_), Some(points)) => format!("theirs by {points} points"),
            _ => words(winner),
        }
    }

    /// The figure and its case.
    pub(super) fn what(&self) -> String {
        match self.case {
            "" => self.figure.heading.clone(),
            case => format!("{}, {case}", self.figure.heading),
        }
    }

    /// What ours gave and who of ours, such as "2.5 ms" and "tsq-adjtime"; else why there is no figure.
    pub(super) fn of_ours(&self) -> (String, &str) {
        self.side(self.ours.as_ref(), self.ours_word)
    }

    /// The same of theirs.
    pub(super) fn of_theirs(&self) -> (String, &str) {
        self.side(self.theirs.as_ref(), self.theirs_word)
    }

    fn side<'b>(&self, side: Option<&Side<'b>>, word: Option<&str>) -> (String, &'b str) {
        match side {
            Some(side) => (self.value(side), side.subject),
            None => (word.unwrap_or("\u{2013}").into(), ""),
        }
    }

    /// One side with its unit, such as "2.5 ms".
    pub(super) fn value(&self, side: &Side<'_>) -> String {
        with_unit(side.value, &self.figure.unit)
    }
}

/// A winner in words.
fn words(winner: Winner) -> String {
    match winner {
        Winner::Ours(by) if by.is_finite() => format!("ours ×{}", factor(by)),
        Winner::Theirs(by) if by.is_finite() => format!("theirs ×{}", factor(by)),
        Winner::Ours(_) => "ours".into(),
        Winner::Theirs(_) => "theirs".into(),
        Winner::Even => "even".into(),
        Winner::Unclear => "no verdict: rounds overlap".into(),
        Winner::OnlyOurs => "only ours has a figure".into(),
        Winner::OnlyTheirs => "ours has no figure".into(),
    }
}

/// How many comparisons we win, they win, and neither.
pub(super) fn count(winners: impl Iterator<Item = Winner>) -> [u32; 3] {
    let mut counts = [0; 3];
    for winner in winners {
        counts[match winner {
            Winner::Ours(_) | Winner::OnlyOurs => 0,
            Winner::Theirs(_) | Winner::OnlyTheirs => 1,
            Winner::Even | Winner::Unclear => 2,
        }] += 1;
    }
    counts
}

/// The comparisons with those that speak NTS.
pub(super) fn with_nts<'a>(verdicts: &'a [Verdict<'a>]) -> impl Iterator<Item = Winner> + 'a {
    verdicts
        .iter()
        .filter_map(|verdict| Some(verdict.against(Some(verdict.best_nts()?))))
}

/// Both counts in words, the fair one first.
pub(super) fn tally(verdicts: &[Verdict<'_>]) -> String {
    let words = |[ours, theirs, even]: [u32; 3], others: &str| {
        format!(
            "Beside {others}, in {} comparisons: ours is better in {ours}, another in {theirs}; {even} are even or without a verdict.",
            ours + theirs + even
        )
    };
    let nts = words(
        count(with_nts(verdicts)),
        "NTS, which protects the time as we do",
    );
    let all = words(
        count(verdicts.iter().map(Verdict::winner)),
        "everything, plain NTP and Roughtime too",
    );
    format!(
        "{nts}\n\n{all}\n\nEven: less than 5 % or one percentage point apart. Without a verdict: the middle halves of the rounds overlap."
    )
}

fn overlap(ours: &Side<'_>, theirs: &Side<'_>) -> bool {
    match (ours.middle, theirs.middle) {
        (Some(a), Some(b)) => a.0 <= b.1 && b.0 <= a.1,
        _ => false,
    }
}

/// Programs whose offsets are printed in whole multiples of so many microseconds.
const PRINTED: [(&str, f64); 3] = [("chronyd -Q", 1.0), ("ntpdig", 1.0), ("busybox ntpd", 1.0)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Conditions;

    fn section(better: Better, rows: Vec<Row>) -> Section {
        Section {
            id: "x".into(),
            title: "X".into(),
            question: String::new(),
            command: String::new(),
            conditions: Conditions::now(),
            figures: vec![Figure::new("a", "a", "ms", better).plotted()],
            rows,
            notes: Vec::new(),
        }
    }

    fn row(subject: &str, ours: bool, cell: impl Into<Cell>) -> Row {
        Row::new("c", subject, ours).with("a", cell)
    }

    fn winner(better: Better, ours: f64, theirs: f64) -> Winner {
        let rows = vec![row("tsq", true, ours), row("ntp", false, theirs)];
        verdicts(&section(better, rows))[0].winner()
    }

    #[test]
    fn direction_decides_who_wins() {
        assert_eq!(winner(Better::Less, 2.0, 4.0), Winner::Ours(2.0));
        assert_eq!(winner(Better::More, 2.0, 4.0), Winner::Theirs(2.0));
        assert_eq!(winner(Better::Less, 4.0, 2.0), Winner::Theirs(2.0));
        assert_eq!(winner(Better::More, 4.0, 2.0), Winner::Ours(2.0));
    }

    #[test]
    fn five_percent_is_the_limit_of_even() {
        assert_eq!(winner(Better::Less, 1.0, 1.049), Winner::Even);
        assert_eq!(winner(Better::Less, 1.0, 1.051), Winner::Ours(1.051));
        assert_eq!(winner(Better::Less, 0.0, 0.0), Winner::Even);
    }

    #[test]
    fn percentages_are_compared_by_points() {
        let mut section = section(
            Better::More,
            vec![row("tsq", true, 100.0), row("ntp", false, 96.0)],
        );
        section.figures[0].unit = "%".into();
        assert_eq!(verdicts(&section)[0].words(), "ours by 4 points");
        section.rows[1] = row("ntp", false, 99.5);
        assert_eq!(verdicts(&section)[0].words(), "even");
    }

    #[test]
    fn zero_wins_without_a_factor() {
        assert_eq!(words(winner(Better::Less, 0.0, 3.0)), "ours");
        assert_eq!(words(winner(Better::Less, 3.0, 0.0)), "theirs");
    }

    #[test]
    fn best_of_each_side_counts_and_references_do_not() {
        let rows = vec![
            row("tsq, streams", true, 5.0),
            row("tsq, datagrams", true, 4.0),
            row("chronyd, NTS", false, 6.0),
            row("chronyd, NTP", false, 3.0),
            row("silent", false, "no answer"),
            Row::reference("c", "echo").with("a", 1.0),
        ];
        let section = section(Better::Less, rows);
        let verdict = &verdicts(&section)[0];
        assert_eq!(verdict.ours.unwrap().subject, "tsq, datagrams");
        assert_eq!(verdict.theirs.unwrap().subject, "chronyd, NTP");
        assert_eq!(verdict.against(verdict.nts.as_ref()), Winner::Ours(1.5));
        assert_eq!(best(&section.figures[0], &section.rows), Some(3.0));
    }

    #[test]
    fn who_gives_no_figure_does_not_win() {
        let rows = vec![row("tsq", true, "killed"), row("ntp", false, 3.0)];
        let section = section(Better::Less, rows);
        let verdict = &verdicts(&section)[0];
        assert_eq!(verdict.winner(), Winner::OnlyTheirs);
        assert_eq!(verdict.of_ours(), ("killed".into(), ""));
        assert_eq!(verdict.of_theirs(), ("3 ms".into(), "ntp"));
        assert_eq!(best(&section.figures[0], &section.rows), None);
    }

    #[test]
    fn rival_without_enough_values_leaves_no_verdict() {
        let rows = vec![
            row("a", true, 1.0),
            row("b", false, 2.0),
            row("c", false, TOO_FEW),
        ];
        assert!(verdicts(&section(Better::Less, rows)).is_empty());
    }

    #[test]
    fn without_a_rival_there_is_no_verdict_and_no_best() {
        let rows = vec![
            row("tsq, datagrams", true, 1.0),
            row("tsq, streams", true, 2.0),
        ];
        let section = section(Better::Less, rows);
        assert_eq!(verdicts(&section), []);
        assert_eq!(best(&section.figures[0], &section.rows), None);
    }

    #[test]
    fn nothing_is_better_than_what_a_program_prints() {
        let rows = vec![
            row("tsq", true, 0.0015),
            row("chronyd -Q, fastest", false, 3.5),
        ];
        let mut section = section(Better::Less, rows);
        section.figures[0].unit = "us".into();
        assert_eq!(verdicts(&section)[0].words(), "ours ×3.5 or more");
        section.rows[1] = row("chronyd -Q, fastest", false, 1.0);
        assert_eq!(verdicts(&section)[0].words(), "even");
        section.rows[1] = row("chronyd to chronyd", false, 3.0);
        assert_eq!(verdicts(&section)[0].words(), "ours ×2000");
    }

    #[test]
    fn fair_comparison_is_with_the_best_that_speaks_nts() {
        let rows = vec![
            row("tsq", true, 3.0),
            row("chronyd, NTP", false, 2.0),
            row("chronyd, NTS", false, 6.0),
        ];
        let section = section(Better::Less, rows);
        let all = verdicts(&section);
        assert_eq!(count(with_nts(&all)), [1, 0, 0]);
        assert_eq!(count(all.iter().map(Verdict::winner)), [0, 1, 0]);
    }

    #[test]
    fn differences_within_the_rounds_have_no_verdict() {
        let cell = |value, rounds: [f64; 2]| Cell::of(value, rounds);
        let rows = vec![
            row("tsq", true, cell(2.0, [2.0, 3.5])),
            row("ntp", false, cell(3.0, [3.0, 4.0])),
        ];
        let section = section(Better::Less, rows);
        let verdict = &verdicts(&section)[0];
        assert_eq!(verdict.words(), "no verdict: rounds overlap");
        assert_eq!(count([verdict.winner()].into_iter()), [0, 0, 1]);
        // Errors with their signs: their sizes compare.
        let outlier = Cell::of(2.0, [2.0, -2.1, -2.2, 2.1, -9.0]);
        let apart = [row("tsq", true, outlier), section.rows[1].clone()];
        let section = Section {
            rows: apart.into(),
            ..section
        };
        assert_eq!(verdicts(&section)[0].words(), "ours ×1.50");
    }
}
