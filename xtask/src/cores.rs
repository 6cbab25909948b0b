//! Cores take clocks, sockets, files, threads and chance as arguments: no file of theirs may name a way to them.

use std::path::{Path, PathBuf};

use tsq_workbench::files;
use tsq_workbench::process::Failure;
use tsq_workbench::workspace::Workspace;

/// A folder that is held to it, and what in it is not: the shells around the core.
struct Core {
    place: &'static str,
    shells: &'static [&'static str],
}

const CORES: &[Core] = &[
    Core {
        place: "tsq-algo/src",
        shells: &[],
    },
    Core {
        place: "tsq-client/src",
        shells: &["session.rs", "resolve.rs", "fallback", "trust/mod.rs"],
    },
    Core {
        place: "tsq-net/src",
        shells: &["lib.rs", "socket", "shard", "stamp.rs", "tls"],
    },
];

/// What may not be named, and what it would reach.
const REACHES: &[(&str, &str)] = &[
    ("Instant::now", "a clock"),
    ("SystemTime", "a clock"),
    ("UnixTime::now", "a clock"),
    ("DefaultTimeProvider", "a clock"),
    ("Ambient::default", "a clock and chance"),
    ("ClockPair::read", "a clock"),
    ("monotonic_now", "a clock"),
    ("stamp::now", "a clock"),
    ("tsq_net::now", "a clock"),
    ("SystemRandom", "chance"),
    ("rand::", "chance"),
    ("UdpSocket", "a socket"),
    ("TcpStream", "a socket"),
    ("Socket::", "a socket"),
    ("ToSocketAddrs", "the resolver"),
    ("std::fs", "files"),
    ("std::env", "the environment"),
    ("std::thread", "threads"),
];

/// A line for each place where a core reaches out by itself.
pub(crate) fn findings(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let mut findings = Vec::new();
    for core in CORES {
        let place = workspace.root.join(core.place);
        let sources = sources(&place)?;
        let tests = test_modules(&sources);
        for (file, source) in &sources {
            let inside = file.strip_prefix(&place).unwrap_or(file);
            let is_shell = core.shells.iter().any(|shell| inside.starts_with(shell));
            if is_shell || tests.iter().any(|test| file.starts_with(test)) {
                continue;
            }
            let file = workspace.relative(file).display();
            let found = reaches(source);
            findings.extend(
                found.map(|(line, word, what)| format!("{file}:{line}: {word} reaches {what}")),
            );
        }
    }
    Ok(findings)
}

fn sources(place: &Path) -> Result<Vec<(PathBuf, String)>, Failure> {
    let files = files::with_extension(place, &["rs"])?;
    if files.is_empty() {
        return Err(Failure::new(format!("{} is gone", place.display())));
    }
    files
        .into_iter()
        .map(|file| files::read(&file).map(|source| (file, source)))
        .collect()
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

/// Line, word and meaning of each forbidden word, outside comments and before the tests, which come last.
fn reaches(source: &str) -> impl Iterator<Item = (usize, &'static str, &'static str)> {
    let lines: Vec<&str> = source.lines().collect();
    let tests = lines.windows(2).position(|pair| {
        pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
    });
    let end = tests.unwrap_or(lines.len());
    let code = lines.into_iter().take(end).enumerate();
    code.filter(|(_, line)| !line.trim_start().starts_with("//"))
        .flat_map(|(index, line)| {
            let named = REACHES.iter().filter(|(word, _)| names(line, word));
            named
                .map(move |(word, what)| (index + 1, *word, *what))
                .collect::<Vec<_>>()
        })
        .collect::<Vec<_>>()
        .into_iter()
}

/// Whether the word is there, and not as the end of another.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(source: &str) -> Vec<usize> {
        reaches(source).map(|(line, ..)| line).collect()
    }

    #[test]
    fn clocks_sockets_and_chance_are_found_in_code_only() {
        let source = "\
//! Instant::now
use ring::rand::SystemRandom;
fn f() { let now = std::time::Instant::now(); }
// UdpSocket
fn g() { let now = called.now(); unused::RawSocket::new(); }
#[cfg(test)]
mod tests {
    fn h() { Instant::now(); }
}
";
        assert_eq!(lines_of(source), [2, 2, 3]);
        assert_eq!(lines_of("#[cfg(test)]\nmod tests;\nstd::env::args()"), [3]);
    }

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
