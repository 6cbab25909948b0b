//! Handshakes per second: those of TSQ, and the key exchanges of NTS.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tsq_interop::{Certs, Server, bin};
use tsq_perf::{Ask, CpuTime, Pace, Storm};

use crate::effort::Effort;
use crate::interrupt::Interrupt;
use crate::load::nts;
use crate::peers::{Kind, Nts, PeerServer, Protocol, Tools, Trust};
use crate::section::{Better, Cell, Figure, Row, Section};
use crate::{Conditions, Error, cores, trust};

/// Options of `handshakes`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Options {
    /// Seconds of each measurement, of which a round has two
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = crate::effort::seconds)]
    pub seconds: f64,
    /// Rounds over all servers
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub rounds: u16,
}

impl Options {
    /// For a whole run.
    #[must_use]
    pub fn of(effort: &Effort) -> Self {
        Self {
            seconds: effort.pick(1.0, 0.4),
            rounds: effort.pick(3, 1),
        }
    }
}

/// Keeps all servers busy with handshakes, one at a time, round after round.
///
/// # Errors
/// A signal came. A server that fails is a row that says so.
pub fn measure(options: &Options) -> Result<Section, Error> {
    let _programs = [bin("tsq-server"), bin("tsq-certs")];
    let interrupt = Interrupt::note()?;
    let conditions = Conditions::now();
    let tools = Tools::from_env();
    let duration = Duration::from_secs_f64(options.seconds);
    let rows = cores::alone(cores::Role::Generator, || {
        let mut subjects = subjects(&tools);
        for _ in 0..options.rounds {
            for subject in &mut subjects {
                interrupt.check().map_err(|error| error.to_string())?;
                subject.round(duration);
            }
        }
        Ok::<_, String>(subjects.iter().map(Subject::row).collect())
    })??;
    Ok(section(options, conditions, rows))
}

struct Subject {
    name: String,
    what: Result<What, String>,
    /// With the server on a core of its own, and on the generator's.
    rounds: Vec<[Round; 2]>,
    failure: Option<String>,
}

