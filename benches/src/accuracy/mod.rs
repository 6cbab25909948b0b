//! Error of the measured offset, exchange by exchange: all servers and clients read one clock, so every offset is
//! an error.

mod chrony;
mod ntp;
mod tsq;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tsq_interop::{Impairment, Relay, Server, bin};

use crate::effort::Effort;
use crate::interrupt::Interrupt;
use crate::namespace::Namespace;
use crate::peers::{Kind, PeerServer, Tools};
use crate::relay::OwnError;
use crate::section::{Better, Cell, Figure, Row, Section};
use crate::spin::Load;
use crate::{Conditions, Error, Quantiles};
use chrony::Mode;

/// Options of `accuracy`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Options {
    /// Rounds over all paths, loads and subjects
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Milliseconds of each subject in each round
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(50..))]
    pub slice: u64,
}

impl Options {
    /// For a whole run.
    #[must_use]
    pub fn of(effort: &Effort) -> Self {
        let slice = effort.pick(500, 150);
        let cases = Path::ALL.len() * Load::BOTH.len();
        // What a start of chronyd takes, shared among all.
        let one = Duration::from_millis(slice + 250);
        // Over the relay it is twice as long.
        let turns = (cases + Load::BOTH.len()) * Subject::ALL.len();
        let round = one * u32::try_from(turns).unwrap_or(u32::MAX);
        let rounds = effort.time.as_secs() / round.as_secs().max(1);
        Self {
            rounds: u32::try_from(rounds).unwrap_or(u32::MAX).clamp(1, 10),
            slice,
        }
    }
}

/// Measures over loopback, a veth pair and the relay, idle and with all cores busy.
///
/// # Errors
/// Not root, or our own server does not start. What a subject cannot do is a word in its row.
pub fn measure(options: &Options) -> Result<Section, Error> {
    // Built first, so that nothing waits for it.
    let _program = bin("tsq-server");
    let conditions = Conditions::now();
    let interrupt = Interrupt::note()?;
    let tools = Tools::from_env();
    let (near, far) = (Namespace::new("a")?, Namespace::new("b")?);
    far.join("192.0.2.1/30", &near, "192.0.2.2/30")?;
    let at_hand = near.run(|| Servers::start(HERE, &tools))?;
    let beyond = far.run(|| Servers::start(THERE, &tools))?;
    let mut own_error = OwnError::default();
    let mut tallies = Vec::new();
    for case in cases() {
        tallies.extend(Subject::ALL.map(|subject| (case, subject, Tally::default())));
    }
    for round in 0..options.rounds {
        own_error.extend(OwnError::now(RELAYED.delay_each_way)?);
        for (case, subject, tally) in &mut tallies {
            interrupt.check()?;
            let servers = match case.path {
                Path::Veth => &beyond,
                Path::Loopback | Path::Relay => &at_hand,
            };
            let _spinners = case.load.spinners();
            let path = case.path;
            let slice = subject.slice(path, Duration::from_millis(options.slice));
            let measured = near.run(|| {
                subject
                    .measure(servers, path, slice, u64::from(round), &tools)
                    .map_err(|error| error.to_string())
            })?;
            match measured {
                Ok(series) => tally.add(series),
                Err(reason) => tally.failure = Some(reason),
            }
        }
    }
    let rows = tallies
        .iter()
        .flat_map(|(case, subject, tally)| tally.rows(*case, *subject));
    let mut section = section(conditions, rows.collect(), &own_error);
    let reasons: BTreeSet<&String> = tallies
        .iter()
        .filter_map(|(_, _, tally)| tally.failure.as_ref())
        .collect();
    section.notes.extend(reasons.into_iter().cloned());
    Ok(section)
}

