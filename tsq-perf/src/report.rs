//! What a run prints.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};
use tsq_command::output;

use crate::Error;
use crate::connections::Connections;
use crate::histogram::Times;
use crate::storm::Handshakes;
use crate::table::Table;
use crate::tally::Tally;
use crate::watch::Used;

/// The whole run.
pub(crate) struct Report {
    pub(crate) title: String,
    /// The server's process, if it is on this host.
    pub(crate) pid: Option<u32>,
    pub(crate) outcome: Outcome,
    /// Those that asked; None of handshakes, which count their own.
    pub(crate) connections: Option<Connections>,
    pub(crate) idle: Option<Idle>,
    /// What ended the run before its time.
    pub(crate) error: Option<Error>,
    pub(crate) max_loss: Option<f64>,
    pub(crate) in_steps: bool,
    pub(crate) signed: bool,
    pub(crate) interrupted: bool,
}

pub(crate) enum Outcome {
    Requests(Vec<Step>),
    Handshakes(Box<Stormed>),
}

/// Connections made and used once.
pub(crate) struct Stormed {
    pub(crate) elapsed: Duration,
    pub(crate) handshakes: Handshakes,
    /// Those in which a certificate was checked.
    pub(crate) full: u64,
    pub(crate) used: Option<Used>,
    /// Processor time of this process.
    pub(crate) own: Duration,
}

/// Requests at one rate.
pub(crate) struct Step {
    /// Requests a second wanted, in an open loop.
    pub(crate) wanted: Option<f64>,
    pub(crate) elapsed: Duration,
    pub(crate) tally: Tally,
    pub(crate) used: Option<Used>,
    /// Processor time of this process.
    pub(crate) own: Duration,
    /// Connections at the end.
    pub(crate) alive: usize,
}

/// The idle connections and what they asked.
#[derive(Default)]
pub(crate) struct Idle {
    pub(crate) tally: Tally,
    pub(crate) connections: Connections,
}

/// Percent of the requests, as ntpperf and others have it.
pub(crate) const DEFAULT_MAX_LOSS: f64 = 0.1;

