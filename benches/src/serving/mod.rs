//! A server under load: processor time per request, and the requests per second it takes on one core.

pub mod echo;
mod key;
mod subject;

use std::time::{Duration, Instant};

use tsq_interop::bin;

use self::subject::Subject;
use crate::effort::Effort;
use crate::interrupt::Interrupt;
use crate::load::{self, Capacity, Load, Measured};
use crate::peers::Tools;
use crate::section::{Better, Cell, Figure, Row, Section};
use crate::{Conditions, Error, cores};

/// Options of `server`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Clients, each with one request under way; beyond 128 they take turns
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [50, 1000, 10_000], value_parser = clap::value_parser!(u16).range(1..))]
    pub clients: Vec<u16>,
    /// Seconds of each measurement
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = crate::effort::seconds)]
    pub seconds: f64,
    /// Rounds over all servers; the figure is the least of the rounds
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub rounds: u16,
    /// Seconds of each step of the rate
    #[arg(long, value_name = "S", default_value_t = 0.5, value_parser = crate::effort::seconds)]
    pub step: f64,
    /// Begin no further round after so many seconds
    #[arg(long, value_name = "S", default_value_t = 1200)]
    pub limit: u64,
}

impl Options {
    /// For a whole run.
    #[must_use]
    pub fn of(effort: &Effort) -> Self {
        Self {
            clients: effort.pick(vec![50, 1000, 10_000], vec![50]),
            seconds: effort.pick(0.7, 0.3),
            rounds: effort.pick(3, 1),
            step: effort.pick(0.4, 0.1),
            limit: effort.time.as_secs(),
        }
    }
}

/// Loads all servers, one at a time, round after round.
///
/// # Errors
/// A signal came. A server that does not start or answers wrongly is a row that says so.
pub fn measure(options: &Options) -> Result<Section, Error> {
    let _programs = [bin("tsq-server"), bin("tsq-certs")];
    let interrupt = Interrupt::note()?;
    let conditions = Conditions::now();
    let tools = Tools::from_env();
    let end = Instant::now() + Duration::from_secs(options.limit);
    cores::alone(cores::Role::Generator, || {
        let mut subjects = Subject::all(&tools);
        let mut rows = Vec::new();
        for (number, count) in options.clients.iter().enumerate() {
            // What a signature costs does not depend on how many ask for it.
            subjects.retain(|subject| number == 0 || !subject.signs());
            let rounds = if *count > MANY { 1 } else { options.rounds };
            let mut taken: Vec<Taken> = subjects.iter().map(|_| Taken::default()).collect();
            for round in 0..rounds {
                if round > 0 && Instant::now() >= end {
                    break;
                }
                for (subject, taken) in subjects.iter_mut().zip(&mut taken) {
                    interrupt.check().map_err(|error| error.to_string())?;
                    if taken.failure.is_none() {
                        taken.add(one(subject, usize::from(*count), round == 0, options));
                    }
                }
            }
            let row = |(subject, taken): (&Subject, &Taken)| {
                row(&format!("{count} clients"), subject, taken)
            };
            rows.extend(subjects.iter().zip(&taken).map(row));
        }
        Ok::<_, String>(rows)
    })?
    .map(|rows| section(options, conditions, rows))
    .map_err(Into::into)
}

/// One round of one server, with the steps of the rate in the first.
fn one(
    subject: &mut Subject,
    count: usize,
    with_capacity: bool,
    options: &Options,
) -> Result<(Measured, Option<Capacity>), String> {
    let text = |error: Error| error.to_string();
    let (mut load, server) = subject.load(count).map_err(text)?;
    let duration = Duration::from_secs_f64(options.seconds);
    let load: &mut dyn Load = load.as_mut();
    cores::pin(server, cores::Role::Generator).map_err(text)?;
    let measured = load::measure(load, server, duration).map_err(text)?;
    cores::pin(server, cores::Role::Server).map_err(text)?;
    let step = Duration::from_secs_f64(options.step);
    let capacity = with_capacity
        .then(|| load::capacity(load, measured.requests_per_second(), step))
        .transpose();
    Ok((measured, capacity.map_err(text)?))
}

/// So many connections take longer to make than to measure.
const MANY: u16 = 5000;

/// What the rounds of one server gave.
#[derive(Debug, Default)]
struct Taken {
    rounds: Vec<Measured>,
    capacity: Option<Capacity>,
    failure: Option<String>,
}

impl Taken {
    fn add(&mut self, outcome: Result<(Measured, Option<Capacity>), String>) {
        match outcome {
            Ok((measured, capacity)) => {
                self.rounds.push(measured);
                self.capacity = capacity.or(self.capacity);
            }
            Err(reason) => self.failure = Some(reason),
        }
    }

