//! A library does not know the options of the programs over it: no word of theirs is in what it says.

use crate::code;
use tsq_workbench::process::Failure;
use tsq_workbench::workspace::Workspace;

const LIBRARIES: &[&str] = &[
    "tsq-proto",
    "tsq-algo",
    "tsq-clock",
    "tsq-keys",
    "tsq-net",
    "tsq-ntp",
    "tsq-x509",
    "tsq-client",
    "tsq-host",
    "tsq-sync",
    "tsq-view",
];

/// A line for each option that a library names.
pub(crate) fn findings(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let mut findings = Vec::new();
    for library in LIBRARIES {
        let place = workspace.root.join(library).join("src");
        for (file, source) in &code::sources(&place)? {
            let file = workspace.relative(file).display();
            let named = flags(source);
            findings.extend(
                named.map(|(line, flag)| format!("{file}:{line}: {flag} is a program's word")),
            );
        }
    }
    Ok(findings)
}

/// Line and name of each option in the code.
fn flags(source: &str) -> impl Iterator<Item = (usize, &str)> {
    code::lines(source).flat_map(|(number, line)| {
        let found = line.match_indices("--").filter_map(move |(at, _)| {
            let before = line[..at].chars().next_back();
            let rest = &line[at + 2..];
            let stop = |after: char| !after.is_ascii_alphanumeric() && after != '-';
            let end = rest.find(stop).unwrap_or(rest.len());
            let begins = rest.starts_with(|first: char| first.is_ascii_lowercase());
            // `xn--` is how a name is written.
            let alone = !before.is_some_and(|before| before.is_alphanumeric() || before == '-');
            (begins && alone).then(|| &line[at..at + 2 + end])
        });
        found.map(move |flag| (number, flag))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_in_what_is_said_and_nowhere_else() {
        let source = "\
//! --in-a-comment
const WORDS: &str = \"give --max-step, or `--pin`\";
const NAME: &str = \"xn--bcher.example, 5--x, ---\";
#[cfg(test)]
mod tests {
    const ARGS: &str = \"--in-a-test\";
}
";
        let found: Vec<_> = flags(source).collect();
        assert_eq!(found, [(2, "--max-step"), (2, "--pin")]);
    }
}
