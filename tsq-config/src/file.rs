//! From TOML to the words of a command line, each checked by itself so that a mistake has its place.

use std::any::TypeId;
use std::error::Error as _;
use std::ffi::OsString;
use std::num::ParseIntError;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::{ConfigError, Options, Place, alone};

/// One value of one option.
#[derive(Debug)]
pub(crate) struct Set {
    /// The option's id in clap.
    pub(crate) id: String,
    /// The option as a word of the command line.
    pub(crate) word: OsString,
}

/// What is wrong, and which bytes of the file with it.
struct Mistake {
    span: Range<usize>,
    problem: String,
}

pub(crate) fn parse<A: Options>(path: &Path, text: &str) -> Result<Vec<Set>, ConfigError> {
    parse_text::<A>(text).map_err(|Mistake { span, problem }| ConfigError::At {
        path: path.into(),
        place: Place::of(text, span.start),
        problem,
    })
}

fn parse_text<A: Options>(text: &str) -> Result<Vec<Set>, Mistake> {
    let table = DeTable::parse(text).map_err(|error| Mistake {
        span: error.span().unwrap_or_default(),
        problem: error.message().into(),
    })?;
    let command = A::command();
    let mut sets = Vec::new();
    for (key, value) in table.get_ref() {
        let arg = option::<A>(&command, key.get_ref()).map_err(|problem| Mistake {
            span: key.span(),
            problem: match value.get_ref() {
                DeValue::Table(inside) => of_a_table(&command, key.get_ref(), inside, problem),
                _ => problem,
            },
        })?;
        in_the_wrong_table(&command, key.get_ref(), value)?;
        for (word, span) in words(arg, value)? {
            check::<A>(&word).map_err(|problem| Mistake { span, problem })?;
            sets.push(Set {
                id: arg.get_id().to_string(),
                word: word.into(),
            });
        }
    }
    // After these a word could no more be taken for a command.
    sets.sort_by_key(|set: &Set| !set.word.to_string_lossy().starts_with("--"));
    Ok(sets)
}

/// A table of a name that is no option's: who writes one has keys in mind that exist.
fn of_a_table(command: &Command, name: &str, inside: &DeTable<'_>, problem: String) -> String {
    match inside
        .keys()
        .find(|key| long(command, key.get_ref()).is_some())
    {
        Some(key) => format!(
            "unknown table [{name}]: keys such as {} stand alone, before the first [table]",
            key.get_ref()
        ),
        None => problem,
    }
}

/// A key below the header of a table belongs to that table, however far down it stands and whatever was meant.
fn in_the_wrong_table(
    command: &Command,
    name: &str,
    value: &Spanned<DeValue<'_>>,
) -> Result<(), Mistake> {
    let DeValue::Table(inside) = value.get_ref() else {
        return Ok(());
    };
    match inside
        .keys()
        .find(|key| long(command, key.get_ref()).is_some())
    {
        Some(key) => Err(Mistake {
            span: key.span(),
            problem: format!(
                "{key} is an option, and below [{name}] it would be none: move it before the first [table] (if it is \
                 meant to belong to {name}, write {name} = [\"{key}=...\"] up there)",
                key = key.get_ref()
            ),
        }),
        None => Ok(()),
    }
}

fn long<'c>(command: &'c Command, key: &str) -> Option<&'c Arg> {
    command.get_arguments().find(|arg| name(arg) == key)
}

fn option<'c, A: Options>(command: &'c Command, key: &str) -> Result<&'c Arg, String> {
    if A::FLAGS_ONLY.contains(&key) {
        return Err(format!("{key} belongs on the command line, not in a file"));
    }
    long(command, key).ok_or_else(|| unknown::<A>(key))
}

/// An option's key: its flag without dashes, or what a value without a flag is called.
fn name(arg: &Arg) -> &str {
    arg.get_long().unwrap_or(arg.get_id().as_str())
}

fn unknown<A: Options>(key: &str) -> String {
    match near_match::<A>(key) {
        Some(near) => format!("unknown key {key}; did you mean {near}?"),
        None => format!(
            "unknown key {key}; `{} --help` lists them as flags",
            A::PROGRAM
        ),
    }
}

/// What clap would propose for an unknown flag.
fn near_match<A: Options>(key: &str) -> Option<String> {
    let dashed = key.replace('_', "-");
    let command = A::command();
    let mut names = command.get_arguments().map(name);
    if let Some(near) = names.find(|name| *name == dashed || *name == format!("{key}s")) {
        return (!A::FLAGS_ONLY.contains(&near)).then(|| near.into());
    }
    let error = A::command()
        .try_get_matches_from([A::PROGRAM, &format!("--{dashed}")])
        .err()?;
    match error.get(ContextKind::SuggestedArg)? {
        ContextValue::String(flag) => flag
            .strip_prefix("--")
            .filter(|near| !A::FLAGS_ONLY.contains(near))
            .map(Into::into),
        _ => None,
    }
}

type Words = Vec<(String, Range<usize>)>;

