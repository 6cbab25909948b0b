//! Section `attacks`: what each program makes of an attack.
//!
//! Every cell is a run of the real program against real servers, through an attacker (`middle`) where the attack is
//! one on packets. The outcome is in plain words: the true time, a false one by so much, or none.

mod attackers;
mod cases;
mod field;
mod forged;
mod middle;
mod outcome;

use std::thread;
use std::time::Duration;

use crate::effort::Effort;
use crate::namespace::Namespace;
use crate::peers::{OneShot, Tools, one_shots};
use crate::section::{Better, Cell, Figure, Row, Section};
use crate::{Conditions, Error};
use cases::{Attacked, CASES, Case};
use field::{Belief, Field, PLACES, place_before};
use outcome::Outcome;

/// Options of `attacks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub struct Options {
    /// Rounds where it may matter which server comes first
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    pub rounds: u8,
    /// Give up sooner, and run chronyd at its fastest where it asks one server
    #[arg(long)]
    pub quick: bool,
}

impl Options {
    /// For a whole run: some 55 s, and 20 s in a quick one.
    #[must_use]
    pub fn of(effort: &Effort) -> Self {
        Self {
            rounds: effort.pick(3, 1),
            quick: effort.quick,
        }
    }
}

/// Runs every program under every attack, in a network namespace of its own.
///
/// # Errors
/// Not root, or a server of ours does not start.
pub fn measure(options: &Options) -> Result<Section, Error> {
    let conditions = Conditions::now();
    let namespace = Namespace::new("a")?;
    let rows = namespace.run(|| rows(options).map_err(|error| error.to_string()))??;
    Ok(Section {
        id: "attacks".into(),
        title: "Under attack".into(),
        question: "What would each program have done to the clock?".into(),
        command: "tsq-bench attacks".into(),
        conditions,
        figures: vec![
            Figure::new("outcome", "outcome", "", Better::Neither),
            Figure::new("error_ms", "error of the clock", "ms", Better::Neither),
            Figure::new("bound_ms", "claimed bound", "ms", Better::Neither),
            Figure::new("wall_ms", "wall time", "ms", Better::Neither),
        ],
        rows,
        notes: NOTES.iter().map(ToString::to_string).collect(),
    })
}

fn rows(options: &Options) -> Result<Vec<Row>, Error> {
    let tools = Tools::from_env();
    let field = Field::start(&tools)?;
    let clients = one_shots(&tools);
    for name in SUBJECTS.into_iter().chain(FAST_SUBJECTS) {
        if !clients.iter().any(|client| client.name == name) {
            return Err(format!("no program is called \"{name}\" any more").into());
        }
    }
    let mut rows = Vec::new();
    for cases in CASES.chunks(TOGETHER) {
        let (clients, field) = (&clients, &field);
        let done: Vec<Vec<Row>> = thread::scope(|scope| {
            let runs: Vec<_> = cases
                .iter()
                .zip(0_u8..)
                .map(|(case, slot)| scope.spawn(move || under(case, slot, clients, field, options)))
                .collect();
            // What panicked has said so, and leaves no rows.
            runs.into_iter()
                .map(|run| run.join().unwrap_or_default())
                .collect()
        });
        rows.extend(done.into_iter().flatten());
    }
    Ok(rows)
}

/// One attack on every program.
fn under(case: &Case, slot: u8, clients: &[OneShot], field: &Field, options: &Options) -> Vec<Row> {
    thread::scope(|scope| {
        let patience = patience(case, options);
        let runs: Vec<_> = subjects(case, clients, options)
            .zip(0_u8..)
            .map(|((client, by, name), number)| {
                let place = place_before(slot * PROGRAMS + number);
                scope.spawn(move || {
                    let rounds = usize::from(case.rounds(options.rounds));
                    let attacked: Option<Vec<Attacked>> = (0..rounds)
                        .map(|round| case.attack(client, by, field, place, (round, patience)))
                        .collect();
                    let row = Row::new(case.name, name, client.ours);
                    Some(filled(row, &attacked?, client.ours))
                })
            })
            .collect();
        runs.into_iter()
            .filter_map(|run| run.join().unwrap_or_default())
            .collect()
    })
}

/// Who is attacked, and what ours believe a server by: that matters where dates do.
fn subjects<'a>(
    case: &Case,
    clients: &'a [OneShot],
    options: &Options,
) -> impl Iterator<Item = (&'a OneShot, Belief, String)> {
    let (dates, fast) = (case.is_of_dates(), options.quick && !case.is_of_several());
    let names = if fast { FAST_SUBJECTS } else { SUBJECTS };
    let wanted = clients
        .iter()
        .filter(move |client| names.contains(&client.name.as_str()));
    wanted.flat_map(move |client| {
        let beliefs: &[(Belief, &str)] = match client.ours && dates {
            true => &[(Belief::Key, ", by pin"), (Belief::Authority, ", by CA")],
            false => &[(Belief::Key, "")],
        };
        beliefs
            .iter()
            .map(move |(by, suffix)| (client, *by, format!("{}{suffix}", client.name)))
    })
}