impl Report {
    /// Prints the table, or one JSON object.
    ///
    /// # Errors
    /// Those of writing.
    pub(crate) fn print(&self, json: bool) -> io::Result<()> {
        output::print(|out| match json {
            true => writeln!(out, "{}", self.json()),
            false => self.table(out),
        })
    }

    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}\n", self.title)?;
        match &self.outcome {
            Outcome::Requests(steps) => write!(out, "{}", requests_table(steps))?,
            Outcome::Handshakes(stormed) => write!(out, "{}", handshakes_table(stormed))?,
        }
        self.notes()
            .iter()
            .try_for_each(|note| writeln!(out, "{note}"))
    }

    pub(crate) fn exit_code(&self) -> u8 {
        if let Some(error) = &self.error {
            return error.exit_code();
        }
        let (answered, loss) = match &self.outcome {
            Outcome::Requests(steps) => (
                steps.iter().map(|step| step.tally.answered).sum::<u64>(),
                steps.last().map_or(0.0, |step| step.tally.loss()),
            ),
            Outcome::Handshakes(it) => (it.handshakes.answered, it.handshakes.loss()),
        };
        match self.max_loss {
            _ if answered == 0 => 3,
            Some(most) if !self.in_steps && loss * 100.0 > most => 4,
            _ if self.missing().is_some() => 5,
            _ => 0,
        }
    }

    /// The connections, if not as many came about and stayed as were asked for.
    fn missing(&self) -> Option<&Connections> {
        let all = self.connections.iter();
        let mut all = all.chain(self.idle.iter().map(|idle| &idle.connections));
        // An interrupted run has not made them all.
        all.find(|it| !it.complete() && !self.interrupted)
    }

    /// Why the exit code is not 0, in a line.
    pub(crate) fn problem(&self) -> Option<String> {
        let exit = self.exit_code();
        match (&self.error, self.missing()) {
            _ if exit == 0 => None,
            (Some(error), _) => Some(error.to_string()),
            // A server without a key is silent about datagrams that want a signature, as about all it cannot answer.
            _ if exit == 3 && self.signed => Some(
                "nothing was answered: --signed needs a server with a signing key (tsq-server --signing-key)".into(),
            ),
            (_, Some(connections)) => Some(connections.words()),
            _ if exit == 4 => Some("more was lost than --max-loss".into()),
            _ => Some("nothing was answered".into()),
        }
    }

    /// The fastest step that lost no more than allowed.
    fn sustained(&self) -> Option<f64> {
        let (Outcome::Requests(steps), true) = (&self.outcome, self.in_steps) else {
            return None;
        };
        let most = self.max_loss.unwrap_or(DEFAULT_MAX_LOSS);
        let good = steps.iter().filter(|it| it.tally.loss() * 100.0 <= most);
        good.filter_map(|step| step.wanted).reduce(f64::max)
    }

    fn json(&self) -> Value {
        let (mode, results) = match &self.outcome {
            Outcome::Requests(steps) => {
                ("requests", steps.iter().map(Step::json).collect::<Vec<_>>())
            }
            Outcome::Handshakes(stormed) => ("handshakes", vec![stormed.json()]),
        };
        json!({
            "title": self.title,
            "mode": mode,
            "interrupted": self.interrupted,
            "server_pid": self.pid,
            "exit_code": self.exit_code(),
            "problem": self.problem(),
            "connections": self.connections.as_ref().map(Connections::json),
            "results": results,
            "sustained_rate": self.sustained(),
            "idle": self.idle.as_ref().map(Idle::json),
        })
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(connections) = &self.connections {
            notes.push(format!("{}.", connections.words()));
        }
        if let Some(rate) = self.sustained() {
            notes.push(format!("Sustained: {rate:.0} requests/s."));
        }
        if let Outcome::Requests(steps) = &self.outcome {
            for (name, count) in steps.iter().flat_map(|step| &step.tally.refused) {
                notes.push(format!("{count} x {name}"));
            }
            let unfollowed: u64 = steps.iter().map(|step| step.tally.unfollowed).sum();
            if unfollowed > 0 {
                notes.push(format!(
                    "{unfollowed} offsets were left out: no follow-up, or no kernel stamp here."
                ));
            }
            let offsets = steps.iter().map(|step| &step.tally.offsets);
            if offsets.clone().any(|it| !it.is_empty() && !it.all_kernel()) {
                notes.push("Some offsets are by user-space stamps: the kernel gave none.".into());
            }
        }
        if let Outcome::Handshakes(stormed) = &self.outcome {
            notes.extend(
                stormed
                    .handshakes
                    .failed
                    .iter()
                    .map(|(what, count)| format!("{count} x {what}")),
            );
        }
        if let Some(idle) = &self.idle {
            notes.push(format!(
                "Idle connections: {}; {} requests, {} answered.",
                idle.connections.words(),
                idle.tally.sent,
                idle.tally.answered,
            ));
        }
        if self.interrupted {
            notes.push("Interrupted: the result so far.".into());
        }
        notes.push(match self.pid {
            Some(pid) => format!("Server: process {pid} on this host."),
            None => "Server: not on this host, or not ours to look at.".into(),
        });
        notes
    }
}

impl Idle {
    fn json(&self) -> Value {
        let mut json = self.tally.json();
        json["connections"] = self.connections.json();
        json
    }
}

impl Step {
    fn json(&self) -> Value {
        let mut json = self.tally.json();
        json["rate_wanted"] = self.wanted.into();
        json["elapsed_s"] = self.elapsed.as_secs_f64().into();
        json["per_second"] = per(self.tally.answered, self.elapsed).into();
        json["connections"] = self.alive.into();
        json["server"] = server_json(self.used, self.tally.answered, self.elapsed);
        json["generator_busy_percent"] = percent(self.own, self.elapsed).into();
        json
    }
}

impl Stormed {
    fn json(&self) -> Value {
        let count = self.handshakes.completed;
        let mut json = self.handshakes.json(self.full);
        json["elapsed_s"] = self.elapsed.as_secs_f64().into();
        json["per_second"] = per(count, self.elapsed).into();
        json["server"] = server_json(self.used, count, self.elapsed);
        json["generator_busy_percent"] = percent(self.own, self.elapsed).into();
        json
    }
}

