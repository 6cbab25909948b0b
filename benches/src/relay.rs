//! The relay's own error: how much later than asked it passes a packet on, each way, and what that costs an offset.
//!
//! Packets go through a relay that is to hold them for a while and come back at once; the kernel stamps each of them
//! four times, outside the relay. What is beyond the delay asked for is the relay's; half of the difference of
//! both ways is what an exchange through it shows as offset.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tsq_interop::{Impairment, Relay};
use tsq_net::{Batch, Departure, ErrorReport, SendOptions, Socket, Stamp, StampSource, wait};
use tsq_proto::HostTime;

use crate::effort::Effort;
use crate::section::{Better, Cell, Figure, Row, Section};
use crate::spin::Load;
use crate::{Conditions, Error, Quantiles};

/// Options of `relay`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Options {
    /// Packets of each measurement, each round
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..))]
    pub packets: u32,
    /// Rounds over all cases
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
}

impl Options {
    /// For a whole run.
    #[must_use]
    pub fn of(effort: &Effort) -> Self {
        Self {
            packets: effort.pick(400, 100),
            rounds: effort.pick(3, 1),
        }
    }
}

/// Measures idle and with all cores busy, without delay and with half of 20 ms each way.
///
/// # Errors
/// No socket, or no packet came back with kernel stamps.
pub fn measure(options: &Options) -> Result<Section, Error> {
    let conditions = Conditions::now();
    let mut measured: Vec<(Case, OwnError)> = Case::ALL
        .into_iter()
        .map(|case| (case, OwnError::default()))
        .collect();
    for _ in 0..options.rounds {
        for (case, own_error) in &mut measured {
            let _spinners = case.load.spinners();
            own_error.extend(probe(case.delay, options.packets, Precedence::Taken)?);
        }
    }
    Ok(Section {
        id: "relay".into(),
        title: "The relay's own error".into(),
        question: "By how much does the relay itself falsify what is measured through it?".into(),
        command: "tsq-bench relay".into(),
        conditions,
        figures: vec![
            Figure::new("median_us", "median", "us", Better::Less),
            Figure::new("p95_us", "p95", "us", Better::Less),
            Figure::new("p99_us", "p99", "us", Better::Less),
            Figure::new("max_us", "max", "us", Better::Less),
            Figure::new("mean_us", "mean, with its sign", "us", Better::Neither),
            Figure::new("packets", "packets", "", Better::Neither),
        ],
        rows: measured
            .iter()
            .map(|(case, own_error)| own_error.rows(&case.name()))
            .collect::<Result<Vec<_>, _>>()?
            .concat(),
        notes: vec![
            "Beyond the delay that was asked for, from the kernel's stamp of a packet's departure before the relay to that of its arrival behind it: two loopback passages and their system calls are in it.".into(),
            "As offset: half of the difference of both ways, exchange by exchange; what an error of this size in another table may owe to the relay.".into(),
            "The relay's thread has a real-time priority (SCHED_FIFO): busy cores delay the measured programs and not the path. One packet every 3 ms, so that the relay sleeps before each.".into(),
        ],
    })
}

#[derive(Clone, Copy, Debug)]
struct Case {
    load: Load,
    /// Each way.
    delay: Duration,
}

impl Case {
    const ALL: [Self; 4] = [
        Self::of(Load::Idle, 0),
        Self::of(Load::Idle, 10),
        Self::of(Load::Busy, 0),
        Self::of(Load::Busy, 10),
    ];

    const fn of(load: Load, ms: u64) -> Self {
        Self {
            load,
            delay: Duration::from_millis(ms),
        }
    }

    fn name(self) -> String {
        format!(
            "{} ms each way, {}",
            self.delay.as_millis(),
            self.load.name()
        )
    }
}

/// What the relay added, in microseconds, exchange by exchange.
#[derive(Clone, Debug, Default)]
pub struct OwnError {
    up: Vec<f64>,
    down: Vec<f64>,
}

impl OwnError {
    /// Measures it now, with a delay each way as the paths of the other measurements have: for their notes.
    ///
    /// # Errors
    /// As [`measure`].
    pub fn now(delay: Duration) -> Result<Self, Error> {
        probe(delay, CALIBRATION, Precedence::Taken)
    }

