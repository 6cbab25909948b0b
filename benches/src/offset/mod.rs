//! Error of the measured offset: client and server read one clock, so every offset is an error.

pub mod client;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tsq_interop::{Process, bin, run};

use crate::args::OffsetOptions;
use crate::interrupt::Interrupt;
use crate::namespace::Namespace;
use crate::spin::Load;
use crate::{Conditions, Error, Quantiles, Report, Table};

/// Measures idle and with all cores busy.
///
/// # Errors
/// Not root, or a program fails.
pub fn measure(options: &OffsetOptions) -> Result<Report, Error> {
    let conditions = Conditions::now();
    let interrupt = Interrupt::note()?;
    let (near, far) = (Namespace::new("a")?, Namespace::new("b")?);
    far.join("192.0.2.1/30", &near, "192.0.2.2/30")?;
    let server = Server::start(&far)?;
    let mut figures = Figures::default();
    for load in Load::BOTH {
        interrupt.check()?;
        let outcome = {
            let _spinners = load.spinners();
            server.measure_from(&near, options)?
        };
        figures.add(load, &outcome)?;
    }
    Ok(figures.report(options, conditions))
}

/// `tsq-server` at the far end.
struct Server {
    _process: Process,
    _state: tempfile::TempDir,
    address: SocketAddr,
    pin: String,
}

impl Server {
    fn start(namespace: &Namespace) -> Result<Self, Error> {
        let state = tempfile::tempdir()?;
        let mut command = namespace.command(bin("tsq-server"));
        command
            .args([
                "--listen",
                "192.0.2.1:0",
                "--log-format",
                "json",
                "--serve-unsynchronised",
                "--state-dir",
            ])
            .arg(state.path());
        let process = Process::start(command);
        let field = |message: &'static str, name: &'static str| {
            process.wait_for(Duration::from_secs(5), |line| {
                let event: Value = serde_json::from_str(line).ok()?;
                let fields = event.get("fields").filter(|f| f["message"] == message)?;
                fields.get(name)?.as_str().map(str::to_owned)
            })
        };
        let pin = field("certificate", "pin");
        let address = field("listening", "address").parse()?;
        Ok(Self {
            _process: process,
            _state: state,
            address,
            pin,
        })
    }

    fn measure_from(&self, namespace: &Namespace, options: &OffsetOptions) -> Result<Value, Error> {
        let mut command: Command = namespace.command(std::env::current_exe()?);
        command
            .arg("offset-client")
            .args(["--server", &self.address.to_string()])
            .args(["--pin", &self.pin])
            .args(["--exchanges", &options.exchanges.to_string()])
            .args(["--spacing", &options.spacing.to_string()]);
        // An exchange that is lost takes 200 ms; far more than all of them is a hang.
        let limit = Duration::from_secs(30)
            + Duration::from_micros(options.spacing + 10_000) * options.exchanges;
        let outcome = run(command, limit);
        match outcome.code {
            Some(0) => Ok(outcome.json()),
            _ => Err(format!("the client failed: {}", outcome.stderr.trim()).into()),
        }
    }
}

struct Figures {
    table: Table,
    rows: Vec<Value>,
}

impl Default for Figures {
    fn default() -> Self {
        let headings = [
            "condition, client's stamps",
            "|offset| median us",
            "p90",
            "p99",
            "mean offset us",
            "delay median us",
            "p90",
            "p99",
            "samples",
            "lost",
        ];
        Self {
            table: Table::new(&headings),
            rows: Vec::new(),
        }
    }
}

