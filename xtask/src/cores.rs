//! Cores take clocks, sockets, files, threads and chance as arguments: no file of theirs may name a way to them.

use tsq_workbench::process::Failure;
use tsq_workbench::workspace::Workspace;

use crate::code;

/// A folder or file that is held to it, and what in it is not: the shells around the core.
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
        shells: &[
            "asynchronous.rs",
            "asynchronous",
            "session.rs",
            "resolve.rs",
            "fallback",
            "trust/mod.rs",
        ],
    },
    Core {
        place: "tsq-net/src",
        shells: &["lib.rs", "socket", "shard", "stamp.rs", "tls"],
    },
    Core {
        place: "tsq-server/src/limits",
        // The options; and who draws the seed.
        shells: &["args.rs", "seed.rs"],
    },
    Core {
        place: "tsq-sim/src",
        shells: &["commands.rs", "compare.rs"],
    },
    file("tsq-server/src/answer.rs"),
    file("tsq-server/src/certificate/standing.rs"),
    file("tsq-server/src/counts.rs"),
    file("tsq-server/src/departures.rs"),
    file("tsq-server/src/responder.rs"),
    file("tsq-server/src/rules.rs"),
    file("tsq-server/src/streams.rs"),
    file("tsq-server/src/teller.rs"),
];

const fn file(place: &'static str) -> Core {
    Core { place, shells: &[] }
}

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
    ("RandomState", "chance"),
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
        for (file, source) in &code::sources(&place)? {
            let inside = file.strip_prefix(&place).unwrap_or(file);
            if core.shells.iter().any(|shell| inside.starts_with(shell)) {
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

/// Line, word and meaning of each forbidden word in the code.
fn reaches(source: &str) -> impl Iterator<Item = (usize, &'static str, &'static str)> {
    code::lines(source).flat_map(|(number, line)| {
        let named = REACHES.iter().filter(|(word, _)| names(line, word));
        named.map(move |(word, what)| (number, *word, *what))
    })
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
}
