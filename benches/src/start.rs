//! A server from the start of its process to its first answer.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use tsq_interop::{Server, bin, run};

use crate::args::StartOptions;
use crate::{Conditions, Error, Quantiles, Report, Table};

/// Starts servers one after the other, and asks each once.
///
/// # Errors
/// A client has no answer.
pub fn measure(options: &StartOptions) -> Result<Report, Error> {
    // Built first, so that no run waits for it.
    let _programs = [bin("tsq-adjtime"), bin("tsq-server")];
    let conditions = Conditions::now();
    let kept = tempfile::tempdir()?;
    drop(Server::start_in(kept.path(), &[]));
    let mut table = Table::new(&["start", "median ms", "min", "max", "runs"]);
    let mut rows = Vec::new();
    for (name, first) in [("first, makes a certificate", true), ("later", false)] {
        let mut times = Vec::new();
        for _ in 0..options.runs {
            let state = tempfile::tempdir()?;
            times.push(one(if first { state.path() } else { kept.path() })?);
        }
        let times = Quantiles::of(times).ok_or("no runs")?;
        let (median, min, max) = (times.median(), times.min(), times.max());
        table.row([
            name.into(),
            format!("{median:.1}"),
            format!("{min:.1}"),
            format!("{max:.1}"),
            options.runs.to_string(),
        ]);
        rows.push(json!({
            "start": name,
            "median_ms": median,
            "min_ms": min,
            "max_ms": max,
            "runs": options.runs,
        }));
    }
    Ok(Report {
        title: "Server from the start of its process to the first answer".into(),
        conditions,
        table,
        notes: vec![
            "With the whole run of the client that asks once: its process, handshake, query and exit.".into(),
        ],
        rows,
    })
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