enum What {
    /// With the proportion of full, resumed and early handshakes.
    Tsq(Server, &'static str),
    /// With what made its certificate, whose files go with it.
    Nts { server: PeerServer, _certs: Certs },
}

/// Handshakes in so much time, and the server's processor time for them.
#[derive(Clone, Copy, Debug)]
struct Round {
    completed: f64,
    elapsed: Duration,
    cpu: Duration,
}

fn subjects(tools: &Tools) -> Vec<Subject> {
    let tsq = [
        ("tsq-server, full", "1:0:0"),
        ("tsq-server, resumed", "0:1:0"),
        ("tsq-server, 0-RTT", "0:0:1"),
    ];
    let tsq = tsq.map(|(name, mix)| {
        let server = Server::start(&["--threads", "1"]);
        (name.to_owned(), Ok(What::Tsq(server, mix)))
    });
    let nts = [Kind::Chronyd, Kind::NtpdRs].map(|kind| {
        let name = format!("{}, key exchange of NTS", kind.name());
        (
            name,
            key_exchanger(kind, tools).map_err(|error| error.to_string()),
        )
    });
    let subject = |(name, what)| Subject {
        name,
        what,
        rounds: Vec::new(),
        failure: None,
    };
    // Those of one case stand together.
    let [full, resumed, early] = tsq;
    let new = [full].into_iter().chain(nts);
    new.chain([resumed, early]).map(subject).collect()
}

fn key_exchanger(kind: Kind, tools: &Tools) -> Result<What, Error> {
    let certs = Certs::new();
    let nts = Nts {
        certificate: certs.server("server", "127.0.0.1", &[]),
        authority: certs.ca(),
        port: 0,
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Ok(What::Nts {
        server: PeerServer::start(kind, address, Some(&nts), tools)?,
        _certs: certs,
    })
}

impl Subject {
    fn round(&mut self, duration: Duration) {
        if self.failure.is_some() {
            return;
        }
        let both = [cores::Role::Server, cores::Role::Generator];
        let [alone, together] = both.map(|core| self.load(core, duration));
        match alone.and_then(|alone| Ok([alone, together?])) {
            Ok(round) => self.rounds.push(round),
            Err(reason) => self.failure = Some(reason.to_string()),
        }
    }

    fn load(&self, core: cores::Role, duration: Duration) -> Result<Round, Error> {
        let pin = |pid| cores::pin(pid, core);
        match &self.what {
            Ok(What::Tsq(server, mix)) => {
                pin(server.process().id())?;
                storm(server, mix, duration)
            }
            Ok(What::Nts { server, .. }) => {
                pin(server.pid())?;
                key_exchanges(server, duration)
            }
            Err(reason) => Err(reason.clone().into()),
        }
    }

    fn row(&self) -> Row {
        let ours = self.name.starts_with("tsq");
        // Who comes back to NTS needs no handshake but its cookies: nobody's rival.
        let case = match self.name.as_str() {
            "tsq-server, resumed" | "tsq-server, 0-RTT" => "one core, clients that come back",
            _ => "one core, new clients",
        };
        let row = Row::new(case, self.name.clone(), ours);
        if let Some(failure) = &self.failure {
            return row.with("per_second", failure.clone());
        }
        let per_second: Vec<f64> = self
            .rounds
            .iter()
            .map(|[alone, _]| alone.per_second())
            .collect();
        let cpu: Vec<f64> = self
            .rounds
            .iter()
            .map(|[_, together]| together.cpu_us())
            .collect();
        let most = per_second.iter().copied().fold(0.0, f64::max);
        let least = cpu.iter().copied().fold(f64::INFINITY, f64::min);
        row.with("per_second", Cell::of(most, per_second))
            .with("cpu_us", Cell::of(least, cpu))
    }
}

impl Round {
    fn per_second(&self) -> f64 {
        self.completed / self.elapsed.as_secs_f64()
    }

    fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.completed
    }
}

/// Each with one request and its answer.
fn storm(server: &Server, mix: &str, duration: Duration) -> Result<Round, Error> {
    let pid = server.process().id();
    let believed = trust::pinned(server.pin(), server.address())?;
    let ask = Ask {
        // Under load a server may take longer than it does for a packet.
        patience: Duration::from_secs(2),
        ..Ask::default()
    };
    let mut storm = Storm::new(server.address(), &believed, mix.parse()?, ask)?;
    let (mut pace, stop) = (Pace::Closed(UNDER_WAY), AtomicBool::new(false));
    // The first connections of a kind get the tickets of the later ones.
    storm.run(&mut pace, Instant::now() + WARM_UP, &stop)?;
    drop(storm.take_counts());
    let (cpu, begun) = (CpuTime::of(pid)?, Instant::now());
    storm.run(&mut pace, begun + duration, &stop)?;
    let elapsed = begun.elapsed();
    let cpu = CpuTime::of(pid)?.since(&cpu)?;
    let counts = storm.take_counts();
    round(counts.answered, elapsed, cpu)
}

/// From the TCP connection to the cookies, by as many threads as there are handshakes under way.
fn key_exchanges(server: &PeerServer, duration: Duration) -> Result<Round, Error> {
    let end = server.end(Protocol::Nts).ok_or("it exchanges no keys")?;
    let Trust::Authority { file, key_exchange } = end.trust else {
        return Err("it has no certificate".into());
    };
    let address = SocketAddr::new(end.address.ip(), key_exchange);
    let tls = nts::tls(&file)?;
    // One that fails now says why.
    nts::session(address, &tls)?;
    let (completed, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let (cpu, begun) = (CpuTime::of(server.pid())?, Instant::now());
    thread::scope(|scope| {
        for _ in 0..UNDER_WAY {
            scope.spawn(|| {
                while begun.elapsed() < duration {
                    let counter = match nts::session(address, &tls) {
                        Ok(_) => &completed,
                        Err(_) => &failed,
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let elapsed = begun.elapsed();
    let cpu = CpuTime::of(server.pid())?.since(&cpu)?;
    let (completed, failed) = (completed.into_inner(), failed.into_inner());
    if failed > completed / 100 {
        return Err(format!("{failed} of {} exchanges failed", failed + completed).into());
    }
    round(completed, elapsed, cpu)
}

#[expect(clippy::cast_precision_loss, reason = "some thousand handshakes")]
fn round(completed: u64, elapsed: Duration, cpu: Duration) -> Result<Round, Error> {
    if completed < FEWEST {
        return Err(format!("only {completed} handshakes came about").into());
    }
    Ok(Round {
        completed: completed as f64,
        elapsed,
        cpu,
    })
}

/// Handshakes at a time.
const UNDER_WAY: usize = 16;
const WARM_UP: Duration = Duration::from_millis(300);
/// A figure from less is none.
const FEWEST: u64 = 10;

fn section(options: &Options, conditions: Conditions, rows: Vec<Row>) -> Section {
    Section {
        id: "handshakes".into(),
        title: "Handshakes".into(),
        question: "How many new clients a second does one core take?".into(),
        command: format!(
            "tsq-bench handshakes --seconds {} --rounds {}",
            options.seconds, options.rounds
        ),
        conditions,
        figures: vec![
            Figure::new("per_second", "handshakes per second, most of the rounds", "", Better::More)
                .plotted(),
            Figure::new("cpu_us", "server's processor time of each, least of the rounds", "us", Better::Less)
                .plotted(),
        ],
        rows,
        notes: vec![
            "16 at a time. TSQ: the whole connection, with one request, its answer and the end. NTS: TCP, TLS 1.3 and the records of one key exchange, without a request to the NTP server.".into(),
            "Handshakes per second: the server on one core, the generator on another; these may be threads of one, and the generator may be the slower one. Processor time: in turns with the generator on one core. chronyd without helper processes (ntsprocesses 0).".into(),
            "All certificates have keys on P-256. A client of plain NTP needs no handshake at all.".into(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_per_handshake_and_per_second() {
        let second = Duration::from_secs(1);
        let round = round(1000, 2 * second, second).unwrap();
        assert!((round.per_second() - 500.0).abs() < 1e-9);
        assert!((round.cpu_us() - 1000.0).abs() < 1e-9);
    }

    #[test]
    fn handful_of_handshakes_is_no_figure() {
        assert!(round(9, Duration::from_secs(1), Duration::ZERO).is_err());
    }
}
