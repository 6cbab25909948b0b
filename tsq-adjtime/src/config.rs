//! The configuration: the options of a run from a TOML file, with those of the command line over them
//! ([`tsq_config`]). The other commands take from it what bears on a measurement.

use std::io;
use std::path::Path;

pub use tsq_config::ConfigError;
use tsq_config::Options;

use crate::args::Args;

/// The client's options from both places.
pub type Loaded = tsq_config::Loaded<Args>;

impl Options for Args {
    const PROGRAM: &'static str = "tsq-adjtime";
    /// Without a check of certificates is spelled out in full, each time.
    const FLAGS_ONLY: &'static [&'static str] = &["config", "insecure", "help", "version"];
    /// What a command has of its own under the same name.
    const OWN: &'static [&'static str] = &["timeout", "json", "verbose"];

    fn read(path: &Path) -> io::Result<Vec<u8>> {
        tsq_certs::read_small_file(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Command;

    fn load(text: &str, words: &[&str]) -> Result<Loaded, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        std::fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap().to_owned();
        let (command, options) = match words.split_first() {
            Some((first, rest)) if !first.starts_with('-') && Command::is_name(first) => {
                (vec![*first], rest)
            }
            _ => (Vec::new(), words),
        };
        let first = [
            &["tsq-adjtime"],
            &command[..],
            &["--config", &path],
            options,
        ]
        .concat();
        Loaded::from_words(first)
    }

    const PIN: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn file_says_what_flags_say() {
        let text = format!(
            "servers = [\"a\", \"b:8443\"]\npin = \"{PIN}\"\nmin-sources = 2\nmax-offset = \"none\"\n\
             slew-threshold = 50.5\ntrust = [\"a\"]\nno-verify = true\nfallback = [\"nts\", \"ntp\"]\n"
        );
        let by_file = load(&text, &[]).unwrap().args;
        let words = format!(
            "tsq-adjtime --pin {PIN} --min-sources 2 --max-offset none --slew-threshold 50.5 --trust a \
             --no-verify --fallback nts,ntp a b:8443"
        );
        let mut by_flags = Loaded::from_words(words.split(' ')).unwrap().args;
        by_flags.reach.config.clone_from(&by_file.reach.config);
        assert_eq!(format!("{by_file:?}"), format!("{by_flags:?}"));
    }

    #[test]
    fn servers_on_the_command_line_replace_those_of_the_file() {
        let merged = load(
            "servers = [\"a\", \"b\"]\nqueries = 7\n",
            &["--queries", "3", "c"],
        );
        let args = merged.unwrap().args;
        assert_eq!((args.servers, args.reach.queries), (vec!["c".into()], 3));
    }

    #[test]
    fn options_that_need_each_other_may_be_in_both_places() {
        let args = load(
            "client-key = \"k\"\nservers = \"a\"\n",
            &["--client-cert", "c"],
        );
        assert!(args.unwrap().args.reach.client_key.is_some());
        assert!(load("servers = \"a\"\n", &["--client-cert", "c"]).is_err());
        assert!(load("client-key = \"k\"\nservers = \"a\"\n", &[]).is_err());
    }

    #[test]
    fn other_commands_take_what_bears_on_a_measurement() {
        let text = format!(
            "servers = [\"a\", \"b\"]\npin = \"{PIN}\"\nmax-offset = 5\ntimeout = 700\nquiet = true\n\
             state-dir = \"/state\"\n"
        );
        for name in ["wait", "check", "explain", "rtc"] {
            let args = load(&text, &[name]).unwrap().args;
            let (servers, reach) = match args.command {
                Some(
                    Command::Wait { servers, reach, .. }
                    | Command::Check { servers, reach, .. }
                    | Command::Explain { servers, reach, .. }
                    | Command::Rtc { servers, reach, .. },
                ) => (servers, reach),
                other => panic!("{other:?}"),
            };
            assert_eq!((servers.len(), reach.pin.len()), (2, 1), "{name}");
            // What was kept there bears on what is believed.
            assert_eq!(
                reach.state_dir.as_deref(),
                Some(Path::new("/state")),
                "{name}"
            );
        }
        // It says what a run would do.
        let Some(Command::Check { limits, .. }) = load(&text, &["check"]).unwrap().args.command
        else {
            panic!("no check");
        };
        assert_eq!(limits.max_offset, std::time::Duration::from_millis(5));
        let args = load(&text, &["wait", "--timeout", "9s", "c"]).unwrap().args;
        let Some(Command::Wait {
            servers, timeout, ..
        }) = args.command
        else {
            panic!("{args:?}");
        };
        assert_eq!(
            (servers, timeout),
            (vec!["c".to_string()], std::time::Duration::from_secs(9))
        );
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, place, problem) in [
            ("servers = [\"a\",\n", ":1:16: ", "array"),
            ("\nserver = \"a\"\n", ":2:1: ", "did you mean servers?"),
            ("max_offset = 5\n", ":1:1: ", "did you mean max-offset?"),
            ("servers = [\"a\", \"check\"]\n", ":1:17: ", "is a command"),
            ("min-sources = \"2\"\n", ":1:15: ", "a number is expected"),
            ("max-offset = \"all\"\n", ":1:14: ", "none"),
            ("pin = \"abc\"\n", ":1:7: ", ""),
            ("insecure = true\n", ":1:1: ", "belongs on the command line"),
        ] {
            let told = load(text, &["a"]).unwrap_err().to_string();
            assert!(told.contains(place), "{text}: {told}");
            assert!(told.contains(problem), "{text}: {told}");
        }
    }

    #[test]
    fn shipped_sample_is_right_and_so_is_each_line_that_is_commented_out() {
        let sample = include_str!("../../packaging/tsq-adjtime.toml");
        load(sample, &[]).unwrap();
        for line in sample.lines().filter_map(|line| line.strip_prefix("# ")) {
            let is_key = line
                .split_once(" = ")
                .is_some_and(|(key, _)| !key.contains(' '));
            if is_key && let Err(error @ ConfigError::At { .. }) = load(line, &["a"]) {
                panic!("{error}");
            }
        }
    }
}
