//! Comments that name a rule of the protocol, such as `tsq: E4` after a comment mark, in Rust and Python.

use std::path::{Component, Path};

use tsq_workbench::files;
use tsq_workbench::process::Failure;
use tsq_workbench::workspace::Workspace;

/// One rule id, cited once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Citation {
    pub(crate) id: String,
    /// As seen from the project's root, with forward slashes.
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) role: Role,
    /// The function cited in; none for a whole file.
    pub(crate) function: Option<String>,
}

/// What the citing place is to the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Implements,
    Proves,
}

/// Every citation of the project.
pub(crate) fn all(workspace: &Workspace) -> Result<Vec<Citation>, Failure> {
    let mut citations = Vec::new();
    for path in files::with_extension(&workspace.root, &["rs", "py"])? {
        let relative = workspace.relative(&path);
        if !says_nothing(relative) {
            citations.extend(in_file(relative, &files::read(&path)?));
        }
    }
    Ok(citations)
}

/// Benchmarks neither implement nor prove a rule, and this program only talks about rules.
fn says_nothing(file: &Path) -> bool {
    has_part(file, "benches") || file.starts_with("xtask")
}

fn in_file(file: &Path, text: &str) -> Vec<Citation> {
    let lines: Vec<&str> = text.lines().collect();
    let tests_from = if is_test_file(file) {
        0
    } else {
        tests_start(&lines)
    };
    let name = file.to_string_lossy().replace('\\', "/");
    let mut citations = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        for id in cited_ids(line) {
            let role = if index >= tests_from {
                Role::Proves
            } else {
                Role::Implements
            };
            let function = function_of(&lines, index);
            citations.push(Citation {
                id: id.to_owned(),
                file: name.clone(),
                line: index + 1,
                role,
                function,
            });
        }
    }
    citations
}

/// The words after the mark. They are ids or mistakes; the ledger tells which.
fn cited_ids(line: &str) -> impl Iterator<Item = &str> {
    let cited = line
        .split_once(" tsq: ")
        .filter(|(before, _)| is_comment_mark(before))
        .map_or("", |(_, ids)| ids);
    cited.split([' ', ',']).filter(|word| !word.is_empty())
}

/// The mark starts the line or follows code and a blank: `"https:// tsq: "` in a string is no comment.
fn is_comment_mark(before: &str) -> bool {
    let word = before.rsplit(char::is_whitespace).next();
    word.is_some_and(|word| matches!(word, "//" | "///" | "//!" | "#"))
}

fn is_test_file(file: &Path) -> bool {
    file.starts_with("interop")
        || file.starts_with("fuzz")
        || has_part(file, "tests")
        || file.file_stem().is_some_and(|stem| stem == "tests")
}

fn has_part(file: &Path, part: &str) -> bool {
    file.components()
        .any(|component| component == Component::Normal(part.as_ref()))
}

/// The line of `#[cfg(test)]` before the tests' module, which stands last in a file.
fn tests_start(lines: &[&str]) -> usize {
    let opens_tests = |index: &usize| {
        let below = lines[index + 1..]
            .iter()
            .find(|line| !line.trim_start().starts_with("#["));
        lines[*index].trim() == "#[cfg(test)]"
            && below.is_some_and(|line| line.contains("mod ") && line.contains('{'))
    };
    (0..lines.len()).find(opens_tests).unwrap_or(lines.len())
}

/// The function a comment stands above, else the one it stands in.
fn function_of(lines: &[&str], comment: usize) -> Option<String> {
    if lines[comment].trim_start().starts_with("//!") {
        return None;
    }
    let is_skipped = |line: &&&str| {
        let line = line.trim_start();
        line.is_empty() || line.starts_with("//") || line.starts_with('#')
    };
    let below = lines[comment + 1..]
        .iter()
        .find(|line| !is_skipped(line))
        .and_then(|line| function_name(line));
    let around = || {
        let inside = lines[comment].len() - lines[comment].trim_start().len();
        let outer = |line: &&&str| line.len() - line.trim_start().len() < inside;
        lines[..comment]
            .iter()
            .rev()
            .filter(outer)
            .find_map(|line| function_name(line))
    };
    below.or_else(around)
}

fn function_name(line: &str) -> Option<String> {
    let mut words = line.split_whitespace().skip_while(|word| is_modifier(word));
    let rest = match words.next()? {
        "fn" | "def" => words.next()?,
        _ => return None,
    };
    let name: String = rest
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    (!name.is_empty()).then_some(name)
}

fn is_modifier(word: &str) -> bool {
    matches!(word, "const" | "async" | "unsafe" | "extern") || word.starts_with("pub")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cite(file: &str, text: &str) -> Vec<(String, Role, Option<String>)> {
        in_file(Path::new(file), text)
            .into_iter()
            .map(|c| (c.id, c.role, c.function))
            .collect()
    }

    #[test]
    fn every_comment_form_is_read() {
        let text = "//! tsq: E1\n/// tsq: E2 E3\nlet x = 1; // tsq: T4, T5\n# tsq: F2\n";
        let ids: Vec<String> = in_file(Path::new("a/src/lib.rs"), text)
            .into_iter()
            .map(|c| c.id)
            .collect();
        assert_eq!(ids, ["E1", "E2", "E3", "T4", "T5", "F2"]);
    }

    #[test]
    fn text_that_only_resembles_a_citation_is_skipped() {
        assert_eq!(cited_ids("println!(\"tsq: E1\")").count(), 0);
        assert_eq!(cited_ids("let url = \"https:// tsq: E1\";").count(), 0);
        assert_eq!(cited_ids("error tsq: E1").count(), 0);
    }

    #[test]
    fn code_above_the_test_module_implements_and_below_proves() {
        let text = "#[cfg(test)]\nextern crate std;\n// tsq: E2\nfn delay() {}\n#[cfg(test)]\nmod tests {\n    // tsq: E2\n    #[test]\n    fn delay_is_right() {}\n}\n";
        let expected = [
            ("E2".to_owned(), Role::Implements, Some("delay".to_owned())),
            (
                "E2".to_owned(),
                Role::Proves,
                Some("delay_is_right".to_owned()),
            ),
        ];
        assert_eq!(cite("tsq-proto/src/a.rs", text), expected);
    }

    #[test]
    fn tests_folders_interop_and_fuzz_prove() {
        for file in [
            "tsq-net/tests/a.rs",
            "tsq-net/src/tests.rs",
            "interop/src/lib.rs",
            "fuzz/src/codec_bytes.rs",
            "interop/peers/a.py",
        ] {
            assert!(is_test_file(Path::new(file)), "{file}");
        }
        assert!(!is_test_file(Path::new("tsq-net/src/contests.rs")));
    }

    #[test]
    fn comment_inside_a_function_names_that_function() {
        let text = "fn first() {}\npub(crate) const fn second() {\n    let f = || {\n        // tsq: E4\n        let x = 1;\n    };\n}\n";
        assert_eq!(
            cite("a/src/lib.rs", text),
            [("E4".to_owned(), Role::Implements, Some("second".to_owned()))]
        );
    }

    #[test]
    fn comment_on_a_whole_file_names_no_function() {
        let text = "//! tsq: E4\nfn first() {}\n";
        assert_eq!(
            cite("a/src/lib.rs", text),
            [("E4".to_owned(), Role::Implements, None)]
        );
    }

    #[test]
    fn python_functions_are_named() {
        let text = "async def serve(port: int) -> None:\n    # tsq: F3\n    return\n";
        assert_eq!(
            cite("interop/peers/a.py", text),
            [("F3".to_owned(), Role::Proves, Some("serve".to_owned()))]
        );
    }
}
