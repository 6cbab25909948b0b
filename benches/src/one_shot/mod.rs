//! A one-shot client from start to exit: wall and processor time, round trips, packets, bytes; warm, where it has
//! something to keep; and with a clock that is wrong by a year.

mod library;
mod site;
mod subject;

use std::time::{Duration, Instant};

use tsq_interop::bin;

use self::site::{Path, Site};
use self::subject::{Subject, Taken};
use crate::effort::Effort;
use crate::interrupt::Interrupt;
use crate::namespace::Namespace;
use crate::peers::Tools;
use crate::section::{Better, Cell, Figure, Row, Section};
use crate::{Conditions, Error, Quantiles};

/// Options of `one-shot`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Runs of each program on each path; slow programs are run less often
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub runs: u16,
    /// Runs of a program that takes seconds
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub slow_runs: u16,
    /// Milliseconds of the round trip, beside loopback
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub round_trip: u64,
    /// Begin no further round after so many seconds
    #[arg(long, value_name = "S", default_value_t = 600)]
    pub seconds: u64,
}

impl Options {
    /// For a whole run.
    #[must_use]
    pub fn of(effort: &Effort) -> Self {
        Self {
            runs: effort.pick(20, 3),
            slow_runs: effort.pick(2, 0),
            round_trip: 20,
            seconds: effort.time.as_secs(),
        }
    }

    fn round_trip(&self) -> Duration {
        Duration::from_millis(self.round_trip)
    }
}

/// Measures every program on every path, round after round.
///
/// # Errors
/// Not root, or a signal came. A program that fails is a row that says so.
pub fn measure(options: &Options) -> Result<Section, Error> {
    // Built first, so that no run waits for it.
    let _programs = [bin("tsq-adjtime"), bin("tsq-server"), bin("tsq-certs")];
    let interrupt = Interrupt::note()?;
    let namespace = Namespace::new("o")?;
    namespace.let_every_packet_be_seen()?;
    let conditions = Conditions::now();
    // The errors of a thread do not leave it; their words do.
    let rows = namespace.run(|| rows(options, &interrupt).map_err(|error| error.to_string()))??;
    Ok(section(options, conditions, rows))
}

/// One path, one clock, and every program's figures.
struct Case {
    name: String,
    path: Path,
    shift: Option<&'static str>,
    subjects: Vec<(Subject, Taken)>,
}

/// Behind: dates of certificates seem to lie in the future.
const YEAR: &str = "-31536000s";

fn rows(options: &Options, interrupt: &Interrupt) -> Result<Vec<Row>, Error> {
    let tools = Tools::from_env();
    let site = Site::start(&tools, options.round_trip())?;
    let ms = options.round_trip;
    let case = |name: String, path, shift| Case {
        name,
        path,
        shift,
        subjects: Subject::all(&tools)
            .into_iter()
            .filter(|subject| shift.is_none() || subject.can_be_shifted())
            .map(|subject| (subject, Taken::default()))
            .collect(),
    };
    let mut cases = [
        case("loopback".into(), Path::Direct, None),
        case(format!("{ms} ms round trip"), Path::Relayed, None),
        case(
            format!("{ms} ms round trip, clock a year behind"),
            Path::Relayed,
            Some(YEAR),
        ),
    ];
    let end = Instant::now() + Duration::from_secs(options.seconds);
    for round in 0..=options.runs {
        if round > 1 && Instant::now() >= end {
            break;
        }
        for case in &mut cases {
            for (subject, taken) in &mut case.subjects {
                interrupt.check()?;
                if taken.failure.is_none() && is_due(round, subject, case.shift, options) {
                    let server = site.end(subject.protocol, case.path);
                    let trip = options.round_trip();
                    match server.and_then(|server| subject.take(&server, case.shift, round, trip)) {
                        Ok(once) => taken.add(once),
                        Err(reason) => taken.failure = Some(reason),
                    }
                }
            }
        }
    }
    // What needs no start of a process is no rival of what does, and has a case of its own.
    let of_case = |case: &Case| {
        let row = |(subject, taken): &(Subject, Taken)| row(case, subject, taken);
        let (programs, within): (Vec<_>, Vec<_>) = case
            .subjects
            .iter()
            .partition(|(subject, _)| subject.is_program());
        let within = within.into_iter().map(row).map(|row| Row {
            case: format!("{}, within a running process", row.case),
            ..row
        });
        let programs = programs.into_iter().map(row);
        programs.chain(within).collect::<Vec<_>>()
    };
    Ok(cases.iter().flat_map(of_case).collect())
}