    /// The round that used least: other programs on the machine only ever add.
    fn best(&self) -> Option<&Measured> {
        let cpu = Measured::cpu_us_per_request;
        self.rounds.iter().min_by(|a, b| cpu(a).total_cmp(&cpu(b)))
    }
}

fn row(case: &str, subject: &Subject, taken: &Taken) -> Row {
    let mut row = match subject.is_floor() {
        true => Row::reference(case, subject.name.clone()),
        false => Row::new(case, subject.name.clone(), subject.ours),
    };
    if let Some(best) = taken.best() {
        let all: Vec<f64> = taken
            .rounds
            .iter()
            .map(Measured::cpu_us_per_request)
            .collect();
        row = row.with("cpu_us", Cell::of(best.cpu_us_per_request(), all));
    }
    match (&taken.failure, taken.capacity) {
        (Some(reason), _) if taken.rounds.is_empty() => row.with("cpu_us", reason.clone()),
        (Some(reason), _) => row.with("per_second", reason.clone()),
        (None, Some(Capacity { rate: None, .. })) => row.with("per_second", "loses at every rate"),
        (
            None,
            Some(Capacity {
                rate: Some(rate),
                is_ours,
            }),
        ) => {
            let limit = if is_ours {
                "the generator"
            } else {
                "the server"
            };
            row.with("per_second", rate).with("limit", limit)
        }
        (None, None) => row,
    }
}

fn section(options: &Options, conditions: Conditions, rows: Vec<Row>) -> Section {
    let clients: Vec<String> = options.clients.iter().map(ToString::to_string).collect();
    Section {
        id: "server".into(),
        title: "Server under load".into(),
        question: "What does a request cost a server, and how many a second does one core take?"
            .into(),
        command: format!(
            "tsq-bench server --clients {} --seconds {} --rounds {} --step {}",
            clients.join(","),
            options.seconds,
            options.rounds,
            options.step
        ),
        conditions,
        figures: vec![
            Figure::new("cpu_us", "processor time per request", "us", Better::Less).plotted(),
            Figure::new(
                "per_second",
                "requests per second until 0.1 % are lost",
                "",
                Better::More,
            )
            .plotted(),
            Figure::new("limit", "what ended it", "", Better::Neither),
        ],
        rows,
        notes: NOTES.map(String::from).into(),
    }
}

const NOTES: [&str; 8] = [
    "Processor time: of the server alone, which takes turns with the generator on one core, so that no second hardware thread has a part in it; the least of the rounds, as other programs on the machine only add; each answer brings forth the next request, at most 128 are under way.",
    "Requests per second: steps at 25 % to 150 % of what was answered so, at random instants, the last before more than one in a thousand had no answer within 500 ms, twice. Where the generator ended it, the server may take more.",
    "For the requests per second the server has one core and the generator another; these may be threads of one. tsq-server runs with --threads 1 (and with --max-connections-per-ipv4 65535), the others with what they have.",
    "Every answer was checked (nonce or origin timestamp echoed, T3 >= T2; NTS opened with its key); a wrong one ends the row. Signatures are not verified by the load, Roughtime's neither.",
    "All clients share one socket, so that to a server of NTP they are one host; a client of TSQ is a connection of its own.",
    "Signed answers are measured with the fewest clients only, more than 5000 clients in one round only.",
    "ntpd-rs and NTPsec have no source here: they answer as servers do that are not synchronised, or as orphans.",
    "The echoes answer with as many bytes as TSQ and do nothing else: what is left when protocol and cryptography are gone.",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Tally;

    fn round(cpu_ms: u64) -> Measured {
        Measured {
            tally: Tally {
                answered: 1000,
                lost: 1,
                late: 0,
            },
            elapsed: Duration::from_secs(1),
            cpu: Duration::from_millis(cpu_ms),
        }
    }

    #[test]
    fn figure_is_the_least_of_the_rounds() {
        let mut taken = Taken::default();
        for cpu_ms in [6, 4, 5] {
            taken.add(Ok((round(cpu_ms), None)));
        }
        assert_eq!(taken.best().map(Measured::cpu_us_per_request), Some(4.0));
    }

    #[test]
    fn server_that_fails_later_keeps_its_rounds() {
        let mut taken = Taken::default();
        taken.add(Ok((round(4), None)));
        taken.add(Err("a wrong answer".into()));
        assert_eq!(taken.rounds.len(), 1);
        assert_eq!(taken.failure.as_deref(), Some("a wrong answer"));
    }
}
