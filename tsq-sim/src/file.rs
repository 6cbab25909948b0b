//! Reading a scenario file: every fault with its line and its reason.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use crate::expression::{Expression, Kind};
use crate::metrics::Metric;
use crate::scenario::{Client, Event, Limit, Of, Oscillator, Scenario, Server, What};

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The line, from 1; None where it concerns no line.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{line}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl std::error::Error for FileError {}

/// A larger file is no scenario.
pub const LARGEST: u64 = 1 << 20;
/// The longest run, s: four months.
const LONGEST: u64 = 10_000_000;
const MOST_SERVERS: usize = 64;
const MOST_SEEDS: u64 = 10_000;
const MOST_EVENTS: usize = 10_000;
/// No clock is farther off, s: a century.
const FARTHEST: f64 = 3.2e9;
/// 2^17 s.
const LONGEST_POLL: u8 = 17;

impl Scenario {
    /// Reads the text of a file called `name`.
    ///
    /// # Errors
    /// [`FileError`] for the first fault.
    pub fn read(name: &str, text: &str) -> Result<Self, FileError> {
        let raw: RawFile = toml::from_str(text).map_err(|error| FileError {
            line: error.span().map(|span| line(text, &span)),
            reason: error.message().replace('\n', " "),
        })?;
        raw.check(name).map_err(|fault| FileError {
            line: Some(line(text, &fault.span)),
            reason: fault.reason,
        })
    }
}

fn line(text: &str, span: &Range<usize>) -> usize {
    let before = text.as_bytes().get(..span.start).unwrap_or(text.as_bytes());
    before.iter().filter(|&&byte| byte == b'\n').count() + 1
}

struct Fault {
    span: Range<usize>,
    reason: String,
}

type Checked<T> = Result<T, Fault>;

