//! Processor time per request: our server by both transports, unsigned and signed, chronyd, and the plain UDP floor.

pub mod echo;
mod key;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tsq_interop::{Process, Server};
use tsq_perf::Transport;

use self::key::Key;
use crate::args::{EchoKind, ServerOptions, Signing};
use crate::load::plain::{Echo, Ntp, PlainLoad};
use crate::load::quic::QuicLoad;
use crate::load::{self, Load, Measured};
use crate::ntp::Chronyd;
use crate::{Conditions, Error, Report, Table};

/// Runs all servers, one at a time, round after round.
///
/// # Errors
/// A server does not start, or a single answer is wrong.
pub fn measure(options: &ServerOptions) -> Result<Report, Error> {
    let conditions = Conditions::now();
    let mut subjects = subjects(options);
    for _ in 0..options.rounds {
        for subject in &mut subjects {
            let measured = subject.kind.measure(options)?;
            subject.rounds.push(measured);
        }
    }
    Ok(report(options, conditions, &subjects))
}

/// A server, and what its rounds gave.
struct Subject {
    kind: Kind,
    rounds: Vec<Measured>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tsq(Transport, Signing),
    Chronyd,
    /// The one with this number of those that were named to us.
    Ntp(usize),
    Echo(EchoKind),
}

fn subjects(options: &ServerOptions) -> Vec<Subject> {
    let transports = match options.transport {
        Some(only) => vec![only],
        None => vec![Transport::Datagram, Transport::Stream],
    };
    let mut kinds: Vec<Kind> = options
        .signing
        .iter()
        .flat_map(|signing| transports.iter().map(|one| Kind::Tsq(*one, *signing)))
        .collect();
    if !options.no_peers {
        kinds.push(Kind::Chronyd);
    }
    kinds.extend((0..options.ntp_server.len()).map(Kind::Ntp));
    if !options.no_peers {
        kinds.extend([Kind::Echo(EchoKind::Plain), Kind::Echo(EchoKind::Stamped)]);
    }
    kinds
        .into_iter()
        .map(|kind| Subject {
            kind,
            rounds: Vec::new(),
        })
        .collect()
}

impl Kind {
    fn name(self, options: &ServerOptions) -> String {
        match self {
            Self::Tsq(transport, Signing::None) => format!("tsq-server, {}", transport.names()),
            Self::Tsq(transport, signing) => {
                format!("tsq-server, {}, {}", transport.names(), signing.name())
            }
            Self::Ntp(number) => format!("{}, NTP", options.ntp_server[number].name),
            Self::Chronyd => "chronyd, NTP".into(),
            Self::Echo(EchoKind::Plain) => "UDP echo, recvfrom + sendto".into(),
            Self::Echo(EchoKind::Stamped) => "UDP echo, our socket".into(),
        }
    }

    fn measure(self, options: &ServerOptions) -> Result<Measured, Error> {
        let count = usize::from(options.connections);
        match self {
            Self::Tsq(transport, signing) => {
                let key = Key::make(signing)?;
                // One core's worth: with more threads the load would be spread, and caches would count too.
                let mut words = vec!["--threads", "1"];
                if let Some(key) = &key {
                    words.extend(["--signing-key", key.file()]);
                }
                let server = Server::start(&words);
                let asked = (transport, key.is_some());
                let mut load = QuicLoad::start(server.address(), server.pin(), count, asked)?;
                run(&mut load, server.process().id(), options)
            }
            Self::Chronyd => {
                let chronyd = Chronyd::start((Ipv4Addr::LOCALHOST, 0).into())?;
                let mut load = PlainLoad::start(Ntp, chronyd.address(), count)?;
                run(&mut load, chronyd.pid(), options)
            }
            Self::Ntp(number) => {
                let server = &options.ntp_server[number];
                let mut load = PlainLoad::start(Ntp, server.address, count)?;
                run(&mut load, server.pid, options)
            }
            Self::Echo(kind) => {
                let (process, address) = start_echo(kind)?;
                let mut load = PlainLoad::start(ECHO, address, count)?;
                run(&mut load, process.id(), options)
            }
        }
    }
}

fn run(load: &mut dyn Load, server: u32, options: &ServerOptions) -> Result<Measured, Error> {
    load::measure(load, server, Duration::from_secs_f64(options.seconds))
}

/// A QUIC packet with one datagram: 1 byte of header, 8 of connection ID, 1 to 2 of packet number,
/// the frame, 16 of authentication tag, and an acknowledgement of about 5 in most.
const ECHO: Echo = Echo {
    request: 52,
    answer: 72,
};

