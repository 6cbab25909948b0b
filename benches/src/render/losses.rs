//! Where another wins and where we do, said plainly: a line for each figure.

use super::number::factor;
use super::verdict::{Winner, verdicts};
use crate::results::Results;
use crate::section::Section;

/// The figures in which another is better in some case.
pub(super) fn losses(results: &Results) -> Vec<String> {
    let sections = results.sections.iter().map(|measured| &measured.section);
    sections.flat_map(|it| of_section(it, false)).collect()
}

/// The figures in which ours is better than all others in some case.
pub(super) fn wins(results: &Results) -> Vec<String> {
    let sections = results.sections.iter().map(|measured| &measured.section);
    sections.flat_map(|it| of_section(it, true)).collect()
}

fn of_section(section: &Section, ours: bool) -> Vec<String> {
    let verdicts = verdicts(section);
    let lines = section.figures.iter().filter_map(|figure| {
        let all: Vec<_> = verdicts
            .iter()
            .filter(|verdict| verdict.figure.key == figure.key)
            .collect();
        let mut names: Vec<&str> = Vec::new();
        let mut factors = Vec::new();
        let mut lost = 0;
        for verdict in &all {
            let points = verdict.figure.unit == "%";
            match verdict.winner() {
                Winner::Ours(by) if ours => {
                    factors.extend((by.is_finite() && !points).then_some(by));
                }
                Winner::Theirs(by) if !ours => {
                    factors.extend((by.is_finite() && !points).then_some(by));
                }
                Winner::OnlyOurs if ours => {}
                Winner::OnlyTheirs if !ours => {}
                _ => continue,
            }
            lost += 1;
            let (_, name) = match ours {
                true => verdict.of_ours(),
                false => verdict.of_theirs(),
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        (lost > 0).then(|| {
            let cases = match all.len() {
                1 => String::new(),
                all => format!(" in {lost} of {all} cases"),
            };
            format!(
                "{}, {}: {}{cases}{}",
                section.title,
                figure.heading,
                names.join("; "),
                by(&factors)
            )
        })
    });
    lines.collect()
}

fn by(factors: &[f64]) -> String {
    let least = factors.iter().copied().reduce(f64::min).map(factor);
    let most = factors.iter().copied().reduce(f64::max).map(factor);
    match (least, most) {
        (Some(least), Some(most)) if least == most => format!(", ×{least}"),
        (Some(least), Some(most)) => format!(", ×{least} to ×{most}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Conditions;
    use crate::section::{Better, Figure, Row};

    #[test]
    fn cases_of_one_figure_are_one_line() {
        let rows = [("50", 4.0, 2.0), ("1000", 9.0, 3.0), ("10", 1.0, 2.0)];
        let rows = rows.into_iter().flat_map(|(case, ours, theirs)| {
            let row = |name, is_ours, value: f64| Row::new(case, name, is_ours).with("a", value);
            [row("tsq", true, ours), row("chronyd, NTP", false, theirs)]
        });
        let section = Section {
            id: "server".into(),
            title: "Server".into(),
            question: String::new(),
            command: String::new(),
            conditions: Conditions::now(),
            figures: vec![Figure::new("a", "cost", "us", Better::Less).plotted()],
            rows: rows.collect(),
            notes: Vec::new(),
        };
        assert_eq!(
            of_section(&section, false),
            ["Server, cost: chronyd, NTP in 2 of 3 cases, ×2.0 to ×3.0"]
        );
        assert_eq!(
            of_section(&section, true),
            ["Server, cost: tsq in 1 of 3 cases, ×2.0"]
        );
    }
}
