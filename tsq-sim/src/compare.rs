//! Two results of `run --json` beside each other: what became better, and by how much.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

type Medians = BTreeMap<String, Map<String, Value>>;

/// A table of both files' medians and their ratios, of all scenarios that both have.
///
/// # Errors
/// One line: a file that cannot be read, or is none of ours.
pub(crate) fn compare(before: &Path, after: &Path) -> Result<String, String> {
    let (before, after) = (medians(before)?, medians(after)?);
    let mut text = String::new();
    for (scenario, old) in &before {
        let Some(new) = after.get(scenario) else {
            continue;
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{scenario}");
        for (metric, was) in old {
            let Some(is) = new.get(metric) else {
                continue;
            };
            let ratio = match (was.as_f64(), is.as_f64()) {
                (Some(was), Some(is)) if was > 0.0 => format!("{:.3}", is / was),
                _ => "-".to_owned(),
            };
            let _ = writeln!(
                text,
                "  {metric:<18} {:>22} {:>22}  {ratio}",
                shown(was),
                shown(is)
            );
        }
    }
    match text.is_empty() {
        true => Err("the two results have no scenario in common".to_owned()),
        false => Ok(text),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "never".to_owned(),
        value => value.to_string(),
    }
}

fn medians(path: &Path) -> Result<Medians, String> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    let mut medians = Medians::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let wrong = || {
            format!(
                "{shown}:{}: not what `tsq-sim run --json` prints",
                number + 1
            )
        };
        let value: Value = serde_json::from_str(line).map_err(|_| wrong())?;
        let scenario = value
            .get("scenario")
            .and_then(Value::as_str)
            .ok_or_else(wrong)?;
        let median = value
            .get("median")
            .and_then(Value::as_object)
            .ok_or_else(wrong)?;
        medians.insert(scenario.to_owned(), median.clone());
    }
    Ok(medians)
}
