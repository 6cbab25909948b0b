//! Configuration of our programs: options from a TOML file, with those of the command line over them.
//!
//! A file is a command line in another notation: `stratum = 2` is `--stratum 2`, an array is a
//! repeated option, `true` is a switch. So a program has one list of options ([`Options`]), one way
//! to check a value, and nothing to keep in step. What this crate adds is the place in the file, the
//! type a value must have in TOML, and who wins. It knows no option of any program.

#![forbid(unsafe_code)]

mod error;
mod file;
mod print;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};

pub use error::{ConfigError, Place};

/// The options of a program, `--config FILE` among them.
pub trait Options: CommandFactory + FromArgMatches {
    /// The program's name, for messages.
    const PROGRAM: &'static str;

    /// Flags that are no settings, and therefore no keys of a file; with `config`, `help` and `version`.
    const FLAGS_ONLY: &'static [&'static str];

    /// Reads the whole file.
    ///
    /// # Errors
    /// Those of the system; and it is no file to take settings from.
    fn read(path: &Path) -> io::Result<Vec<u8>>;
}

/// Options from both places.
#[derive(Debug)]
pub struct Loaded<A> {
    /// The options, each from where it is set.
    pub args: A,
    matches: ArgMatches,
}

impl<A: Options> Loaded<A> {
    /// Reads `words`, the command line with the program's name, and the file it names.
    ///
    /// An option on the command line replaces all that the file says of it; `--switch=false` undoes
    /// a switch of the file's.
    ///
    /// # Errors
    /// See [`ConfigError`]; `--help` and `--version` are among them, as clap has it.
    pub fn from_words<W>(words: impl IntoIterator<Item = W>) -> Result<Self, ConfigError>
    where
        W: Into<OsString>,
    {
        let (words, undone) = undo_switches::<A>(words.into_iter().map(Into::into).collect());
        let flags = A::command().try_get_matches_from(&words)?;
        let Some(path) = flags.get_one::<PathBuf>("config") else {
            return Self::of(flags);
        };
        let from_file = read::<A>(path)?;
        let given = |id: &str| {
            undone.iter().any(|undone| undone == id)
                || flags.value_source(id) == Some(ValueSource::CommandLine)
        };
        let kept = from_file.into_iter().filter(|set| !given(&set.id));
        let program = words.first().cloned();
        let all = program
            .into_iter()
            .chain(kept.map(|set| set.word))
            .chain(words.into_iter().skip(1));
        Self::of(A::command().try_get_matches_from(all)?)
    }

    /// The options as a configuration file that says the same.
    pub fn to_toml(&self) -> String {
        print::toml::<A>(&self.matches)
    }

    fn of(matches: ArgMatches) -> Result<Self, ConfigError> {
        let args = A::from_arg_matches(&matches)?;
        Ok(Self { args, matches })
    }
}

fn read<A: Options>(path: &Path) -> Result<Vec<file::Set>, ConfigError> {
    let unreadable = |error| ConfigError::Unreadable {
        path: path.into(),
        error,
    };
    let text = String::from_utf8(A::read(path).map_err(unreadable)?)
        .map_err(|error| unreadable(io::Error::other(error)))?;
    file::parse::<A>(path, &text)
}

/// Takes `--switch=false` out, and names the switches it was said of; `--switch=true` loses its value.
fn undo_switches<A: CommandFactory>(words: Vec<OsString>) -> (Vec<OsString>, Vec<String>) {
    let command = A::command();
    let mut undone = Vec::new();
    let kept = words
        .into_iter()
        .filter_map(|word| match switch_value(&command, &word) {
            Some((id, false)) => {
                undone.push(id);
                None
            }
            Some((_, true)) => word.to_str()?.strip_suffix("=true").map(Into::into),
            None => Some(word),
        })
        .collect();
    (kept, undone)
}

fn switch_value(command: &Command, word: &OsStr) -> Option<(String, bool)> {
    let (name, value) = word.to_str()?.strip_prefix("--")?.split_once('=')?;
    let switch = command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(name))
        .filter(|arg| matches!(arg.get_action(), ArgAction::SetTrue))?;
    Some((switch.get_id().to_string(), value.parse().ok()?))
}
