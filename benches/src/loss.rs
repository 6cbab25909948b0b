//! A one-shot client over a path that loses packets: how often it gets an answer, and when.

use std::time::Duration;

use serde_json::{Value, json};
use tsq_interop::{Adjtime, Impairment, Outcome, Relay, Server};

use tsq_perf::Transport;

use crate::args::LossOptions;
use crate::{Conditions, Error, Quantiles, Report, Table};

/// Runs `tsq-adjtime` with its defaults, each run through two fresh relays with their own seeds.
///
/// # Errors
/// Servers or relays do not start. A run without an answer is a figure, not an error.
pub fn measure(options: &LossOptions) -> Result<Report, Error> {
    let conditions = Conditions::now();
    let servers = [Server::start(&[]), Server::start(&[])];
    let headings = [
        "transport",
        "answered",
        "runs",
        "median ms",
        "worst",
        "its seed",
        "samples of 10, mean",
        "seeds without answer",
    ];
    let mut table = Table::new(&headings);
    let mut rows = Vec::new();
    for transport in ["auto", Transport::Datagram.name(), Transport::Stream.name()] {
        let mut runs = Vec::new();
        for number in 0..u64::from(options.runs) {
            // Two relays a run.
            let seed = options.seed + 2 * number;
            runs.push(Run::of(seed, &once(&servers, transport, options, seed)?));
        }
        let summary = Summary::of(&runs)?;
        table.row(summary.cells(transport));
        rows.push(summary.json(transport));
    }
    Ok(Report {
        title: format!(
            "tsq-adjtime --dry-run with default options, two servers, {} % of the packets lost each way, {} ms round trip, seeds from {}",
            options.percent, options.round_trip, options.seed
        ),
        conditions,
        table,
        notes: vec!["Answered: exit code 0. Times are of the whole process, runs without an answer included.".into()],
        rows,
    })
}

fn once(
    servers: &[Server; 2],
    transport: &str,
    options: &LossOptions,
    seed: u64,
) -> Result<Outcome, Error> {
    let impairment = |seed| Impairment {
        loss_percent_each_way: options.percent,
        seed,
        ..Impairment::round_trip(Duration::from_millis(options.round_trip))
    };
    let relays = [
        Relay::start(servers[0].address(), impairment(seed))?,
        Relay::start(servers[1].address(), impairment(seed + 1))?,
    ];
    let ends = relays.each_ref().map(|relay| relay.address().to_string());
    Ok(Adjtime::run(&[
        "--dry-run",
        "--json",
        "--transport",
        transport,
        "--pin",
        servers[0].pin(),
        "--pin",
        servers[1].pin(),
        &ends[0],
        &ends[1],
    ]))
}

/// One run, and what it gave.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    seed: u64,
    ms: f64,
    /// Accepted samples of both servers; None when there was no answer.
    samples: Option<u32>,
}

impl Run {
    fn of(seed: u64, outcome: &Outcome) -> Self {
        let count = |source: &Value| source["answered"].as_u64().unwrap_or(0);
        let samples = (outcome.code == Some(0)).then(|| {
            let json = outcome.json();
            let sources = json["sources"].as_array().map_or(&[][..], Vec::as_slice);
            let total = sources.iter().map(count).sum::<u64>();
            u32::try_from(total).unwrap_or(u32::MAX)
        });
        Self {
            seed,
            ms: outcome.elapsed.as_secs_f64() * 1000.0,
            samples,
        }
    }
}

struct Summary {
    runs: usize,
    answered: usize,
    times: Quantiles,
    slowest_seed: u64,
    mean_samples: f64,
    failed_seeds: Vec<u64>,
}

impl Summary {
    fn of(runs: &[Run]) -> Result<Self, Error> {
        let samples: Vec<f64> = runs
            .iter()
            .filter_map(|r| r.samples)
            .map(f64::from)
            .collect();
        let failed = runs.iter().filter(|run| run.samples.is_none());
        let slowest = runs.iter().max_by(|a, b| a.ms.total_cmp(&b.ms));
        Ok(Self {
            slowest_seed: slowest.ok_or("no runs")?.seed,
            runs: runs.len(),
            answered: samples.len(),
            times: Quantiles::of(runs.iter().map(|run| run.ms)).ok_or("no runs")?,
            mean_samples: mean(&samples),
            failed_seeds: failed.map(|run| run.seed).collect(),
        })
    }

    fn cells(&self, transport: &str) -> [String; 8] {
        let seeds: Vec<String> = self.failed_seeds.iter().map(ToString::to_string).collect();
        [
            transport.to_owned(),
            self.answered.to_string(),
            self.runs.to_string(),
            format!("{:.0}", self.times.median()),
            format!("{:.0}", self.times.max()),
            self.slowest_seed.to_string(),
            format!("{:.1}", self.mean_samples),
            if seeds.is_empty() {
                "-".into()
            } else {
                seeds.join(" ")
            },
        ]
    }

    fn json(&self, transport: &str) -> Value {
        json!({
            "transport": transport,
            "runs": self.runs,
            "answered": self.answered,
            "median_ms": self.times.median(),
            "worst_ms": self.times.max(),
            "worst_seed": self.slowest_seed,
            "mean_samples": self.mean_samples,
            "failed_seeds": self.failed_seeds,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn mean(values: &[f64]) -> f64 {
    match values.len() {
        0 => 0.0,
        count => values.iter().sum::<f64>() / count as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seed: u64, code: i32) -> Run {
        let outcome = Outcome {
            code: Some(code),
            stdout: r#"{"sources":[{"answered":5},{"answered":2}]}"#.into(),
            stderr: String::new(),
            elapsed: Duration::from_millis(seed),
        };
        Run::of(seed, &outcome)
    }

    #[test]
    fn run_without_an_answer_is_counted_with_its_seed_and_time() {
        let summary = Summary::of(&[run(1, 0), run(3, 3), run(2, 0)]).unwrap();
        assert_eq!((summary.answered, summary.runs), (2, 3));
        assert_eq!(summary.failed_seeds, [3]);
        assert_eq!((summary.times.max(), summary.slowest_seed), (3.0, 3));
        assert_eq!(summary.mean_samples, 7.0);
    }

    #[test]
    fn all_failed_is_zero_answers_and_not_an_error() {
        let summary = Summary::of(&[run(1, 3)]).unwrap();
        assert_eq!((summary.answered, summary.mean_samples), (0, 0.0));
    }
}
