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

use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches, Id};

pub use error::{ConfigError, Place};

/// The options of a program, `--config FILE` among them.
pub trait Options: CommandFactory + FromArgMatches {
    /// The program's name, for messages.
    const PROGRAM: &'static str;

    /// Flags that are no settings, and therefore no keys of a file; with `config`, `help` and `version`.
    const FLAGS_ONLY: &'static [&'static str];

    /// Keys of the file that are for the program's own work, and that its sub-commands do not take from it.
    const OWN: &'static [&'static str] = &[];

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
        // What goes together may be in the file.
        let flags = alone(A::command()).try_get_matches_from(&words)?;
        let (name, flags) = match flags.subcommand() {
            Some((name, flags)) => (Some(name), flags),
            None => (None, &flags),
        };
        // A sub-command need not have this option.
        let path = flags.try_get_one::<PathBuf>("config").ok().flatten();
        let Some(path) = path else {
            return Self::of(A::command().try_get_matches_from(words)?);
        };
        let from_file = read::<A>(path)?;
        let command = A::command();
        let taken = |id: &str| match name.and_then(|name| command.find_subcommand(name)) {
            Some(command) => {
                command.get_arguments().any(|arg| arg.get_id() == id) && !A::OWN.contains(&id)
            }
            None => true,
        };
        let given = |id: &str| {
            undone.iter().any(|undone| undone == id)
                || flags.value_source(id) == Some(ValueSource::CommandLine)
        };
        let kept = from_file.into_iter();
        let kept = kept.filter(|set| taken(&set.id) && !given(&set.id));
        let at = match name {
            Some(name) => 1 + words.iter().position(|word| word == name).unwrap_or(1),
            None => 1,
        };
        let mut all = words;
        let at = at.min(all.len());
        all.splice(at..at, kept.map(|set| set.word));
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

/// The same options, none of which needs another: for a part of what is said.
fn alone(command: Command) -> Command {
    let free = |arg: Arg| {
        arg.required(false)
            .required_unless_present(Resettable::<Id>::Reset)
            .requires(Resettable::<Id>::Reset)
    };
    command
        .mut_args(free)
        .mut_subcommands(|command| command.mut_args(free))
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
