//! The short table of the project's README.

use super::verdict::{Side, Verdict, verdicts};
use crate::Error;
use crate::results::Results;

/// Where the table stands.
const BEGIN: &str = "<!-- results: written by tsq-bench render -->\n";
const END: &str = "<!-- end of results -->\n";

/// A reader of the README wants the gist.
const MOST_ROWS: usize = 8;

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

/// The first figure of each section in its first case: sections put first what matters most.
fn table(results: &Results) -> String {
    let sections = results.sections.iter().map(|measured| &measured.section);
    let firsts = sections.filter_map(|section| {
        let verdict = verdicts(section).into_iter().next()?;
        Some((section.title.as_str(), verdict))
    });
    let rows: Vec<String> = firsts
        .take(MOST_ROWS)
        .map(|(title, verdict)| format!("| {} |\n", cells(title, &verdict).join(" | ")))
        .collect();
    match rows.is_empty() {
        true => String::new(),
        false => format!("{HEADING}{}", rows.concat()),
    }
}

const HEADING: &str =
    "| | TSQ, this project | the best of the others | with NTS | |\n|---|---|---|---|---|\n";

fn cells(title: &str, verdict: &Verdict<'_>) -> [String; 5] {
    let side = |(value, subject): (String, &str)| match subject {
        "" => value,
        _ => format!("{value}, {subject}"),
    };
    let nts = |nts: &Side<'_>| side((verdict.value(nts), nts.subject));
    [
        format!("{title}: {}", verdict.what()),
        side(verdict.of_ours()),
        side(verdict.of_theirs()),
        verdict.nts.as_ref().map_or("–".into(), nts),
        verdict.words_against(verdict.theirs.as_ref()),
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
