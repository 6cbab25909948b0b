//! A one-shot client from start to exit: ours by both transports, ntpdig, and chronyd.

mod client;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use tsq_interop::{Impairment, Relay, Server, bin};

use tsq_perf::Transport;

use crate::args::ColdOptions;
use crate::namespace::{Interrupt, Namespace};
use crate::ntp::Chronyd;
use crate::{Conditions, Error, Report, Table};
use client::Client;

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
        false => Some([Chronyd::start(NTP[0])?, Chronyd::start(NTP[1])?]),
    };
    let folder = tempfile::tempdir()?;
    let mut figures = Figures::default();
    for path in [Path::Direct, Path::Relayed] {
        let (_relays, ends) = path.to(tsq.each_ref().map(Server::address), [ANY; 2])?;
        for transport in [Transport::Datagram, Transport::Stream] {
            figures.add(&Client::tsq(transport, ends, &tsq), path, options)?;
        }
        if let Some(ntp) = &ntp {
            let (_relays, ends) = path.to(ntp.each_ref().map(Chronyd::address), NTP_RELAYS)?;
            for peer in client::peers(ends, folder.path())? {
                figures.add(&peer, path, options)?;
            }
        }
    }
    Ok(figures.report(conditions))
}

/// What lies between client and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Direct,
    Relayed,
}

impl Path {
    fn name(self) -> &'static str {
        match self {
            Self::Direct => "loopback",
            Self::Relayed => "10 ms round trip",
        }
    }

    /// Where a client finds these servers, and what must be kept as long as it asks them.
    fn to(
        self,
        servers: [SocketAddr; 2],
        listen: [SocketAddr; 2],
    ) -> io::Result<(Vec<Relay>, [SocketAddr; 2])> {
        if self == Self::Direct {
            return Ok((Vec::new(), servers));
        }
        let impairment = Impairment::round_trip(Duration::from_millis(10));
        let start = |i: usize| Relay::start_on(listen[i], servers[i], impairment);
        let relays = [start(0)?, start(1)?];
        let ends = relays.each_ref().map(Relay::address);
        Ok((relays.into(), ends))
    }
}

const ANY: SocketAddr = on_loopback(1, 0);
const NTP: [SocketAddr; 2] = [on_loopback(11, 123), on_loopback(12, 123)];
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
    fn add(&mut self, client: &Client, path: Path, options: &ColdOptions) -> Result<(), Error> {
        let runs = usize::from(options.runs).min(client.most_runs);
        let times = client.times(runs)?;
        let (median, min, max) = (times.median(), times.min(), times.max());
        self.table.row([
            client.name.clone(),
            path.name().into(),
            format!("{median:.1}"),
            format!("{min:.1}"),
            format!("{max:.1}"),
            runs.to_string(),
        ]);
        self.rows.push(json!({
            "client": client.name,
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
            title: "One-shot client asking two servers, from the start of the process to its exit"
                .into(),
            conditions,
            table: self.table,
            notes: vec![
                "tsq-adjtime: --dry-run, every run gave five samples of each server; NTP programs: every run gave an offset.".into(),
                "No program sets the clock. The NTP servers are two chronyd.".into(),
            ],
            rows: self.rows,
        }
    }
}