    /// It as a note of a table that was measured through the relay.
    #[must_use]
    pub fn note(&self) -> String {
        let figures = |values: &[f64]| match Quantiles::of(values.iter().map(|us| us.abs())) {
            Some(q) => format!(
                "median {:.0}, p99 {:.0}, max {:.0} us",
                q.median(),
                q.percentile(99),
                q.max()
            ),
            None => "not measured".into(),
        };
        format!(
            "The relay's own error, measured beside, idle: later than asked by {} there and {} back; as offset {}.",
            figures(&self.up),
            figures(&self.down),
            figures(&self.offsets())
        )
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.up.extend(other.up);
        self.down.extend(other.down);
    }

    fn offsets(&self) -> Vec<f64> {
        let pairs = self.up.iter().zip(&self.down);
        pairs.map(|(up, down)| (up - down) / 2.0).collect()
    }

    fn rows(&self, case: &str) -> Result<Vec<Row>, Error> {
        let offsets = self.offsets();
        let row = |(subject, values): (&str, &[f64])| -> Result<Row, Error> {
            let absolute = Quantiles::of(values.iter().map(|us| us.abs()));
            let absolute = absolute.ok_or("no packet came back with kernel stamps")?;
            let count = f64::from(u32::try_from(values.len())?);
            Ok(Row::new(case, subject, true)
                .with("median_us", Cell::of(absolute.median(), values))
                .with("p95_us", absolute.percentile(95))
                .with("p99_us", absolute.percentile(99))
                .with("max_us", absolute.max())
                .with("mean_us", values.iter().sum::<f64>() / count)
                .with("packets", count))
        };
        [
            ("there", self.up.as_slice()),
            ("back", &self.down),
            ("as offset", &offsets),
        ]
        .into_iter()
        .map(row)
        .collect()
    }
}

/// Packets for a note: a third of a second.
const CALIBRATION: u32 = 100;
/// From one packet to the next.
const SPACING: Duration = Duration::from_millis(3);
/// How long the last packets are waited for beyond the delay.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the relay runs before ordinary threads; not in tests, which have no privilege for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Precedence {
    Taken,
    #[cfg(test)]
    Ordinary,
}

fn probe(delay: Duration, packets: u32, precedence: Precedence) -> Result<OwnError, Error> {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let far = Socket::bind(loopback)?;
    let relay = Relay::start(far.local_addr(), Impairment::round_trip(delay * 2))?;
    if precedence == Precedence::Taken {
        relay.take_precedence()?;
    }
    let near = Socket::connect(relay.address())?;
    let mut probe = Probe {
        near: End::new(near),
        far: End::new(far),
        exchanges: vec![Stamps::default(); usize::try_from(packets)?],
    };
    // The first one makes the relay's socket for this client.
    for number in 0..=packets {
        probe.send(number)?;
        probe.turn_until(Instant::now() + SPACING)?;
    }
    probe.turn_until(Instant::now() + 2 * delay + SPACING)?;
    let deadline = Instant::now() + PATIENCE;
    while !probe.is_complete() && Instant::now() < deadline {
        probe.turn_until(Instant::now() + SPACING)?;
    }
    Ok(probe.own_error(delay))
}

/// The four kernel stamps of one exchange.
#[derive(Clone, Copy, Debug, Default)]
struct Stamps {
    left: Option<HostTime>,
    arrived: Option<HostTime>,
    turned: Option<HostTime>,
    returned: Option<HostTime>,
}

impl Stamps {
    /// Microseconds each way, with all four.
    fn ways(&self) -> Option<(f64, f64)> {
        let us = |from: HostTime, to: HostTime| microseconds((to - from).as_nanos());
        Some((
            us(self.left?, self.arrived?),
            us(self.turned?, self.returned?),
        ))
    }
}

/// A socket, and the packets that left it whose departure the kernel has not told yet.
struct End {
    socket: Socket,
    batch: Batch,
    leaving: Vec<(u32, Departure)>,
}

impl End {
    fn new(socket: Socket) -> Self {
        Self {
            socket,
            batch: Batch::new(),
            leaving: Vec::new(),
        }
    }

    fn send(&mut self, to: SocketAddr, number: u32) -> Result<(), Error> {
        let options = SendOptions {
            report_departure: true,
            ..SendOptions::default()
        };
        let departure = self.socket.send(to, &number.to_be_bytes(), options)?;
        self.leaving.push((number, departure));
        Ok(())
    }

