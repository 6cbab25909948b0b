//! A server from the start of its process to its first answer.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tsq_interop::{Server, bin, run};

use crate::effort::Effort;
use crate::section::{Better, Cell, Figure, Row, Section};
use crate::{Conditions, Error, Quantiles};

/// Options of `start`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Starts of each kind
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub runs: u16,
}

impl Options {
    /// What a section of a whole run takes.
    #[must_use]
    pub fn of(effort: &Effort) -> Self {
        Self {
            runs: effort.pick(20, 5),
        }
    }
}

/// Starts servers one after the other, and asks each once.
///
/// # Errors
/// A client has no answer.
pub fn measure(options: &Options) -> Result<Section, Error> {
    // Built first, so that no run waits for it.
    let _programs = [bin("tsq-adjtime"), bin("tsq-server")];
    let conditions = Conditions::now();
    let kept = tempfile::tempdir()?;
    drop(Server::start_in(kept.path(), &[]));
    let (mut first, mut later) = (Vec::new(), Vec::new());
    for _ in 0..options.runs {
        let state = tempfile::tempdir()?;
        first.push(one(state.path())?);
        later.push(one(kept.path())?);
    }
    Ok(Section {
        id: "start".into(),
        title: "Start of a server".into(),
        question: "How long from the start of the process to the first answer?".into(),
        command: format!("tsq-bench start --runs {}", options.runs),
        conditions,
        figures: vec![
            Figure::new("answer_ms", "first answer, median", "ms", Better::Less).plotted(),
            Figure::new("worst_ms", "worst", "ms", Better::Less),
        ],
        rows: vec![
            row("first start, makes a certificate", first)?,
            row("later start", later)?,
        ],
        notes: vec![
            "With the whole run of the client that asks once: its process, handshake, query and exit.".into(),
            "Only ours: the others' first answers wait for a clock that is kept.".into(),
        ],
    })
}

fn row(case: &str, times: Vec<f64>) -> Result<Row, Error> {
    let quantiles = Quantiles::of(times.iter().copied()).ok_or("no runs")?;
    Ok(Row::new(case, "tsq-server", true)
        .with("answer_ms", Cell::of(quantiles.median(), times))
        .with("worst_ms", quantiles.max()))
}

/// Milliseconds from the start of a server with this state to the end of a client that has its answer.
fn one(state: &Path) -> Result<f64, Error> {
    let begun = Instant::now();
    let server = Server::start_in(state, &[]);
    let mut client = Command::new(bin("tsq-adjtime"));
    client
        .args([
            "--dry-run",
            "--json",
            "--queries",
            "1",
            "--pin",
            server.pin(),
        ])
        .arg(server.address().to_string());
    let outcome = run(client, RUN_LIMIT);
    let elapsed = begun.elapsed();
    if outcome.code == Some(0) && outcome.json()["sources"][0]["answered"] == 1 {
        Ok(elapsed.as_secs_f64() * 1000.0)
    } else {
        Err(format!("no answer: {outcome:#?}").into())
    }
}

const RUN_LIMIT: Duration = Duration::from_secs(10);
