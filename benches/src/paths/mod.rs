//! Clients that ask once, each over the same paths to the same servers, in turns.
//!
//! `Site` has the servers, `Path` is what lies before them, and `Tally` keeps what a client said. Client and server
//! read one clock: the true offset is 0.

mod site;
mod tally;

use std::time::{Duration, Instant};

use tsq_interop::Impairment;

use crate::Error;
use crate::effort::Effort;
use crate::interrupt::Interrupt;
use crate::peers::{End, OneShot, Tools, one_shots};
use crate::section::Row;
use crate::spin::Load;
use site::Site;
use tally::Tally;

/// What lies between client and server, and what else the machine does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Path {
    pub(crate) name: &'static str,
    pub(crate) way: Way,
    pub(crate) load: Load,
    /// Clients that take seconds ask over it as well.
    pub(crate) for_slow_ones: bool,
}

/// What lies between client and server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    /// The loopback device.
    Loopback,
    /// A pair of veth devices: the client is in another network namespace.
    Veth,
    /// A relay on loopback that does this.
    Relay(Impairment),
}

/// How long to go on: the options of the sections that are made of such runs.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Limits {
    /// Rounds over all paths and clients, at most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Seconds after which no run is begun but those of the first round
    #[arg(long, value_name = "S", default_value = "300", value_parser = |text: &str| text.parse().map(Duration::from_secs))]
    pub time: Duration,
    /// Milliseconds of a client's turn: quick ones ask again until then, ten times at most
    #[arg(long, value_name = "MS", default_value = "300", value_parser = |text: &str| text.parse().map(Duration::from_millis))]
    pub turn: Duration,
    /// Seconds after which a client that still runs is ended: it has not answered
    #[arg(long, value_name = "S", default_value = "30", value_parser = |text: &str| text.parse().map(Duration::from_secs))]
    pub patience: Duration,
    /// Leave the clients out that take seconds
    #[arg(long)]
    pub only_fast: bool,
}

impl Limits {
    /// For a whole run.
    #[must_use]
    pub fn of(effort: &Effort) -> Self {
        Self {
            rounds: effort.pick(100, 2),
            time: effort.time,
            turn: Duration::from_millis(effort.pick(300, 0)),
            patience: Duration::from_secs(effort.pick(30, 4)),
            only_fast: effort.quick,
        }
    }
}

/// One client over one path.
struct Pair<'a> {
    path: &'a Path,
    client: &'a OneShot,
    tally: Tally,
}

impl Pair<'_> {
    /// Its row, with every cell that a section may have a column for.
    fn row(&self) -> Row {
        let row = Row::new(self.path.name, self.client.name.as_str(), self.client.ours);
        self.tally.cells(row)
    }

    fn is_slow(&self) -> bool {
        self.client.usual > SLOW
    }

    fn may_be_slow(&self, limits: &Limits) -> bool {
        self.path.for_slow_ones && !limits.only_fast && self.client.usual <= TOO_SLOW
    }

    /// Its turn: asks once, and again while there is time.
    fn take_turn(&mut self, site: &Site, limits: &Limits) -> Result<(), Error> {
        let begun = Instant::now();
        for _ in 0..MOST_IN_A_TURN {
            self.ask(site, limits.patience)?;
            if self.tally.is_settled() || begun.elapsed() >= limits.turn {
                break;
            }
        }
        Ok(())
    }

    fn ask(&mut self, site: &Site, patience: Duration) -> Result<(), Error> {
        if let Some(reason) = self.client.missing() {
            self.tally.cannot(reason);
            return Ok(());
        }
        let ends = match site.ends(self.client.protocol) {
            Ok(ends) => ends,
            Err(reason) => {
                self.tally.cannot(&reason);
                return Ok(());
            }
        };
        // Every client's first run meets the same fate, and so on.
        let seed = 1000 + 10 * u64::from(self.tally.runs());
        let _spinners = self.path.load.spinners();
        let client = self.client;
        let ask = |ends: &[End]| {
            let run = client.run_within(patience, ends, None);
            run.map_err(|error| error.to_string())
        };
        let begun = Instant::now();
        let outcome = match self.path.way {
            Way::Loopback => site.near(|| ask(&ends))?,
            Way::Veth => site.far(|| ask(&ends))?,
            Way::Relay(impairment) => site.near(|| {
                let (_relays, ends) =
                    site::through(impairment, &ends, seed).map_err(|error| error.to_string())?;
                ask(&ends)
            })?,
        };
        match outcome {
            Ok(run) => self.tally.add(&run),
            Err(reason) => self.tally.add_failure(&reason, begun.elapsed()),
        }
        Ok(())
    }
}

/// Lets every client ask over every path, in turns, and makes the rows.
///
/// # Errors
/// Not root, our own servers do not start, or no relay.
pub(crate) fn run_all(paths: &[Path], limits: Limits) -> Result<Vec<Row>, Error> {
    let interrupt = Interrupt::note()?;
    let tools = Tools::from_env();
    let clients = one_shots(&tools);
    let pairs = ask_all(&interrupt, paths, &clients, &tools, limits)?;
    Ok(pairs.iter().map(Pair::row).collect())
}

fn ask_all<'a>(
    interrupt: &Interrupt,
    paths: &'a [Path],
    clients: &'a [OneShot],
    tools: &Tools,
    limits: Limits,
) -> Result<Vec<Pair<'a>>, Error> {
    let site = Site::start(tools)?;
    let of = |path| {
        let pair = move |client| Pair {
            path,
            client,
            tally: Tally::default(),
        };
        clients.iter().map(pair)
    };
    let mut pairs: Vec<Pair<'a>> = paths.iter().flat_map(of).collect();
    let begun = Instant::now();
    // What each may spend before it has to leave the time to others.
    let fair = limits.time / u32::try_from(4 * paths.len()).unwrap_or(u32::MAX).max(1);
    for round in 0..limits.rounds {
        for pair in &mut pairs {
            interrupt.check()?;
            let is_late = begun.elapsed() > limits.time || pair.tally.spent() > fair;
            let is_turn = match pair.is_slow() {
                true => round == 1.min(limits.rounds - 1) && pair.may_be_slow(&limits),
                false => round == 0 || !is_late,
            };
            if is_turn && !pair.tally.is_settled() {
                pair.take_turn(&site, &limits)?;
            }
        }
    }
    for pair in &mut pairs {
        let usual = pair.client.usual.as_secs();
        pair.tally.finish(&format!("left out: takes {usual} s"));
    }
    Ok(pairs)
}

const MOST_IN_A_TURN: u32 = 10;
/// Clients that usually take longer ask once.
const SLOW: Duration = Duration::from_secs(3);
/// And those that take longer still, never.
const TOO_SLOW: Duration = Duration::from_secs(20);
