//! The short table of the project's README.

use super::verdict::{Side, Verdict, verdicts};
use crate::Error;
use crate::results::Results;

/// Where the table stands.
const BEGIN: &str = "<!-- results: written by tsq-bench render -->\n";
const END: &str = "<!-- end of results -->\n";

/// The README with the table of these results between its marks.
///
/// # Errors
/// It has no marks.
pub fn in_readme(readme: &str, results: &Results) -> Result<String, Error> {
    let parts = readme.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = parts.ok_or_else(|| {
        format!(
            "the README has no table of results between {} and {}",
            BEGIN.trim(),
            END.trim()
        )
    })?;
    Ok(format!("{before}{BEGIN}{}{END}{after}", table(results)))
}

fn table(results: &Results) -> String {
    let rows: Vec<String> = GIST
        .iter()
        .filter_map(|gist| row(results, gist))
        .map(|cells| format!("| {} |\n", cells.join(" | ")))
        .collect();
    match rows.is_empty() {
        true => String::new(),
        false => format!("{HEADING}{}", rows.concat()),
    }
}

/// None where the section was not measured, or nobody but us took part.
fn row(results: &Results, gist: &Gist) -> Option<[String; 5]> {
    let sections = results.sections.iter().map(|measured| &measured.section);
    let section = sections
        .into_iter()
        .find(|section| section.id == gist.section)?;
    let verdict = verdicts(section)
        .into_iter()
        .find(|verdict| verdict.figure.key == gist.figure && verdict.case == gist.case)?;
    Some(cells(&section.title, &verdict))
}

/// One line of the table: a section's figure in one case.
struct Gist {
    section: &'static str,
    figure: &'static str,
    case: &'static str,
}

/// What a reader of the README asks first: how long, how exact, and what a server must spend.
const GIST: [Gist; 3] = [
    gist("one-shot", "wall_ms", "20 ms round trip"),
    gist("bounds", "error_median_us", "veth, idle"),
    gist("server", "cpu_us", "50 clients"),
];

const fn gist(section: &'static str, figure: &'static str, case: &'static str) -> Gist {
    Gist {
        section,
        figure,
        case,
    }
}

const HEADING: &str = "| | TSQ, this project | the best with NTS | the best of all others | |\n|---|---|---|---|---|\n";

fn cells(title: &str, verdict: &Verdict<'_>) -> [String; 5] {
    let side = |(value, subject): (String, &str)| match subject {
        "" => value,
        _ => format!("{value}, {subject}"),
    };
    let nts = |nts: &Side<'_>| side((verdict.value(nts), nts.subject));
    [
        format!("{title}: {}", verdict.what()),
        side(verdict.of_ours()),
        verdict.best_nts().map_or("–".into(), nts),
        side(verdict.of_theirs()),
        verdict.words(),
    ]
    .map(|cell| cell.replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let readme = format!("before\n{BEGIN}old\n{END}after\n");
        let new = in_readme(&readme, &Results::default()).unwrap();
        assert!(new.starts_with("before\n<!-- results"));
        assert!(new.ends_with("-->\nafter\n"));
        assert!(!new.contains("old"));
        assert_eq!(in_readme(&new, &Results::default()).unwrap(), new);
    }

    #[test]
    fn readme_without_marks_is_refused() {
        assert!(in_readme("no marks", &Results::default()).is_err());
    }
}
