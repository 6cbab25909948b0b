//! Memory of a server, with nobody and with many clients.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tsq_interop::{Server, bin};
use tsq_perf::Transport;

use crate::effort::Effort;
use crate::interrupt::Interrupt;
use crate::load::plain::{Ntp, Protocol as _};
use crate::load::quic::QuicLoad;
use crate::namespace::Namespace;
use crate::peers::{Kind, PeerServer, Tools};
use crate::section::{Better, Figure, Row, Section};
use crate::{Conditions, Error};

/// Options of `memory`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Clients
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [50, 1000, 10_000], value_parser = clap::value_parser!(u16).range(1..=60_000))]
    pub clients: Vec<u16>,
}

impl Options {
    /// For a whole run.
    #[must_use]
    pub fn of(effort: &Effort) -> Self {
        Self {
            clients: effort.pick(vec![50, 1000, 10_000], vec![50, 1000]),
        }
    }
}

/// Looks at a server of each kind before and after so many clients have asked it once.
///
/// # Errors
/// A signal came. A server that fails is a row that says so.
pub fn measure(options: &Options) -> Result<Section, Error> {
    let _programs = [bin("tsq-server")];
    let interrupt = Interrupt::note()?;
    let conditions = Conditions::now();
    let tools = Tools::from_env();
    let mut rows = Vec::new();
    for count in &options.clients {
        let case = format!("{count} clients");
        let mut add = |name: &str, ours, outcome: Result<[u64; 2], Error>| {
            rows.push(row(&case, name, ours, *count, outcome));
        };
        add("tsq-server", true, tsq(*count));
        for kind in [Kind::Chronyd, Kind::NtpdRs, Kind::Ntpsec, Kind::Busybox] {
            interrupt.check()?;
            let name = format!("{}, NTP", kind.name());
            add(&name, false, ntp(kind, *count, &tools));
        }
    }
    Ok(Section {
        id: "memory".into(),
        title: "Memory of a server".into(),
        question: "What does a client cost a server's memory?".into(),
        command: "tsq-bench memory".into(),
        conditions,
        figures: vec![
            Figure::new("per_client", "bytes per client", "", Better::Less).plotted(),
            Figure::new("idle_mib", "resident before the first", "MiB", Better::Less),
            Figure::new("full_mib", "resident after the last", "MiB", Better::Less),
        ],
        rows,
        notes: vec![
            "Resident memory of the process, which grows by pages and by what an allocator takes ahead: with 50 clients that is much of the figure.".into(),
            "A client of TSQ is a connection that stays open, all of them from one address here (--max-connections-per-ipv4 65535; 1000 by default); the memory is free again when it ends. A client of NTP is another address that asks once; the servers keep what they limit rates by, chronyd and NTPsec up to a limit of their own.".into(),
            "NTS keeps nothing per client: the state is in the client's cookie. It costs the key exchange instead.".into(),
        ],
    })
}

fn row(case: &str, name: &str, ours: bool, count: u16, outcome: Result<[u64; 2], Error>) -> Row {
    let row = Row::new(case, name, ours);
    match outcome {
        Ok([idle, full]) => row
            .with(
                "per_client",
                bytes(full.saturating_sub(idle)) / f64::from(count),
            )
            .with("idle_mib", bytes(idle) / MIB)
            .with("full_mib", bytes(full) / MIB),
        Err(reason) => row.with("per_client", reason.to_string()),
    }
}

fn tsq(count: u16) -> Result<[u64; 2], Error> {
    let server = Server::start(&["--threads", "1", "--max-connections-per-ipv4", "65535"]);
    let pid = server.process().id();
    // The first client brings in what all of them need.
    let first = QuicLoad::start(
        server.address(),
        server.pin(),
        1,
        (Transport::Datagram, false),
    )?;
    let idle = resident(pid)?;
    let asked = (Transport::Datagram, false);
    let _clients = QuicLoad::start(server.address(), server.pin(), usize::from(count), asked)?;
    let full = resident(pid)?;
    drop(first);
    Ok([idle, full])
}

fn ntp(kind: Kind, count: u16, tools: &Tools) -> Result<[u64; 2], Error> {
    // Every address of 127.0.0.0/8 is there to ask from, and port 123 is free.
    let namespace = Namespace::new("m")?;
    let measured =
        namespace.run(|| ntp_here(kind, count, tools).map_err(|error| error.to_string()))?;
    Ok(measured?)
}

fn ntp_here(kind: Kind, count: u16, tools: &Tools) -> Result<[u64; 2], Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 123));
    let server = PeerServer::start(kind, address, None, tools)?;
    let idle = resident(server.pid())?;
    for client in 0..count {
        ask(address, client)?;
    }
    Ok([idle, resident(server.pid())?])
}

/// From an address that is this client's own.
fn ask(server: SocketAddr, client: u16) -> Result<(), Error> {
    let [high, low] = client.to_be_bytes();
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 1, high, low), 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let (mut request, mut answer) = (Vec::new(), [0; 512]);
    Ntp.request(u64::from(client) + 1, &mut request);
    for _ in 0..TRIES {
        socket.send(&request)?;
        if socket.recv(&mut answer).is_ok() {
            return Ok(());
        }
    }
    Err(format!("client {client} has no answer").into())
}

const PATIENCE: Duration = Duration::from_millis(500);
const TRIES: u8 = 4;

/// Bytes of a process that are in memory.
fn resident(pid: u32) -> Result<u64, Error> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    of_status(&status).ok_or_else(|| "/proc/PID/status has no VmRSS".into())
}

fn of_status(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

const MIB: f64 = 1024.0 * 1024.0;

#[expect(clippy::cast_precision_loss, reason = "memory is below 2^53 bytes")]
fn bytes(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_bytes() {
        assert_eq!(
            of_status("Name:\tx\nVmRSS:\t   1234 kB\n"),
            Some(1234 * 1024)
        );
        assert_eq!(of_status("Name:\tx\n"), None);
        assert!(resident(std::process::id()).unwrap() > 100_000);
    }

    #[test]
    fn row_has_the_growth_by_client() {
        let row = row("x", "y", false, 1000, Ok([1000, 3000]));
        assert_eq!(row.cells["per_client"], 2.0.into());
    }
}