fn section(conditions: Conditions, rows: Vec<Row>, own_error: &OwnError) -> Section {
    Section {
        id: "accuracy".into(),
        title: "Error of the measured offset".into(),
        question: "How far from the truth is the offset of a single exchange?".into(),
        command: "tsq-bench accuracy".into(),
        conditions,
        figures: vec![
            Figure::new("median_us", "error, median", "us", Better::Less).plotted(),
            Figure::new("p95_us", "p95", "us", Better::Less),
            Figure::new("p99_us", "p99", "us", Better::Less).plotted(),
            Figure::new("max_us", "max", "us", Better::Less),
            Figure::new("mean_us", "mean, with its sign", "us", Better::Neither),
            Figure::new("exchanges", "exchanges", "", Better::Neither),
            Figure::new("lost", "lost", "", Better::Neither),
        ],
        rows,
        notes: vec![
            "Client and server read one clock: the true offset is 0. No network card: these are limits of software, not of a network. On loopback and veth the kernel stamps a packet's departure and its arrival within one call.".into(),
            "p95 from 20 exchanges on, p99 from 100 on: with fewer they are the greatest, or close to it.".into(),
            "Single exchanges, before any filter: a client that keeps the best of several does better, and ours and theirs do.".into(),
            "TSQ: on one connection, by datagrams, one exchange each ms or as soon as the last is over. Its three rows are the same exchanges: with the departure the server tells in the next answer; with the kernel's stamps but for the server's departure; and with the client process's.".into(),
            "chronyd, client and server: the raw measurements of its own log, both with kernel stamps; interleaved (xleave) is its counterpart of our follow-up. It follows nobody (noselect), asks at most 64 times a second, once a second where the round trip is above 10 ms (there, eight relays at once), and does not log what was lost.".into(),
            "Bare NTP client: ours, with the kernel's stamps on its side; what it finds is the error of that server's stamps.".into(),
            format!(
                "Relay: {} ms each way and up to {} ms more by chance, {} % of the packets lost each way. Jitter of this size is an error that no exchange can see: the figures of all subjects are those of the path.",
                RELAYED.delay_each_way.as_millis(),
                RELAYED.jitter.as_millis(),
                RELAYED.loss_percent_each_way
            ),
            own_error.note(),
        ],
    }
}

/// From one exchange to the next, where the path is not longer.
const SPACING: Duration = Duration::from_millis(1);

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// 20 ms of round trip and more; also where bounds are put to the test.
pub(crate) const RELAYED: Impairment = Impairment {
    delay_each_way: Duration::from_millis(10),
    more_on_the_way_back: Duration::ZERO,
    jitter: Duration::from_millis(2),
    bottleneck: None,
    loss_percent_each_way: 1.0,
    reorder_percent: 0.0,
    corrupt_percent: 0.0,
    rebind_after: None,
    seed: 0,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Loopback,
    Veth,
    Relay,
}

impl Path {
    const ALL: [Self; 3] = [Self::Loopback, Self::Veth, Self::Relay];

    fn name(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Veth => "veth",
            Self::Relay => "relay, 20 ms with jitter and loss",
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    path: Path,
    load: Load,
}

impl Case {
    fn name(self) -> String {
        format!("{}, {}", self.path.name(), self.load.name())
    }
}

fn cases() -> impl Iterator<Item = Case> {
    let of = |path| Load::BOTH.map(|load| Case { path, load });
    Path::ALL.into_iter().flat_map(of)
}

/// Every server at one address.
struct Servers {
    tsq: Server,
    peers: Vec<(Kind, Result<PeerServer, String>)>,
}

impl Servers {
    fn start(ip: IpAddr, tools: &Tools) -> Self {
        // That one serves there and nowhere else, and so over veth not at all.
        let address = |kind: Kind| match kind.has_fixed_port() && ip.is_loopback() {
            true => SocketAddr::from((Ipv4Addr::LOCALHOST, 123)),
            false => SocketAddr::new(ip, 0),
        };
        let start = |kind| PeerServer::start(kind, address(kind), None, tools);
        Self {
            tsq: Server::start(&["--listen", &SocketAddr::new(ip, 0).to_string()]),
            peers: [Kind::Chronyd, Kind::NtpdRs, Kind::Ntpsec]
                .map(|kind| (kind, start(kind).map_err(|error| error.to_string())))
                .into(),
        }
    }

