//! Results as text and as JSON.

use std::fmt::Write;

use serde::{Serialize, Serializer};
use serde_json::{Number, Value as Json, json};

use crate::metrics::{Metric, Value, Values};
use crate::run::Outcome;
use crate::scenario::{Limit, Of, Scenario};

/// A scenario's results.
#[derive(Clone, Debug)]
pub struct Report {
    scenario: String,
    title: String,
    duration: u64,
    seeds: Vec<(u64, Values)>,
    median: Values,
    worst: Values,
    limits: Vec<Held>,
}

/// A limit, and what came of it.
#[derive(Clone, Copy, Debug)]
struct Held {
    limit: Limit,
    /// None: the metric does not apply; a value of None: it never came about.
    value: Option<Value>,
}

impl Held {
    fn holds(&self) -> bool {
        matches!(self.value, Some(Some(value)) if value <= self.limit.bound)
    }
}

impl Report {
    /// Of these runs.
    pub fn new(scenario: &Scenario, runs: &[Outcome]) -> Self {
        let values: Vec<Values> = runs.iter().map(|run| run.values.clone()).collect();
        let (median, worst) = (Values::median(&values), Values::worst(&values));
        let held = |&limit: &Limit| {
            let of = match limit.of {
                Of::Median => &median,
                Of::Worst => &worst,
            };
            Held {
                limit,
                value: of.get(limit.metric),
            }
        };
        Self {
            scenario: scenario.name.clone(),
            title: scenario.title.clone(),
            duration: scenario.duration,
            seeds: runs.iter().map(|run| run.seed).zip(values).collect(),
            limits: scenario.limits.iter().map(held).collect(),
            median,
            worst,
        }
    }

    /// Whether all limits hold.
    pub fn holds(&self) -> bool {
        self.limits.iter().all(Held::holds)
    }

    /// One line of JSON.
    pub fn json(&self) -> String {
        let seed = |(seed, values): &(u64, Values)| {
            let mut members = members(values);
            members.0.insert(0, ("seed".to_owned(), json!(seed)));
            members
        };
        let object = Object {
            scenario: &self.scenario,
            title: &self.title,
            duration_s: self.duration,
            seeds: self.seeds.iter().map(seed).collect(),
            median: members(&self.median),
            worst: members(&self.worst),
            limits: self.limits.iter().map(LimitObject::of).collect(),
        };
        // Strings, numbers and null only: it cannot fail.
        serde_json::to_string(&object).unwrap_or_default()
    }

    /// A table for people.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}: {} ({} seeds)\n",
            self.scenario,
            self.title,
            self.seeds.len()
        );
        for (metric, median) in &self.median.0 {
            let worst = self.worst.get(*metric).flatten();
            let limits = self
                .limits
                .iter()
                .filter(|held| held.limit.metric == *metric);
            let verdicts: String = limits.map(verdict).collect();
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "  {:<18} median {:>12}  worst {:>12}{verdicts}",
                metric.name(),
                shown(*median),
                shown(worst),
            );
        }
        for held in self.limits.iter().filter(|held| held.value.is_none()) {
            let _ = writeln!(
                text,
                "  {:<18} does not apply, and has a limit",
                held.limit.metric.name()
            );
        }
        text
    }
}

fn verdict(held: &Held) -> String {
    let of = match held.limit.of {
        Of::Median => "median",
        Of::Worst => "worst",
    };
    let holds = if held.holds() { "holds" } else { "BROKEN" };
    format!("  {of} <= {}: {holds}", shown(Some(held.limit.bound)))
}

fn shown(value: Value) -> String {
    value.map_or_else(
        || "never".to_owned(),
        |value| match value {
            0.0 => "0".to_owned(),
            value if (0.1..1e6).contains(&value.abs()) => format!("{value:.3}"),
            value => format!("{value:.2e}"),
        },
    )
}

/// The keys of the JSON object, in this order.
#[derive(Serialize)]
struct Object<'a> {
    scenario: &'a str,
    title: &'a str,
    duration_s: u64,
    seeds: Vec<Members>,
    median: Members,
    worst: Members,
    limits: Vec<LimitObject>,
}

#[derive(Serialize)]
struct LimitObject {
    metric: String,
    of: &'static str,
    bound: Json,
    value: Json,
    holds: bool,
}

impl LimitObject {
    fn of(held: &Held) -> Self {
        let Limit { metric, of, bound } = held.limit;
        Self {
            metric: metric.name(),
            of: match of {
                Of::Median => "median",
                Of::Worst => "worst",
            },
            bound: number(metric, Some(bound)),
            value: number(metric, held.value.flatten()),
            holds: held.holds(),
        }
    }
}

/// An object whose members keep their order.
struct Members(Vec<(String, Json)>);

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

fn members(values: &Values) -> Members {
    Members(
        values
            .0
            .iter()
            .map(|(metric, value)| (metric.name(), number(*metric, *value)))
            .collect(),
    )
}

/// Counts as whole numbers where they are.
fn number(metric: Metric, value: Value) -> Json {
    match value {
        None => Json::Null,
        Some(value) if metric.is_count() && value.fract() == 0.0 && value.abs() < 1e15 => {
            json!(value as i64)
        }
        Some(value) => Number::from_f64(value).map_or(Json::Null, Json::Number),
    }
}