impl Figures {
    fn add(&mut self, load: Load, outcome: &Value) -> Result<(), Error> {
        for source in SOURCES {
            let offsets = microseconds(&outcome[source]["offset_ns"]);
            let delays = microseconds(&outcome[source]["delay_ns"]);
            let mean = mean(&offsets);
            let count = offsets.len();
            let errors = Quantiles::of(offsets.into_iter().map(f64::abs));
            let (Some(errors), Some(delays)) = (errors, Quantiles::of(delays)) else {
                return Err(format!("no sample with {source} stamps ({})", load.name()).into());
            };
            let triple = |set: &Quantiles| [set.median(), set.percentile(90), set.percentile(99)];
            let [e50, e90, e99] = triple(&errors);
            let [d50, d90, d99] = triple(&delays);
            let us = |value: f64| format!("{value:.2}");
            let missing = count_of(outcome, "lost")
                + match source {
                    "user" => 0,
                    "kernel" => count_of(outcome, "without_kernel_stamps"),
                    _ => {
                        count_of(outcome, "without_kernel_stamps")
                            + count_of(outcome, "without_follow_up")
                    }
                };
            self.table.row([
                format!("{}, {source}", load.name()),
                us(e50),
                us(e90),
                us(e99),
                us(mean),
                us(d50),
                us(d90),
                us(d99),
                count.to_string(),
                missing.to_string(),
            ]);
            self.rows.push(json!({
                "condition": load.name(),
                "stamps": source,
                "samples": count,
                "missing": missing,
                "abs_offset_us": { "median": e50, "p90": e90, "p99": e99, "max": errors.max() },
                "mean_offset_us": mean,
                "delay_us": { "median": d50, "p90": d90, "p99": d99, "max": delays.max() },
            }));
        }
        Ok(())
    }

    fn report(self, options: &OffsetOptions, conditions: Conditions) -> Report {
        Report {
            title: format!(
                "Error of the offset between two network namespaces on a veth pair: {} exchanges every {} us on one connection, by datagram",
                options.exchanges, options.spacing
            ),
            conditions,
            table: self.table,
            notes: vec![
                "Both ends read one clock: the true offset is 0. No network card: limits of software, not of a network.".into(),
                "The rows are the same exchanges: by T1 and T4 of the process; of the kernel; and those with the departure of the server's follow-up in T3's place. The server's T2 is the kernel's in all.".into(),
                "Lost counts exchanges without an answer within 200 ms, without both kernel stamps, or without a follow-up.".into(),
            ],
            rows: self.rows,
        }
    }
}

/// The rows of each condition, the most exact first.
const SOURCES: [&str; 3] = ["kernel+follow-up", "kernel", "user"];

fn count_of(outcome: &Value, name: &str) -> u64 {
    outcome[name].as_u64().unwrap_or(0)
}

fn microseconds(nanoseconds: &Value) -> Vec<f64> {
    let values = nanoseconds.as_array().into_iter().flatten();
    values
        .filter_map(Value::as_f64)
        .map(|ns| ns / 1000.0)
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(offsets: &[i64]) -> Value {
        let series = json!({ "offset_ns": offsets, "delay_ns": vec![5000; offsets.len()] });
        json!({
            "lost": 1,
            "without_kernel_stamps": 2,
            "without_follow_up": 4,
            "kernel+follow-up": series,
            "kernel": series,
            "user": series,
        })
    }

    #[test]
    fn errors_are_absolute_and_the_mean_keeps_its_sign() {
        let mut figures = Figures::default();
        figures
            .add(Load::Idle, &outcome(&[-3000, -1000, 1000]))
            .unwrap();
        let row = &figures.rows[0];
        assert_eq!(row["abs_offset_us"]["median"], 1.0);
        assert_eq!(row["abs_offset_us"]["p99"], 3.0);
        assert_eq!(row["mean_offset_us"], -1.0);
        assert_eq!(row["delay_us"]["median"], 5.0);
        assert_eq!(
            figures
                .rows
                .iter()
                .map(|row| &row["missing"])
                .collect::<Vec<_>>(),
            [&json!(7), &json!(3), &json!(1)]
        );
    }

    #[test]
    fn no_sample_is_an_error_and_not_a_perfect_score() {
        assert!(Figures::default().add(Load::Idle, &outcome(&[])).is_err());
    }
}