/// The first round is counted and not timed, but of slow programs, which are both.
fn is_due(round: u16, subject: &Subject, shift: Option<&str>, options: &Options) -> bool {
    match (shift, subject.is_slow()) {
        (Some(_), slow) => round == 0 && !slow,
        (None, true) => round < options.slow_runs,
        (None, false) => true,
    }
}

fn row(case: &Case, subject: &Subject, taken: &Taken) -> Row {
    let mut row = Row::new(case.name.clone(), subject.name.clone(), subject.ours);
    if let Some(counts) = &taken.counts {
        row = row
            .with("packets", f64::from(counts.packets))
            .with("bytes", f64::from(counts.bytes));
        if case.path == Path::Relayed {
            row = row.with("round_trips", f64::from(counts.round_trips));
        }
    }
    // A clock that is wrong changes nothing of how long a run takes, and one run is no measurement.
    if case.shift.is_none() {
        for (key, values) in [("wall_ms", &taken.wall_ms), ("cpu_ms", &taken.cpu_ms)] {
            if let Some(quantiles) = Quantiles::of(values.iter().copied()) {
                row = row.with(key, Cell::of(quantiles.median(), values.clone()));
            }
        }
    }
    row.with(
        "outcome",
        taken.outcome(subject.protocol, case.shift.is_some()),
    )
}

fn section(options: &Options, conditions: Conditions, rows: Vec<Row>) -> Section {
    Section {
        id: "one-shot".into(),
        title: "One-shot client".into(),
        question:
            "What does it take to ask one server once, from the start of the program to its exit?"
                .into(),
        command: format!("tsq-bench one-shot --runs {}", options.runs),
        conditions,
        figures: vec![
            Figure::new("wall_ms", "wall time, median", "ms", Better::Less).plotted(),
            Figure::new("cpu_ms", "processor time, median", "ms", Better::Less).plotted(),
            Figure::new("round_trips", "round trips", "", Better::Less).plotted(),
            Figure::new("packets", "packets", "", Better::Less),
            Figure::new("bytes", "bytes", "", Better::Less).plotted(),
            Figure::new("outcome", "outcome", "", Better::Neither),
        ],
        rows,
        notes: NOTES.map(String::from).into(),
    }
}

const NOTES: [&str; 8] = [
    "Each asks one server; tsq-adjtime asks it five times and says so where it asks once. chronyd -Q \"iburst\" is what its manual shows, \"fastest\" the least interval and one sample.",
    "Round trips: those that followed each other until the last answer, seen in the packets of one run over the path with the delay. A relay of ours makes that delay; its own error has a section of its own.",
    "Packets and bytes (of IP) of that run, both ways, acknowledgements and the end of the connection included.",
    "Within a running process: our library, from nothing to five samples; no start and exit are in it, so it is compared with nobody. Later: a process that runs on has a ticket of the server and asks in its first packet. chronyd, kept cookies: NTS without a new key exchange, from a folder that an earlier run left them in.",
    "No program can set the clock: see benches/src/no_clock.rs. Ours runs with --dry-run.",
    "ntpd-rs has no client that only asks: force-sync, answered with no, names no offset below a second. It wants a terminal; the processor time of the script that makes one is in its figure.",
    "roughenough-client names a time and a radius and leaves the comparison with the clock to others.",
    "Clock a year behind: faketime shows the program another clock; timestamps that the kernel makes are of the true one, which a program may notice.",
];