fn handshakes_table(stormed: &Stormed) -> Table {
    let mut table = Table::new(&[
        "handshakes/s",
        "full",
        "resumed",
        "0-RTT taken",
        "refused",
        "lost %",
        "p50 us",
        "p99 us",
        "first answer p50 us",
        "server us each",
        "busy %",
        "RSS MiB",
    ]);
    let Stormed {
        elapsed,
        handshakes: it,
        full,
        used,
        ..
    } = stormed;
    table.row([
        format!("{:.0}", per(it.completed, *elapsed)),
        full.to_string(),
        it.completed.saturating_sub(*full).to_string(),
        it.early_accepted.to_string(),
        it.early_lost.to_string(),
        format!("{:.3}", it.loss() * 100.0),
        quantile(&it.handshake, 50.0),
        quantile(&it.handshake, 99.0),
        quantile(&it.answer, 50.0),
        each(*used, it.completed),
        busy(*used, *elapsed),
        memory(*used),
    ]);
    table
}

fn requests_table(steps: &[Step]) -> Table {
    let mut table = Table::new(&[
        "wanted/s",
        "answered/s",
        "lost %",
        "late",
        "p50 us",
        "p99 us",
        "max us",
        "offset ± bound us",
        "p99 us",
        "server us each",
        "busy %",
        "RSS MiB",
        "own busy %",
        "connections",
    ]);
    for Step {
        wanted,
        elapsed,
        tally,
        used,
        own,
        alive,
    } in steps
    {
        let offset = match tally.offsets.is_empty() {
            true => "-".into(),
            false => format!(
                "{:+.1} ± {:.1}",
                tally.offsets.median(),
                tally.offsets.bounds().percentile(50.0)
            ),
        };
        table.row([
            wanted.map_or("-".into(), |rate| format!("{rate:.0}")),
            format!("{:.0}", per(tally.answered, *elapsed)),
            format!("{:.3}", tally.loss() * 100.0),
            tally.late.to_string(),
            quantile(&tally.latency, 50.0),
            quantile(&tally.latency, 99.0),
            quantile(&tally.latency, 100.0),
            offset,
            match tally.offsets.is_empty() {
                true => "-".into(),
                false => format!("{:.1}", tally.offsets.p99_size()),
            },
            each(*used, tally.answered),
            busy(*used, *elapsed),
            memory(*used),
            format!("{:.0}", percent(*own, *elapsed)),
            alive.to_string(),
        ]);
    }
    table
}

fn server_json(used: Option<Used>, count: u64, elapsed: Duration) -> Value {
    let Some(used) = used else {
        return Value::Null;
    };
    json!({
        "cpu_us_each": micros_each(used, count),
        "busy_percent": used.cpu.map(|cpu| percent(cpu, elapsed)),
        "resident_kib_before": used.resident_before,
        "resident_kib_after": used.resident_after,
    })
}

fn quantile(times: &Times, percent: f64) -> String {
    match times.is_empty() {
        true => "-".into(),
        false => format!("{:.0}", times.percentile(percent)),
    }
}

fn each(used: Option<Used>, count: u64) -> String {
    let micros = used.and_then(|used| micros_each(used, count));
    micros.map_or("-".into(), |micros| format!("{micros:.2}"))
}

fn busy(used: Option<Used>, elapsed: Duration) -> String {
    let cpu = used.and_then(|used| used.cpu);
    cpu.map_or("-".into(), |cpu| format!("{:.0}", percent(cpu, elapsed)))
}

fn memory(used: Option<Used>) -> String {
    used.map_or("-".into(), |used| {
        format!("{:.1}", to_f64(used.resident_after) / 1024.0)
    })
}

fn micros_each(used: Used, count: u64) -> Option<f64> {
    let cpu = used.cpu.filter(|_| count > 0)?;
    Some(cpu.as_secs_f64() * 1e6 / to_f64(count))
}

fn per(count: u64, elapsed: Duration) -> f64 {
    to_f64(count) / elapsed.as_secs_f64()
}

fn percent(part: Duration, whole: Duration) -> f64 {
    part.as_secs_f64() / whole.as_secs_f64() * 100.0
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn to_f64(count: u64) -> f64 {
    count as f64
}
