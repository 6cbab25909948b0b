//! What the commands do.

use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use tsq_command::output;

use crate::args::{Args, Command, Eval, Run};
use crate::compare::compare;
use crate::expression::{Expression, Instance, Kind, Names};
use crate::file::LARGEST;
use crate::output::Report;
use crate::run::{Outcome, run};
use crate::scenario::Scenario;

const HOLDS: u8 = 0;
const BROKEN: u8 = 1;
const UNUSABLE: u8 = 2;

/// Why a command ended without a result: one line.
type Failure = String;

/// Runs the command; the process's exit code.
pub fn main(args: &Args) -> u8 {
    let done = match &args.command {
        Command::Run(options) => run_all(options),
        Command::Eval(options) => eval(options),
        Command::Compare(options) => {
            compare(&options.before, &options.after).and_then(|text| print(&text))
        }
    };
    done.unwrap_or_else(|failure| {
        eprintln!("tsq-sim: {failure}");
        UNUSABLE
    })
}

fn print(text: &str) -> Result<u8, Failure> {
    output::print(|out| out.write_all(text.as_bytes()))
        .map_err(|error| format!("standard output: {error}"))?;
    Ok(HOLDS)
}

fn run_all(options: &Run) -> Result<u8, Failure> {
    // All are read before the first is run: a fault in the last must not cost an hour.
    let scenarios = options
        .files
        .iter()
        .map(|path| read(path))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(folder) = &options.trace {
        prepare(folder, &scenarios)?;
    }
    let mut code = HOLDS;
    for (scenario, path) in scenarios.iter().zip(&options.files) {
        let seeds = options.seeds.unwrap_or(scenario.seeds);
        let one = |seed| {
            let mut outcome =
                run(scenario, seed).map_err(|error| format!("{}: {error}", path.display()))?;
            if let Some(folder) = &options.trace {
                trace(folder, scenario, &outcome)?;
            }
            // Megabytes each, and there may be ten thousand seeds.
            outcome.samples = Vec::new();
            Ok(outcome)
        };
        let runs = run_seeds(seeds, &one)?;
        let report = Report::new(scenario, &runs);
        let text = match options.json {
            true => report.json() + "\n",
            false => report.text(),
        };
        print(&text)?;
        if !report.holds() {
            code = BROKEN;
        }
    }
    Ok(code)
}

fn read(path: &Path) -> Result<Scenario, Failure> {
    let shown = path.display();
    let unreadable = |error| format!("{shown}: {error}");
    let mut text = String::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    let limited = &mut file.take(LARGEST + 1);
    limited.read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > LARGEST {
        return Err(format!(
            "{shown}: more than {LARGEST} bytes; this is no scenario"
        ));
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Scenario::read(&name, &text).map_err(|error| match error.line {
        Some(_) => format!("{shown}:{error}"),
        None => format!("{shown}: {error}"),
    })
}

/// Whether traces can be written is found out before anything is run, and no trace may replace another.
fn prepare(folder: &Path, scenarios: &[Scenario]) -> Result<(), Failure> {
    for (index, scenario) in scenarios.iter().enumerate() {
        if scenarios[..index]
            .iter()
            .any(|other| other.name == scenario.name)
        {
            let name = &scenario.name;
            return Err(format!(
                "two files are called {name}.toml: their traces would be one file; run them one after the other"
            ));
        }
    }
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

/// Seeds 1 to `seeds`, as many at once as there are processors; in order.
fn run_seeds(
    seeds: u64,
    one: &(impl Fn(u64) -> Result<Outcome, Failure> + Sync),
) -> Result<Vec<Outcome>, Failure> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..workers.min(usize::try_from(seeds).unwrap_or(usize::MAX)) {
            let (send, next) = (send.clone(), &next);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed) as u64 + 1;
                    if seed > seeds || send.send((seed, one(seed))).is_err() {
                        return;
                    }
                }
            });
        }
    });
    drop(send);
    let mut runs: Vec<_> = receive.into_iter().collect();
    runs.sort_by_key(|(seed, _)| *seed);
    runs.into_iter().map(|(_, run)| run).collect()
}

fn trace(folder: &Path, scenario: &Scenario, outcome: &Outcome) -> Result<(), Failure> {
    let path = folder.join(format!("{}.{}.tsv", scenario.name, outcome.seed));
    let mut text = String::with_capacity(outcome.samples.len() * 48);
    for sample in &outcome.samples {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{}\t{:.12e}\t{:.12e}",
            sample.at, sample.error, sample.frequency
        );
    }
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn eval(options: &Eval) -> Result<u8, Failure> {
    let expression = Expression::parse(&options.expression, Kind::Delay)
        .map_err(|error| format!("{}: {error}", options.expression))?;
    let mut instance = Instance::new(&expression, options.seed, 1);
    let printed = output::print(|out| {
        for time in 0..options.count {
            let names = Names {
                time: time as f64,
                from: 2.0,
                to: 1.0,
                port: 443.0,
                length: 100.0,
            };
            writeln!(out, "{}", instance.evaluate(&names))?;
        }
        Ok(())
    });
    printed.map_err(|error| format!("standard output: {error}"))?;
    Ok(HOLDS)
}