    fn address(&self, wanted: Kind) -> Result<SocketAddr, Error> {
        let mut servers = self.peers.iter();
        let (_, server) = servers
            .find(|(kind, _)| *kind == wanted)
            .ok_or("not started")?;
        let server = server.as_ref().map_err(Clone::clone)?;
        Ok(server.address())
    }
}

/// Who asks whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Tsq,
    Chronyd(Mode),
    Bare(Kind),
}

impl Subject {
    const ALL: [Self; 6] = [
        Self::Tsq,
        Self::Chronyd(Mode::Interleaved),
        Self::Chronyd(Mode::Basic),
        Self::Bare(Kind::Chronyd),
        Self::Bare(Kind::NtpdRs),
        Self::Bare(Kind::Ntpsec),
    ];

    /// What its series are called, in their order.
    fn names(self) -> Vec<String> {
        match self {
            Self::Tsq => vec![
                "TSQ, kernel stamps and follow-up".into(),
                "TSQ, kernel stamps".into(),
                "TSQ, the process's own stamps".into(),
            ],
            Self::Chronyd(Mode::Interleaved) => vec!["chronyd to chronyd, interleaved".into()],
            Self::Chronyd(Mode::Basic) => vec!["chronyd to chronyd".into()],
            Self::Bare(kind) => vec![format!("bare NTP client to {}", kind.name())],
        }
    }

    fn measure(
        self,
        servers: &Servers,
        path: Path,
        slice: Duration,
        round: u64,
        tools: &Tools,
    ) -> Result<Vec<Offsets>, Error> {
        let through = |address| through(path, address, self.relays(), round);
        match self {
            Self::Tsq => {
                let (_relays, ends) = through(servers.tsq.address())?;
                let outcome = tsq::ask(ends[0], servers.tsq.pin(), slice)?;
                let lost = outcome.lost;
                let series = [outcome.followed, outcome.kernel, outcome.user];
                Ok(series.map(|us| Offsets { us, lost }).into())
            }
            Self::Chronyd(mode) => {
                let (_relays, ends) = through(servers.address(Kind::Chronyd)?)?;
                Ok(vec![chrony::ask(&ends, mode, slice, tools)?])
            }
            Self::Bare(kind) => {
                let (_relays, ends) = through(servers.address(kind)?)?;
                Ok(vec![ntp::ask(ends[0], slice)?])
            }
        }
    }

    /// How many paths it uses at once: chronyd asks each of its servers seldom.
    fn relays(self) -> u8 {
        match self {
            Self::Chronyd(_) => 8,
            Self::Tsq | Self::Bare(_) => 1,
        }
    }

    /// Its time in a round: an exchange takes longer over the relay, and chronyd waits a second after each.
    fn slice(self, path: Path, asked: Duration) -> Duration {
        let least = match (path, self) {
            (Path::Loopback | Path::Veth, _) => 0,
            (Path::Relay, Self::Tsq | Self::Bare(_)) => 700,
            (Path::Relay, Self::Chronyd(_)) => 2500,
        };
        let longer = if path == Path::Relay {
            2 * asked
        } else {
            asked
        };
        longer.max(Duration::from_millis(least))
    }
}

/// Where to ask for a server, and the relays before it: each at an address of its own, with its own seed.
fn through(
    path: Path,
    server: SocketAddr,
    count: u8,
    round: u64,
) -> Result<(Vec<Relay>, Vec<SocketAddr>), Error> {
    if path != Path::Relay {
        return Ok((Vec::new(), vec![server]));
    }
    let start = |number: u8| -> Result<Relay, Error> {
        let listen = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 21 + number), 0));
        let impairment = Impairment {
            seed: round * 100 + u64::from(number),
            ..RELAYED
        };
        let relay = Relay::start_on(listen, server, impairment)?;
        relay.take_precedence()?;
        Ok(relay)
    };
    let relays = (0..count).map(start).collect::<Result<Vec<_>, _>>()?;
    let ends = relays.iter().map(Relay::address).collect();
    Ok((relays, ends))
}