fn fault<T, S>(at: &Spanned<S>, reason: impl Into<String>) -> Checked<T> {
    Err(Fault {
        span: at.span(),
        reason: reason.into(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    title: Spanned<String>,
    duration_s: Spanned<i64>,
    measure_from_s: Spanned<i64>,
    mark_s: Option<Spanned<i64>>,
    seeds: Option<Spanned<i64>>,
    poll: Option<Spanned<RawPoll>>,
    delay: Option<Spanned<String>>,
    up: Option<Spanned<String>>,
    down: Option<Spanned<String>>,
    server: Spanned<Vec<Spanned<RawServer>>>,
    client: RawClient,
    event: Option<Spanned<Vec<Spanned<RawEvent>>>>,
    limits: Option<BTreeMap<String, Spanned<toml::Value>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPoll {
    min: Spanned<i64>,
    max: Spanned<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawServer {
    offset_s: Option<Spanned<f64>>,
    freq: Option<Spanned<RawFrequency>>,
    start_s: Option<Spanned<f64>>,
    delay: Option<Spanned<String>>,
    up: Option<Spanned<String>>,
    down: Option<Spanned<String>>,
    falseticker_from_s: Option<Spanned<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClient {
    offset_s: Option<Spanned<f64>>,
    freq: Option<Spanned<RawFrequency>>,
    start_s: Option<Spanned<f64>>,
    #[serde(rename = "use")]
    uses: Option<Spanned<Vec<i64>>>,
    may_step: Option<Spanned<RawMayStep>>,
    max_slew_ppm: Option<Spanned<f64>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a number or an expression in quotes")]
enum RawFrequency {
    Number(f64),
    Expression(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMayStep {
    above_s: Option<Spanned<f64>>,
    updates: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEvent {
    at_s: Spanned<i64>,
    what: Spanned<String>,
    by_s: Option<Spanned<f64>>,
    servers: Option<Spanned<Vec<i64>>>,
    until_s: Option<Spanned<i64>>,
    rtc_error_s: Option<Spanned<f64>>,
    down_s: Option<Spanned<f64>>,
    keep_state: Option<Spanned<bool>>,
    #[serde(rename = "use")]
    uses: Option<Spanned<Vec<i64>>>,
}

impl RawFile {
    fn check(self, name: &str) -> Checked<Scenario> {
        if self.title.get_ref().trim().is_empty() || self.title.get_ref().contains('\n') {
            return fault(&self.title, "`title` must be one line");
        }
        let duration = whole(&self.duration_s, "duration_s", 1, LONGEST)?;
        let measure_from = whole(&self.measure_from_s, "measure_from_s", 0, duration - 1)?;
        let mark = match &self.mark_s {
            Some(mark) => Some(whole(mark, "mark_s", 0, duration - 1)?),
            None => None,
        };
        let seeds = match &self.seeds {
            Some(seeds) => whole(seeds, "seeds", 1, MOST_SEEDS)?,
            None => 5,
        };
        let poll = self.poll.as_ref().map(RawPoll::check).transpose()?;
        let servers = self.servers()?;
        let client = self.client.check(servers.len())?;
        let events = self.events(servers.len(), duration)?;
        Ok(Scenario {
            name: name.to_owned(),
            title: self.title.into_inner(),
            duration,
            measure_from,
            mark,
            seeds,
            poll,
            servers,
            client,
            events,
            limits: limits(&self.limits.unwrap_or_default())?,
        })
    }

    fn servers(&self) -> Checked<Vec<Server>> {
        let servers = self.server.get_ref();
        if servers.is_empty() || servers.len() > MOST_SERVERS {
            let count = servers.len();
            return fault(
                &self.server,
                format!("`server` has {count} entries; 1 to {MOST_SERVERS} are possible"),
            );
        }
        servers
            .iter()
            .map(|server| self.server_with_links(server))
            .collect()
    }

    fn server_with_links(&self, spanned: &Spanned<RawServer>) -> Checked<Server> {
        let server = spanned.get_ref();
        let link = |own: &Option<Spanned<String>>, ours: &Option<Spanned<String>>| {
            let candidates = [own, &server.delay, ours, &self.delay];
            match candidates.into_iter().flatten().next() {
                Some(text) => expression(text, Kind::Delay),
                None => fault(spanned, "no `delay` for this server, nor one for all"),
            }
        };
        Ok(Server {
            clock: oscillator(&server.offset_s, &server.freq)?,
            start: start(&server.start_s)?,
            up: link(&server.up, &self.up)?,
            down: link(&server.down, &self.down)?,
            falseticker_from: match &server.falseticker_from_s {
                Some(from) => Some(number(from, "falseticker_from_s", 0.0, LONGEST as f64)?),
                None => None,
            },
        })
    }

    fn events(&self, servers: usize, duration: u64) -> Checked<Vec<Event>> {
        let Some(raw) = &self.event else {
            return Ok(Vec::new());
        };
        if raw.get_ref().len() > MOST_EVENTS {
            return fault(raw, format!("more than {MOST_EVENTS} events"));
        }
        let checked = raw
            .get_ref()
            .iter()
            .map(|event| event.get_ref().check(event, servers, duration));
        let mut events = checked.collect::<Checked<Vec<Event>>>()?;
        events.sort_by_key(|event| event.at);
        Ok(events)
    }
}

impl RawPoll {
    fn check(raw: &Spanned<Self>) -> Checked<(u8, u8)> {
        let of = |value: &Spanned<i64>, name| whole(value, name, 0, LONGEST_POLL.into());
        let Self { min, max } = raw.get_ref();
        let (min, max) = (of(min, "min")?, of(max, "max")?);
        if min > max {
            return fault(raw, format!("`poll` has min {min} above max {max}"));
        }
        // Both are at most LONGEST_POLL.
        Ok((min as u8, max as u8))
    }
}

impl RawClient {
    fn check(&self, servers: usize) -> Checked<Client> {
        let may_step = self.may_step.as_ref().map(Spanned::get_ref);
        let step_above = match may_step.and_then(|step| step.above_s.as_ref()) {
            Some(above) => number(above, "above_s", 0.0, FARTHEST)?,
            None => 1.0,
        };
        let step_updates = match may_step.and_then(|step| step.updates.as_ref()) {
            Some(updates) if *updates.get_ref() == -1 => None,
            Some(updates) => Some(whole(updates, "updates", 0, u32::MAX.into())? as u32),
            None => Some(3),
        };
        Ok(Client {
            clock: oscillator(&self.offset_s, &self.freq)?,
            start: start(&self.start_s)?,
            uses: match &self.uses {
                Some(uses) => numbers(uses, servers)?,
                None => (0..servers).collect(),
            },
            step_above,
            step_updates,
            max_slew_ppm: match &self.max_slew_ppm {
                Some(slew) => number(slew, "max_slew_ppm", 1.0, 1e5)? as u32,
                None => 83_333,
            },
        })
    }
}

impl RawEvent {
    fn check(&self, spanned: &Spanned<Self>, servers: usize, duration: u64) -> Checked<Event> {
        let at = whole(&self.at_s, "at_s", 0, duration)?;
        let what = self.what.get_ref().as_str();
        self.refuse_keys_of_others(spanned)?;
        let what = match what {
            "step" => What::Step {
                by: number(
                    needed(&self.by_s, spanned, "by_s")?,
                    "by_s",
                    -FARTHEST,
                    FARTHEST,
                )?,
                servers: self
                    .servers
                    .as_ref()
                    .map(|s| numbers(s, servers))
                    .transpose()?,
            },
            "outage" => What::Outage {
                until: self.until(spanned, at)?,
                servers: match &self.servers {
                    Some(listed) => numbers(listed, servers)?,
                    None => (0..servers).collect(),
                },
            },
            "suspend" => What::Suspend {
                until: self.until(spanned, at)?,
                rtc_error: match &self.rtc_error_s {
                    Some(error) => number(error, "rtc_error_s", -FARTHEST, FARTHEST)?,
                    None => 0.0,
                },
            },
            "restart" => What::Restart {
                down: number(
                    needed(&self.down_s, spanned, "down_s")?,
                    "down_s",
                    0.0,
                    LONGEST as f64,
                )?,
                keep_state: self.keep_state.as_ref().is_none_or(|keep| *keep.get_ref()),
            },
            "servers" => What::Servers {
                uses: numbers(needed(&self.uses, spanned, "use")?, servers)?,
            },
            _ => {
                let known = EVENTS.map(|(name, _)| name).join(", ");
                return fault(
                    &self.what,
                    format!("there is no event `{what}`; there are {known}"),
                );
            }
        };
        Ok(Event { at, what })
    }

    fn until(&self, spanned: &Spanned<Self>, at: u64) -> Checked<u64> {
        whole(
            needed(&self.until_s, spanned, "until_s")?,
            "until_s",
            at + 1,
            2 * LONGEST,
        )
    }

    fn refuse_keys_of_others(&self, spanned: &Spanned<Self>) -> Checked<()> {
        let what = self.what.get_ref();
        let Some((_, own)) = EVENTS.iter().find(|(name, _)| name == what) else {
            return Ok(());
        };
        let given = [
            ("by_s", self.by_s.is_some()),
            ("servers", self.servers.is_some()),
            ("until_s", self.until_s.is_some()),
            ("rtc_error_s", self.rtc_error_s.is_some()),
            ("down_s", self.down_s.is_some()),
            ("keep_state", self.keep_state.is_some()),
            ("use", self.uses.is_some()),
        ];
        match given
            .iter()
            .find(|(key, given)| *given && !own.contains(key))
        {
            Some((key, _)) => fault(spanned, format!("`{what}` has no key `{key}`")),
            None => Ok(()),
        }
    }
}

/// Events and their keys.
const EVENTS: [(&str, &[&str]); 5] = [
    ("step", &["by_s", "servers"]),
    ("outage", &["until_s", "servers"]),
    ("suspend", &["until_s", "rtc_error_s"]),
    ("restart", &["down_s", "keep_state"]),
    ("servers", &["use"]),
];

fn needed<'a, T>(
    value: &'a Option<Spanned<T>>,
    of: &Spanned<RawEvent>,
    key: &str,
) -> Checked<&'a Spanned<T>> {
    match value {
        Some(value) => Ok(value),
        None => fault(
            of,
            format!("`{}` needs `{key}`", of.get_ref().what.get_ref()),
        ),
    }
}

fn whole(value: &Spanned<i64>, key: &str, least: u64, most: u64) -> Checked<u64> {
    match u64::try_from(*value.get_ref()) {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => fault(
            value,
            format!(
                "`{key}` is {}; it must be {least} to {most}",
                value.get_ref()
            ),
        ),
    }
}

fn number(value: &Spanned<f64>, key: &str, least: f64, most: f64) -> Checked<f64> {
    match *value.get_ref() {
        number if (least..=most).contains(&number) => Ok(number),
        number => fault(
            value,
            format!("`{key}` is {number}; it must be {least} to {most}"),
        ),
    }
}

fn start(value: &Option<Spanned<f64>>) -> Checked<f64> {
    match value {
        Some(start) => number(start, "start_s", 0.0, LONGEST as f64),
        None => Ok(0.0),
    }
}

fn oscillator(
    offset: &Option<Spanned<f64>>,
    frequency: &Option<Spanned<RawFrequency>>,
) -> Checked<Oscillator> {
    Ok(Oscillator {
        offset: match offset {
            Some(offset) => number(offset, "offset_s", -FARTHEST, FARTHEST)?,
            None => 0.0,
        },
        frequency: match frequency {
            None => Expression::number(0.0),
            Some(frequency) => match frequency.get_ref() {
                RawFrequency::Number(number) if number.is_finite() => Expression::number(*number),
                RawFrequency::Number(number) => {
                    return fault(frequency, format!("`freq` is {number}"));
                }
                RawFrequency::Expression(text) => parsed(text, Kind::Frequency, frequency)?,
            },
        },
    })
}

fn expression(text: &Spanned<String>, kind: Kind) -> Checked<Expression> {
    parsed(text.get_ref(), kind, text)
}

fn parsed<S>(text: &str, kind: Kind, at: &Spanned<S>) -> Checked<Expression> {
    Expression::parse(text, kind).or_else(|error| fault(at, error.to_string()))
}

/// Numbers of servers, from 1, as indices; each once.
fn numbers(listed: &Spanned<Vec<i64>>, servers: usize) -> Checked<Vec<usize>> {
    let mut indices = Vec::with_capacity(listed.get_ref().len().min(servers));
    for &number in listed.get_ref() {
        let index = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
        match index.filter(|&index| index < servers) {
            None => {
                return fault(
                    listed,
                    format!("there is no server {number}; there are 1 to {servers}"),
                );
            }
            Some(index) if indices.contains(&index) => {
                return fault(listed, format!("server {number} twice"));
            }
            Some(index) => indices.push(index),
        }
    }
    if indices.is_empty() {
        return fault(listed, "no server at all");
    }
    Ok(indices)
}

fn limits(raw: &BTreeMap<String, Spanned<toml::Value>>) -> Checked<Vec<Limit>> {
    let mut limits = Vec::new();
    for (key, value) in raw {
        match (key.as_str(), value.get_ref()) {
            ("worst", toml::Value::Table(table)) => {
                for (key, bound) in table {
                    limits.push(limit(key, bound, Of::Worst, value)?);
                }
            }
            (key, bound) => limits.push(limit(key, bound, Of::Median, value)?),
        }
    }
    limits.sort_by_key(|limit| (limit.of == Of::Worst, limit.metric));
    Ok(limits)
}

fn limit<S>(key: &str, bound: &toml::Value, of: Of, at: &Spanned<S>) -> Checked<Limit> {
    let Some(metric) = Metric::named(key) else {
        return fault(at, format!("there is no metric `{key}`"));
    };
    let bound = match bound {
        toml::Value::Float(bound) => *bound,
        toml::Value::Integer(bound) => *bound as f64,
        _ => return fault(at, format!("the limit of `{key}` is no number")),
    };
    match bound.is_nan() {
        true => fault(at, format!("the limit of `{key}` is no number")),
        false => Ok(Limit { metric, of, bound }),
    }
}