fn words(arg: &Arg, value: &Spanned<DeValue<'_>>) -> Result<Words, Mistake> {
    let name = name(arg);
    match value.get_ref() {
        DeValue::Array(items) => {
            if !matches!(arg.get_action(), ArgAction::Append) {
                return Err(mistake(value, "one value is expected, not an array"));
            }
            items.iter().map(|item| word(arg, item)).collect()
        }
        DeValue::Table(table) if Expected::of(arg) == Expected::Pair => table
            .iter()
            .map(|(key, value)| match value.get_ref() {
                DeValue::String(text) => {
                    Ok((format!("--{name}={}={text}", key.get_ref()), value.span()))
                }
                other => Err(mistake(value, &Expected::Pair.instead_of(other))),
            })
            .collect(),
        DeValue::Boolean(on) if Expected::of(arg) == Expected::Switch => {
            let word = (format!("--{name}"), value.span());
            Ok(on.then_some(word).into_iter().collect())
        }
        _ => Ok(vec![word(arg, value)?]),
    }
}

fn word(arg: &Arg, value: &Spanned<DeValue<'_>>) -> Result<(String, Range<usize>), Mistake> {
    let expected = Expected::of(arg);
    let text = match (expected, value.get_ref()) {
        (Expected::Text | Expected::Pair, DeValue::String(text)) => text.to_string(),
        (Expected::Time, DeValue::String(text)) => text.to_string(),
        (Expected::Number | Expected::Time, DeValue::Integer(number)) => {
            i128::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| mistake(value, "the number is too large"))?
                .to_string()
        }
        (Expected::Number | Expected::Time, DeValue::Float(number)) => number.as_str().to_string(),
        (_, other) => return Err(mistake(value, &expected.instead_of(other))),
    };
    let word = match arg.get_long() {
        Some(name) => format!("--{name}={text}"),
        None => text,
    };
    Ok((word, value.span()))
}

fn mistake(value: &Spanned<DeValue<'_>>, problem: &str) -> Mistake {
    Mistake {
        span: value.span(),
        problem: problem.into(),
    }
}

/// Has clap read this one option.
fn check<A: Options>(word: &str) -> Result<(), String> {
    if A::command().find_subcommand(word).is_some() {
        return Err(format!("{word} is a command"));
    }
    let Err(error) = alone(A::command()).try_get_matches_from([A::PROGRAM, word]) else {
        return Ok(());
    };
    let possible = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) => values.join(", "),
        _ => String::new(),
    };
    Err(match (error.kind(), error.source()) {
        (ErrorKind::ValueValidation, Some(reason)) if reason.is::<ParseIntError>() => {
            whole_number::<A>(word)
        }
        (ErrorKind::ValueValidation, Some(reason)) => reason.to_string(),
        (ErrorKind::InvalidValue, _) if !possible.is_empty() => {
            format!("the value is none of {possible}")
        }
        (ErrorKind::InvalidValue, _) => "the value must not be empty".into(),
        // The first line says what, the others how a command line is written.
        _ => error.to_string().lines().next().unwrap_or_default().into(),
    })
}

/// What was expected, with its range; clap tells that of a number beyond it only.
fn whole_number<A: Options>(word: &str) -> String {
    let option = word.split('=').next().unwrap_or_default();
    let beyond = A::command()
        .try_get_matches_from([A::PROGRAM, &format!("{option}=-1")])
        .err();
    let text = beyond.map(|error| error.to_string()).unwrap_or_default();
    let range = text
        .lines()
        .next()
        .and_then(|line| line.split_once("is not in "));
    match range {
        Some((_, range)) => format!("a whole number is expected, in {range}"),
        None => "a whole number is expected, 0 or more".into(),
    }
}

/// What an option's value must be in TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Switch,
    Number,
    /// A number in the unit of the option, or a text with its unit.
    Time,
    Text,
    /// Pairs of key and value.
    Pair,
}

impl Expected {
    pub(crate) fn of(arg: &Arg) -> Self {
        let parsed = arg.get_value_parser().type_id();
        let is = |types: &[TypeId]| types.iter().any(|id| parsed == *id);
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            Self::Switch
        } else if is(&[TypeId::of::<(String, String)>()]) {
            Self::Pair
        } else if is(&[TypeId::of::<Duration>()]) {
            Self::Time
        } else if is(&numbers()) {
            Self::Number
        } else {
            Self::Text
        }
    }

    fn instead_of(self, found: &DeValue<'_>) -> String {
        let expected = match self {
            Self::Switch => "true or false",
            Self::Number => "a number",
            Self::Time => "a number or a string such as \"10s\"",
            Self::Text | Self::Pair => "a string",
        };
        let found = match found {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        format!("{expected} is expected, not {found}")
    }
}

fn numbers() -> [TypeId; 8] {
    [
        TypeId::of::<u8>(),
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<usize>(),
        TypeId::of::<i32>(),
        TypeId::of::<i64>(),
        TypeId::of::<f64>(),
    ]
}