/// What one subject found: microseconds, and how often it had no answer.
#[derive(Clone, Debug, Default)]
struct Offsets {
    us: Vec<f64>,
    lost: u32,
}

/// All rounds of one subject: a series for each of its rows.
#[derive(Debug, Default)]
struct Tally {
    series: Vec<Offsets>,
    /// Why the last round that failed did.
    failure: Option<String>,
}

impl Tally {
    fn add(&mut self, round: Vec<Offsets>) {
        if self.series.is_empty() {
            self.series = round;
            return;
        }
        for (sum, part) in self.series.iter_mut().zip(round) {
            sum.us.extend(part.us);
            sum.lost += part.lost;
        }
    }

    fn rows(&self, case: Case, subject: Subject) -> Vec<Row> {
        let names = subject.names().into_iter().enumerate();
        let row = |(index, name): (usize, String)| {
            let row = Row::new(case.name(), name, subject == Subject::Tsq);
            match self.series.get(index) {
                Some(offsets) => offsets.cells(row),
                None => row.with("median_us", "could not be measured: see the notes"),
            }
        };
        names.map(row).collect()
    }
}

impl Offsets {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn cells(&self, row: Row) -> Row {
        let Some(errors) = Quantiles::of(self.us.iter().map(|us| us.abs())) else {
            return row.with("median_us", "no exchange with an answer and kernel stamps");
        };
        row.with("median_us", Cell::of(errors.median(), self.us.as_slice()))
            .with("p95_us", errors.cell(95))
            .with("p99_us", errors.cell(99))
            .with("max_us", errors.max())
            .with(
                "mean_us",
                self.us.iter().sum::<f64>() / self.us.len() as f64,
            )
            .with("exchanges", self.us.len() as f64)
            .with("lost", f64::from(self.lost))
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "errors of microseconds are far below 2^53 ns"
)]
fn microseconds(nanos: i64) -> f64 {
    nanos as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASE: Case = Case {
        path: Path::Veth,
        load: Load::Idle,
    };

    fn offsets(us: &[f64], lost: u32) -> Offsets {
        let us = us.to_vec();
        Offsets { us, lost }
    }

    #[test]
    fn errors_are_absolute_and_the_mean_keeps_its_sign() {
        let mut tally = Tally::default();
        tally.add(vec![offsets(&[-3.0, -1.0], 1)]);
        tally.add(vec![offsets(&[1.0], 2)]);
        let rows = tally.rows(CASE, Subject::Bare(Kind::Chronyd));
        let cells = &rows[0].cells;
        assert_eq!(cells["median_us"], Cell::of(1.0, [-3.0, -1.0, 1.0]));
        assert_eq!(cells["max_us"], Cell::from(3.0));
        assert_eq!(cells["mean_us"], Cell::from(-1.0));
        assert_eq!(cells["lost"], Cell::from(3.0));
    }

    #[test]
    fn no_exchange_is_a_word_and_not_a_perfect_score() {
        let mut tally = Tally::default();
        tally.add(vec![offsets(&[], 9)]);
        let rows = tally.rows(CASE, Subject::Bare(Kind::Chronyd));
        assert!(matches!(rows[0].cells["median_us"], Cell::Text(_)));
    }

    #[test]
    fn subject_that_failed_says_so_in_all_of_its_rows() {
        let tally = Tally {
            failure: Some("not installed".into()),
            ..Tally::default()
        };
        let rows = tally.rows(CASE, Subject::Tsq);
        assert_eq!(rows.len(), 3);
        for row in rows {
            assert!(matches!(row.cells["median_us"], Cell::Text(_)));
        }
    }

    #[test]
    fn whole_run_takes_the_time_it_is_given() {
        let effort = |seconds, quick| Effort {
            time: Duration::from_secs(seconds),
            quick,
        };
        assert_eq!(Options::of(&effort(100, false)).rounds, 2);
        assert_eq!(Options::of(&effort(1, true)).rounds, 1);
    }
}