    /// The departures the kernel tells of now, by the numbers of their packets.
    fn departures(&mut self) -> Result<Vec<(u32, HostTime)>, Error> {
        let mut told = Vec::new();
        while let Some(report) = self.socket.departures()? {
            let ErrorReport::Departed { id, at } = report else {
                return Err("the relay cannot be reached".into());
            };
            let is_it = |(_, departure): &(u32, Departure)| departure.id == Some(id);
            if let Some(position) = self.leaving.iter().position(is_it) {
                let (number, departure) = self.leaving.swap_remove(position);
                let stamp = self.socket.departure_stamp(&departure, Some(at));
                told.extend(by_kernel(stamp).map(|at| (number, at)));
            }
        }
        Ok(told)
    }

    /// The packets that are there: number, sender, and arrival.
    fn arrivals(&mut self) -> Result<Vec<(u32, SocketAddr, Option<HostTime>)>, Error> {
        let count = self.socket.receive(&mut self.batch)?;
        let packets = (0..count).filter_map(|i| self.batch.packet(i));
        let numbered = packets.filter_map(|packet| {
            let number = u32::from_be_bytes(packet.bytes.try_into().ok()?);
            Some((number, packet.remote, by_kernel(packet.stamp)))
        });
        Ok(numbered.collect())
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds are far below 2^53 ns"
)]
fn microseconds(nanos: i64) -> f64 {
    nanos as f64 / 1000.0
}

fn by_kernel(stamp: Stamp) -> Option<HostTime> {
    (stamp.source == StampSource::Kernel).then_some(stamp.time)
}

struct Probe {
    near: End,
    far: End,
    /// Of the packets from 1 on: number 0 does not count.
    exchanges: Vec<Stamps>,
}

impl Probe {
    fn send(&mut self, number: u32) -> Result<(), Error> {
        // It is connected: the address is not used.
        let to = self.near.socket.local_addr();
        self.near.send(to, number)
    }

    fn turn_until(&mut self, end: Instant) -> Result<(), Error> {
        while let Some(rest) = end.checked_duration_since(Instant::now()) {
            wait(&[&self.near.socket, &self.far.socket], None, Some(rest))?;
            for (number, from, at) in self.far.arrivals()? {
                self.far.send(from, number)?;
                self.note(number, |stamps| stamps.arrived = at);
            }
            for (number, _, at) in self.near.arrivals()? {
                self.note(number, |stamps| stamps.returned = at);
            }
            for (number, at) in self.near.departures()? {
                self.note(number, |stamps| stamps.left = Some(at));
            }
            for (number, at) in self.far.departures()? {
                self.note(number, |stamps| stamps.turned = Some(at));
            }
        }
        Ok(())
    }

    fn note(&mut self, number: u32, set: impl FnOnce(&mut Stamps)) {
        let index = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
        if let Some(stamps) = index.and_then(|index| self.exchanges.get_mut(index)) {
            set(stamps);
        }
    }

    fn is_complete(&self) -> bool {
        self.exchanges.iter().all(|stamps| stamps.ways().is_some())
    }

    fn own_error(&self, delay: Duration) -> OwnError {
        let asked = delay.as_secs_f64() * 1e6;
        let ways = self.exchanges.iter().filter_map(Stamps::ways);
        let (up, down) = ways.map(|(up, down)| (up - asked, down - asked)).unzip();
        OwnError { up, down }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_lie_around_the_delay_that_was_asked_for() {
        let delay = Duration::from_millis(5);
        let own_error = probe(delay, 5, Precedence::Ordinary).unwrap();
        assert!(!own_error.up.is_empty());
        // A packet cannot be early: the relay waits on the same clock's rate.
        let least = own_error.up.iter().chain(&own_error.down);
        assert!(least.clone().all(|us| *us > -500.0), "{own_error:?}");
    }

    #[test]
    fn offset_is_half_of_the_difference_of_both_ways() {
        let own_error = OwnError {
            up: vec![100.0, 50.0],
            down: vec![40.0, 70.0],
        };
        assert_eq!(own_error.offsets(), [30.0, -10.0]);
        let rows = own_error.rows("case").unwrap();
        assert_eq!(rows[2].subject, "as offset");
        assert_eq!(rows[2].cells["median_us"], Cell::of(20.0, [30.0, -10.0]));
        assert_eq!(rows[2].cells["mean_us"], Cell::from(10.0));
    }

    #[test]
    fn nothing_measured_is_an_error_and_not_a_perfect_relay() {
        assert!(OwnError::default().rows("case").is_err());
    }
}
