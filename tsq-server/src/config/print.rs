//! From options to TOML.

use std::fmt::Write;

use clap::{Arg, ArgAction, ArgMatches, CommandFactory};
use toml::Value;

use super::file::Expected;
use crate::args::{Args, FLAGS_ONLY};

/// Every option with its value; those without one as comments, so that all names are there.
pub(super) fn toml(matches: &ArgMatches) -> String {
    let mut text = format!(
        "# tsq-server {}: every option, with what it is set to.\n",
        env!("CARGO_PKG_VERSION")
    );
    let command = Args::command();
    for arg in command.get_arguments() {
        let Some(name) = arg.get_long().filter(|name| !FLAGS_ONLY.contains(name)) else {
            continue;
        };
        // Writing to a string does not fail.
        let _ = match value(arg, matches) {
            Some(value) => writeln!(text, "{name} = {value}"),
            None => writeln!(text, "# {name} is not set"),
        };
    }
    text
}

fn value(arg: &Arg, matches: &ArgMatches) -> Option<Value> {
    let id = arg.get_id().as_str();
    let expected = Expected::of(arg);
    if expected == Expected::Switch {
        return Some(Value::Boolean(matches.get_flag(id)));
    }
    let values: Vec<Value> = matches
        .get_raw(id)?
        .map(|raw| typed(&raw.to_string_lossy(), expected))
        .collect();
    if matches!(arg.get_action(), ArgAction::Append) {
        Some(Value::Array(values))
    } else {
        values.into_iter().next()
    }
}

fn typed(text: &str, expected: Expected) -> Value {
    let number = match expected {
        Expected::Number => text.parse().map(Value::Integer).ok(),
        _ => None,
    };
    let float = match expected {
        Expected::Number => text.parse().map(Value::Float).ok(),
        _ => None,
    };
    number
        .or(float)
        .unwrap_or_else(|| Value::String(text.into()))
}