fn filled(row: Row, attacked: &[Attacked], ours: bool) -> Row {
    let outcomes: Vec<Outcome> = attacked
        .iter()
        .map(|one| Outcome::of(one.run.as_ref(), one.truth, ours))
        .collect();
    let outcome = Outcome::together(&outcomes);
    let walls: Vec<f64> = attacked
        .iter()
        .filter_map(|one| one.run.as_ref().ok())
        .map(|run| run.finished.wall.as_secs_f64() * 1e3)
        .collect();
    let longest = walls.iter().copied().reduce(f64::max);
    let mut row = row.with("outcome", outcome.words);
    let figures = [
        ("error_ms", outcome.error_ms.map(Cell::from)),
        ("bound_ms", outcome.bound_ms.map(Cell::from)),
        ("wall_ms", longest.map(|longest| Cell::of(longest, walls))),
    ];
    for (key, cell) in figures {
        if let Some(cell) = cell {
            row = row.with(key, cell);
        }
    }
    row
}

/// One form of each program, that with its usual settings: chronyd's fastest ones would take one sample of each server
/// and believe whoever comes first.
const SUBJECTS: [&str; 8] = [
    "tsq-adjtime, datagrams",
    "ntpdig, 1 sample",
    "chronyd -Q, iburst",
    "chronyd -Q, NTS, iburst",
    "ntpd-rs force-sync",
    "ntpd-rs force-sync, NTS",
    "busybox ntpd -q",
    "roughenough-client",
];

/// The same where there is no time and one server.
const FAST_SUBJECTS: [&str; 8] = [
    "tsq-adjtime, datagrams",
    "ntpdig, 1 sample",
    "chronyd -Q, fastest",
    "chronyd -Q, NTS, fastest",
    "ntpd-rs force-sync",
    "ntpd-rs force-sync, NTS",
    "busybox ntpd -q",
    "roughenough-client",
];

/// A run that was not misled has ended by then, or never will; busybox ntpd gives up after 10 s. chronyd needs 7 s where
/// it may not be at its fastest.
fn patience(case: &Case, options: &Options) -> Duration {
    Duration::from_millis(match (options.quick, case.is_of_several()) {
        (false, _) => 11_000,
        (true, true) => 8_500,
        (true, false) => 4_500,
    })
}

/// Attacks under way at a time: most of it is waiting for programs that wait.
const TOGETHER: usize = 5;

/// Programs attacked at a time by one of them, at the most: ours may be there twice.
const PROGRAMS: u8 = 16;

const _: () = assert!(TOGETHER * (PROGRAMS as usize) <= PLACES as usize);

const NOTES: [&str; 9] = [
    "Each cell is one run of the real program against real servers (of several runs the worst error), whose time is true, or \
     false by 10 s. No program can set the clock; the error is what the clock would be wrong by if it could.",
    "\"True time\" is within 20 ms. A clock that is not set has no error, and stays as wrong as it was: \
     who drops packets can keep anybody from the time. Who has no row has nothing to be attacked there.",
    "Who holds answers back moves everybody's time by half of that: the round trip is all that can be measured. What differs is \
     whether the program says so, in the bound that it claims; chronyd as a daemon knows one, and its -Q prints none.",
    "TSQ's handshake is held like the rest. Answers that are held for more than a second find that tsq-adjtime has asked anew \
     meanwhile, and it ends without a time.",
    "Plain NTP has no keys: whoever sees a request can answer it. Where there are keys, the false time is a packet that cannot \
     be read: noise for Roughtime and the blind, else one of the connection that ends as a stateless reset does.",
    "The forged refusal is \"DENY\" by NTP, \"NTSN\" by NTS (RFC 8915) and version negotiation by QUIC. QUIC's first packets are \
     protected by what anyone can read in them: who sees them can end a handshake that has just begun, and no more. The \
     same could be tried on the TCP connection over which NTS exchanges keys, and was not.",
    "A lying majority is believed by whoever goes by majorities. tsq-adjtime still keeps to --max-offset (1 s unless told \
     otherwise): a lie below that would pass. For the same reason it does not set a clock that is a year behind unless it is told to.",
    "A clock a year behind is faketime's, which the kernel's timestamps do not follow.",
    "ntp-ctl force-sync names offsets by the second, and none below one. A client of Roughtime names a time: it is held against \
     our clock in the middle of its run, which is good for seeing whether its bound holds.",
];
