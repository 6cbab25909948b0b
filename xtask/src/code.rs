//! The code of a crate's library: its files without comments and tests.

use std::path::{Path, PathBuf};

use tsq_workbench::files;
use tsq_workbench::process::Failure;

/// The files below `place` (or that one file) that are not for tests alone, with their sources.
pub(crate) fn sources(place: &Path) -> Result<Vec<(PathBuf, String)>, Failure> {
    let files = match place.is_file() {
        true => vec![place.to_path_buf()],
        false => files::with_extension(place, &["rs"])?,
    };
    if files.is_empty() {
        return Err(Failure::new(format!("{} is gone", place.display())));
    }
    let sources = files
        .into_iter()
        .map(|file| files::read(&file).map(|source| (file, source)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let tests = test_modules(&sources);
    let is_test = |file: &Path| tests.iter().any(|test| file.starts_with(test));
    Ok(sources
        .into_iter()
        .filter(|(file, _)| !is_test(file))
        .collect())
}

/// The numbered lines of `source` outside comments and before the tests, which come last.
pub(crate) fn lines(source: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines: Vec<&str> = source.lines().collect();
    let tests = lines.windows(2).position(|pair| {
        pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
    });
    let end = tests.unwrap_or(lines.len());
    let code = (1..).zip(lines.into_iter().take(end));
    code.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Where the modules lie that only tests have: files, and folders of the same name.
fn test_modules(sources: &[(PathBuf, String)]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (file, source) in sources {
        let stem = file.with_extension("");
        let below = match stem
            .file_name()
            .is_some_and(|name| name == "mod" || name == "lib")
        {
            true => stem.parent().unwrap_or(&stem).to_path_buf(),
            false => stem,
        };
        let lines: Vec<&str> = source.lines().collect();
        for pair in lines.windows(2) {
            let name = pair[1].strip_prefix("mod ");
            if let ("#[cfg(test)]", Some(name)) = (pair[0], name.and_then(|n| n.strip_suffix(';')))
            {
                found.push(below.join(name));
                found.push(below.join(format!("{name}.rs")));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_tests_are_found_by_who_includes_them() {
        let text = "mod a;\n#[cfg(test)]\nmod tests;\n".to_string();
        for (file, wanted) in [
            ("src/queries.rs", "src/queries/tests.rs"),
            ("src/trust/mod.rs", "src/trust/tests.rs"),
            ("src/lib.rs", "src/tests.rs"),
        ] {
            let found = test_modules(&[(file.into(), text.clone())]);
            assert!(found.contains(&PathBuf::from(wanted)), "{found:?}");
            assert!(!found.contains(&PathBuf::from(file)), "{found:?}");
        }
    }
}
