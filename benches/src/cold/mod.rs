//! A one-shot client from start to exit: ours by both transports, ntpdig, and chronyd with NTP and NTS; and our
//! library in one process, connecting the first time and again.

mod client;
mod library;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use tsq_interop::{Certs, Impairment, Relay, Server, bin};

use tsq_perf::Transport;

use crate::args::ColdOptions;
use crate::interrupt::Interrupt;
use crate::namespace::Namespace;
use crate::ntp::Chronyd;
use crate::tcp_relay::TcpRelay;
use crate::{Conditions, Error, Quantiles, Report, Table};
use client::Client;
use library::Library;

/// Measures every program on every path; None when a copy of this program, in a network namespace of
/// its own, has done so and printed the report.
///
/// # Errors
/// Not root (only the peers need that), or a run gives no complete answer.
pub fn measure(options: &ColdOptions) -> Result<Option<Report>, Error> {
    // Built first, so that no run waits for it.
    let _program = bin("tsq-adjtime");
    if options.inside || options.no_peers {
        return measure_here(options).map(Some);
    }
    let _interrupt = Interrupt::note()?;
    // ntpdig asks port 123 and no other: here it is ours.
    let namespace = Namespace::new("c")?;
    let status = namespace
        .command(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .arg("--inside")
        .status()?;
    if status.success() {
        Ok(None)
    } else {
        Err(format!("the measurement in its namespace failed: {status}").into())
    }
}

fn measure_here(options: &ColdOptions) -> Result<Report, Error> {
    let conditions = Conditions::now();
    let tsq = [Server::start(&[]), Server::start(&[])];
    let ntp = match options.no_peers {
        true => None,
        false => Some(Nts::start()?),
    };
    let folder = tempfile::tempdir()?;
    let mut figures = Figures::default();
    for path in [Path::Direct, Path::Relayed(options.round_trip)] {
        let (_relays, ends) = path.to(tsq.each_ref().map(Server::address), [ANY; 2])?;
        for transport in [Transport::Datagram, Transport::Stream] {
            let client = Client::tsq(transport, ends, &tsq);
            figures.add(&client.name, path, client.runs(options), |n| {
                client.times(n)
            })?;
        }
        for library in Library::both(ends, tsq.each_ref().map(Server::pin))? {
            let runs = usize::from(options.runs);
            figures.add(library.name, path, runs, |n| library.times(n))?;
        }
        if let Some(ntp) = &ntp {
            let (_relays, ends) =
                path.to(ntp.servers.each_ref().map(Chronyd::address), NTP_RELAYS)?;
            let mut key_exchanges = Vec::new();
            if let Path::Relayed(ms) = path {
                let way = Duration::from_millis(ms) / 2;
                for (relay, server) in ends.iter().zip(NTP) {
                    let at = |end: SocketAddr| SocketAddr::new(end.ip(), NTS_PORT);
                    key_exchanges.push(TcpRelay::start(at(*relay), at(server), way, way)?);
                }
            }
            for peer in client::peers(ends, folder.path(), &ntp.certs.ca())? {
                figures.add(&peer.name, path, peer.runs(options), |n| peer.times(n))?;
            }
        }
    }
    Ok(figures.report(conditions))
}

/// Two chronyd that serve NTP and NTS.
struct Nts {
    certs: Certs,
    servers: [Chronyd; 2],
}

impl Nts {
    fn start() -> Result<Self, Error> {
        let certs = Certs::new();
        let start = |index: usize| {
            let (server, relay) = (
                NTP[index].ip().to_string(),
                NTP_RELAYS[index].ip().to_string(),
            );
            // The relay's clients ask for the relay.
            let cert = certs.server(&format!("ntp{index}"), &server, &["--name", &relay]);
            Chronyd::start_with_nts(NTP[index], NTS_PORT, &cert)
        };
        let servers = [start(0)?, start(1)?];
        Ok(Self { certs, servers })
    }
}

/// What lies between client and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Direct,
    /// Milliseconds of the round trip.
    Relayed(u64),
}

impl Path {
    fn name(self) -> String {
        match self {
            Self::Direct => "loopback".into(),
            Self::Relayed(ms) => format!("{ms} ms round trip"),
        }
    }

    /// Where a client finds these servers, and what must be kept as long as it asks them.
    fn to(
        self,
        servers: [SocketAddr; 2],
        listen: [SocketAddr; 2],
    ) -> io::Result<(Vec<Relay>, [SocketAddr; 2])> {
        let Self::Relayed(ms) = self else {
            return Ok((Vec::new(), servers));
        };
        let impairment = Impairment::round_trip(Duration::from_millis(ms));
        let start = |i: usize| Relay::start_on(listen[i], servers[i], impairment);
        let relays = [start(0)?, start(1)?];
        let ends = relays.each_ref().map(Relay::address);
        Ok((relays.into(), ends))
    }
}

const ANY: SocketAddr = on_loopback(1, 0);
const NTP: [SocketAddr; 2] = [on_loopback(11, 123), on_loopback(12, 123)];
/// Where keys are exchanged.
const NTS_PORT: u16 = 4460;
const NTP_RELAYS: [SocketAddr; 2] = [on_loopback(21, 123), on_loopback(22, 123)];

const fn on_loopback(host: u8, port: u16) -> SocketAddr {
    SocketAddr::V4(std::net::SocketAddrV4::new(
        Ipv4Addr::new(127, 0, 0, host),
        port,
    ))
}

struct Figures {
    table: Table,
    rows: Vec<serde_json::Value>,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            table: Table::new(&["client", "path", "median ms", "min", "max", "runs"]),
            rows: Vec::new(),
        }
    }
}

impl Figures {
    fn add(
        &mut self,
        client: &str,
        path: Path,
        runs: usize,
        times: impl Fn(usize) -> Result<Quantiles, Error>,
    ) -> Result<(), Error> {
        let times = times(runs)?;
        let (median, min, max) = (times.median(), times.min(), times.max());
        self.table.row([
            client.into(),
            path.name(),
            format!("{median:.1}"),
            format!("{min:.1}"),
            format!("{max:.1}"),
            runs.to_string(),
        ]);
        self.rows.push(json!({
            "client": client,
            "path": path.name(),
            "median_ms": median,
            "min_ms": min,
            "max_ms": max,
            "runs": runs,
        }));
        Ok(())
    }

    fn report(self, conditions: Conditions) -> Report {
        Report {
            title: "One-shot client asking two servers"
                .into(),
            conditions,
            table: self.table,
            notes: vec![
                "tsq-client: in one process, until five samples of each server are there; the rest: from the start of a process to its exit.".into(),
                "tsq-adjtime: --dry-run, every run gave five samples of each server; NTP programs: every run gave an offset.".into(),
                "No program sets the clock. The NTP servers are two chronyd; NTS begins anew in each run, as there is no folder for cookies.".into(),
            ],
            rows: self.rows,
        }
    }
}
