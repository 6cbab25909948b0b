//! From options to TOML.

use std::fmt::Write;

use clap::{Arg, ArgAction, ArgMatches};
use toml::Value;

use crate::Options;
use crate::file::Expected;

/// Every option with its value; those without one as comments, so that all names are there.
pub(crate) fn toml<A: Options>(matches: &ArgMatches) -> String {
    let mut text = format!(
        "# {} {}: every option, with what it is set to.\n",
        A::PROGRAM,
        env!("CARGO_PKG_VERSION")
    );
    let command = A::command();
    for arg in command.get_arguments() {
        let Some(name) = arg.get_long().filter(|name| !A::FLAGS_ONLY.contains(name)) else {
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
        Expected::Number | Expected::Time => text.parse().map(Value::Integer).ok(),
        _ => None,
    };
    let float = match expected {
        Expected::Number | Expected::Time => text.parse().map(Value::Float).ok(),
        _ => None,
    };
    number
        .or(float)
        .unwrap_or_else(|| Value::String(text.into()))
}