fn start_echo(kind: EchoKind) -> Result<(Process, SocketAddr), Error> {
    let mut command = Command::new(std::env::current_exe()?);
    let kind = match kind {
        EchoKind::Plain => "plain",
        EchoKind::Stamped => "stamped",
    };
    let answer = ECHO.answer.to_string();
    command.args(["echo-server", "--kind", kind, "--answer", &answer]);
    let process = Process::start(command);
    let address = process.wait_for(Duration::from_secs(5), |line| {
        line.strip_prefix("listening on ")?.parse().ok()
    });
    Ok((process, address))
}

/// The round that used least: other programs on the machine only ever add.
fn best(rounds: &[Measured]) -> Option<&Measured> {
    rounds
        .iter()
        .min_by(|a, b| a.cpu_us_per_request().total_cmp(&b.cpu_us_per_request()))
}

fn report(options: &ServerOptions, conditions: Conditions, subjects: &[Subject]) -> Report {
    let figure = |kind: Kind| {
        let subject = subjects.iter().find(|subject| subject.kind == kind)?;
        best(&subject.rounds).map(Measured::cpu_us_per_request)
    };
    let floor = figure(Kind::Echo(EchoKind::Plain));
    let chronyd = figure(Kind::Chronyd);
    let mut table = Table::new(&[
        "server",
        "CPU us/request",
        "all rounds",
        "x echo",
        "x chronyd",
        "requests/s",
        "busy %",
        "lost",
        "late",
    ]);
    let mut rows = Vec::new();
    for subject in subjects {
        let Some(best) = best(&subject.rounds) else {
            continue;
        };
        let all: Vec<f64> = subject
            .rounds
            .iter()
            .map(Measured::cpu_us_per_request)
            .collect();
        let cpu = best.cpu_us_per_request();
        let sum = |field: fn(&Measured) -> u64| subject.rounds.iter().map(field).sum::<u64>();
        let (lost, late) = (sum(|m| m.tally.lost), sum(|m| m.tally.late));
        table.row([
            subject.kind.name(options),
            format!("{cpu:.2}"),
            all.iter()
                .map(|us| format!("{us:.2}"))
                .collect::<Vec<_>>()
                .join(" "),
            ratio(cpu, floor),
            ratio(cpu, chronyd),
            format!("{:.0}", best.requests_per_second()),
            format!("{:.0}", best.busy_percent()),
            lost.to_string(),
            late.to_string(),
        ]);
        rows.push(json!({
            "server": subject.kind.name(options),
            "cpu_us_per_request": cpu,
            "cpu_us_per_request_rounds": all,
            "ratio_to_echo": floor.map(|floor| cpu / floor),
            "ratio_to_chronyd": chronyd.map(|chronyd| cpu / chronyd),
            "requests_per_second": best.requests_per_second(),
            "busy_percent": best.busy_percent(),
            "answered": sum(|m| m.tally.answered),
            "lost": lost,
            "late": late,
        }));
    }
    Report {
        title: format!(
            "Processor time of a server per request: {} connections, at most one request under way on each and 128 in all, {} rounds of {} s",
            options.connections, options.rounds, options.seconds
        ),
        conditions,
        table,
        notes: vec![
            "The figure is the least of the rounds: other programs on the machine only add.".into(),
            "Every answer was checked (nonce or origin timestamp echoed, T3 >= T2); a wrong one ends the run.".into(),
            "Signatures are not verified by the load; but who asks for one gets an answer with one, or none.".into(),
            "tsq-server runs with --threads 1.".into(),
            "A connection that asks less than about 40 times a second adds delayed acknowledgements: packets of their own, in the figure.".into(),
            "Lost: no answer within 500 ms; late: answered after that. Both are sums of all rounds.".into(),
        ],
        rows,
    }
}

fn ratio(value: f64, to: Option<f64>) -> String {
    to.map_or_else(|| "-".into(), |to| format!("{:.2}", value / to))
}

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
    fn figure_is_the_least_of_the_rounds_and_losses_are_summed() {
        let options = ServerOptions {
            connections: 50,
            seconds: 1.0,
            rounds: 2,
            transport: None,
            signing: vec![Signing::None, Signing::Ed25519],
            no_peers: false,
            ntp_server: Vec::new(),
        };
        let mut subjects = subjects(&options);
        for subject in &mut subjects {
            let factor = if subject.kind == Kind::Chronyd { 2 } else { 4 };
            subject.rounds = vec![round(3 * factor), round(factor)];
        }
        let report = report(&options, Conditions::now(), &subjects);
        let row = &report.rows[0];
        assert_eq!(row["cpu_us_per_request"], 4.0);
        assert_eq!(row["ratio_to_chronyd"], 2.0);
        assert_eq!(row["lost"], 2);
        let names: Vec<_> = report
            .rows
            .iter()
            .map(|row| row["server"].as_str())
            .collect();
        assert_eq!(names[3], Some("tsq-server, streams, ed25519"));
    }
}
