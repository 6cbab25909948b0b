//! The configuration: [`Args`] from a TOML file, with those of the command line over them ([`tsq_config`]).

use std::io;
use std::path::Path;

pub use tsq_config::ConfigError;
use tsq_config::Options;

use crate::args::{Args, FLAGS_ONLY};
use crate::small_file;

/// The server's options from both places.
pub type Loaded = tsq_config::Loaded<Args>;

impl Options for Args {
    const PROGRAM: &'static str = "tsq-server";
    const FLAGS_ONLY: &'static [&'static str] = FLAGS_ONLY;

    fn read(path: &Path) -> io::Result<Vec<u8>> {
        small_file::read(path)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn load(text: &str, words: &[&str]) -> Result<Loaded, ConfigError> {
        let file = file(text);
        let path = file.path().to_str().unwrap();
        let first = ["tsq-server", "--config", path];
        Loaded::from_words(first.iter().chain(words))
    }

    fn args(text: &str, words: &[&str]) -> Args {
        load(text, words).unwrap().args
    }

    #[test]
    fn file_says_what_flags_say() {
        let text = "listen = [\"127.0.0.1:1\", \"[::1]:2\"]\nstratum = 2\nno-chrony = true\n\
                    source = \"gps\"\nannotate = [\"site=x\"]\nlog-level = \"debug\"\n";
        let words = "tsq-server --listen 127.0.0.1:1 --listen [::1]:2 --stratum 2 --no-chrony \
                     --source gps --annotate site=x --log-level debug";
        let by_flags = Loaded::from_words(words.split(' ')).unwrap().args;
        let by_file = Args {
            config: None,
            ..args(text, &[])
        };
        assert_eq!(by_file, by_flags);
    }

    #[test]
    fn times_are_numbers_of_seconds_or_texts_with_units() {
        for (text, seconds) in [
            ("holdover = 90\n", 90.0),
            ("holdover = 1.5\n", 1.5),
            ("holdover = \"2m\"\n", 120.0),
            ("holdover = \"500ms\"\n", 0.5),
        ] {
            let loaded = load(text, &[]).unwrap();
            let expected = std::time::Duration::from_secs_f64(seconds);
            assert_eq!(loaded.args.holdover, expected, "{text}");
            let printed = loaded.to_toml();
            assert!(printed.contains(text), "{printed}");
        }
        let words = [
            "tsq-server",
            "--idle-timeout",
            "1m",
            "--handshake-timeout=5",
        ];
        let limits = Loaded::from_words(words).unwrap().args.limits;
        let found = [limits.idle_timeout, limits.handshake_timeout];
        assert_eq!(found.map(|time| time.as_secs()), [60, 5]);
    }

    #[test]
    fn what_a_file_says_cannot_write_to_the_terminal() {
        for text in [
            "\"\\u001b]0;x\\u0007\\u202e\" = 1\n",
            "refid = \"\\u001b[2J\\u009b\"\n",
            "source = \"\\u001b[2J\\u202e\"\n",
            "annotate = \"\\u001b[2J\\u2028\"\n",
            "allow = \"\\u001b[2J\"\n",
            "idle-timeout = \"1\\u001b[2J\"\n",
        ] {
            let words = load(text, &[]).unwrap_err().to_string();
            assert!(
                words.is_ascii() && !words.contains(char::is_control),
                "{words:?}"
            );
        }
    }

    #[test]
    fn flag_replaces_all_that_the_file_says_of_it() {
        let text = "listen = [\"127.0.0.1:1\", \"[::1]:2\"]\nstratum = 2\nno-chrony = true\n";
        let merged = args(text, &["--listen", "127.0.0.1:3", "--no-chrony=false"]);
        assert_eq!(merged.listen, ["127.0.0.1:3".parse().unwrap()]);
        assert_eq!((merged.stratum, merged.no_chrony), (Some(2), false));
        assert!(args("", &["--no-chrony=true"]).no_chrony);
    }

    #[test]
    fn one_value_stands_for_a_list_of_one() {
        let merged = args("listen = \"127.0.0.1:1\"", &[]);
        assert_eq!(merged.listen.len(), 1);
    }

    #[test]
    fn annotations_may_be_a_table() {
        let merged = args("[annotate]\nsite = \"berlin\"\nrack = \"4=a\"\n", &[]);
        let expected = [("site", "berlin"), ("rack", "4=a")];
        let mut found = merged.annotate;
        found.sort_by(|a, b| b.cmp(a));
        assert_eq!(found, expected.map(|(k, v)| (k.to_string(), v.to_string())));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, place, problem) in [
            ("listen = [\n", (1, 11), "array"),
            ("\nstratm = 2\n", (2, 1), "did you mean stratum?"),
            ("frobnicate = 2\n", (1, 1), "unknown key"),
            (
                "max_connections = 2\n",
                (1, 1),
                "did you mean max-connections?",
            ),
            ("client_ca = \"x\"\n", (1, 1), "did you mean client-ca?"),
            ("no_chrony = true\n", (1, 1), "did you mean no-chrony?"),
            (
                "[annotate]\nsite = \"x\"\nmetrics = \"127.0.0.1:1\"\n",
                (3, 1),
                "metrics is an option",
            ),
            (
                "[server]\nlisten = \"127.0.0.1:1\"\n",
                (1, 2),
                "unknown table [server]",
            ),
            ("stratum = 16\n", (1, 11), "16 is not in 1..=15"),
            (
                "stratum = \"2\"\n",
                (1, 11),
                "a number is expected, not a string",
            ),
            ("smear = 2\n", (1, 9), "a string is expected, not a number"),
            (
                "no-chrony = \"yes\"\n",
                (1, 13),
                "true or false is expected",
            ),
            (
                "listen = [\"127.0.0.1:1\", \"here\"]\n",
                (1, 26),
                "not an address and port",
            ),
            (
                "threads = 2.5\n",
                (1, 11),
                "a whole number is expected, in 1..=64",
            ),
            (
                "max-connections = 20000000000000000000\n",
                (1, 19),
                "a whole number is expected, in 1..",
            ),
            ("max-connections = 0\n", (1, 19), "0 is not in 1.."),
            (
                "max-requests-per-second = 1.5\n",
                (1, 27),
                "a whole number is expected",
            ),
            (
                "holdover = true\n",
                (1, 12),
                "a number or a string such as \"10s\" is expected",
            ),
            ("holdover = \"8d\"\n", (1, 12), "not between 0s and 7d"),
            (
                "idle-timeout = \"10x\"\n",
                (1, 16),
                "the unit \"x\" is none of",
            ),
            ("refid = [\"A\", \"B\"]\n", (1, 9), "one value is expected"),
            (
                "[stratum]\nx = 1\n",
                (1, 1),
                "a number is expected, not a table",
            ),
            ("source = \"gsp\"\n", (1, 10), "gps"),
            ("check = true\n", (1, 1), "belongs on the command line"),
            ("stratum = 1\nstratum = 2\n", (2, 1), "duplicate"),
        ] {
            let error = load(text, &[]).unwrap_err();
            let ConfigError::At {
                place: found,
                problem: words,
                ..
            } = &error
            else {
                panic!("{text}: {error}");
            };
            assert_eq!((found.line, found.column), place, "{text}: {error}");
            assert!(words.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn printed_options_say_the_same_when_read() {
        let text = "listen = \"127.0.0.1:1\"\nstratum = 2\nsmear = \"a \\\"b\\\" \\\\ c\"\n\
                    no-chrony = true\nannotate = [\"site=x\", \"a=b\"]\n";
        let first = load(text, &[]).unwrap();
        let printed = first.to_toml();
        let second = load(&printed, &[]).unwrap();
        let without_path = |args: &Args| Args {
            config: None,
            ..args.clone()
        };
        assert_eq!(
            without_path(&first.args),
            without_path(&second.args),
            "{printed}"
        );
        assert_eq!(second.to_toml(), printed);
    }

    #[test]
    fn missing_file_is_named() {
        let error = Loaded::from_words(["tsq-server", "--config", "/nonexistent/a.toml"]);
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("/nonexistent/a.toml")
        );
    }
}
