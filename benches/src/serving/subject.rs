//! The servers that are loaded.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use tsq_interop::{Certs, Process, Server};
use tsq_perf::Transport;

use super::echo;
use super::key::{Key, Signing};
use crate::load::Load;
use crate::load::nts::Nts as NtsLoad;
use crate::load::plain::{Echo, Ntp, PlainLoad};
use crate::load::quic::QuicLoad;
use crate::load::roughtime::Roughtime;
use crate::namespace::Namespace;
use crate::peers::{Kind, Nts, PeerServer, Protocol, Tools, Trust};
use crate::{Error, cores};

/// A server and how it is asked.
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) ours: bool,
    what: What,
    running: Result<Running, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Tsq(Transport, Signing),
    Peer(Kind, Protocol),
    Echo(echo::Kind),
}

/// Until it is dropped, in this order.
struct Running {
    server: Program,
    _key: Option<Key>,
    _certs: Option<Certs>,
    /// Where port 123 is free.
    namespace: Option<Namespace>,
}

enum Program {
    Tsq(Server),
    Peer(PeerServer),
    Echo(Process, SocketAddr),
}

impl Subject {
    /// All of them, running; one that does not start says why.
    pub(super) fn all(tools: &Tools) -> Vec<Self> {
        let tsq = [Signing::None, Signing::HmacSha256, Signing::Ed25519]
            .into_iter()
            .flat_map(|signing| {
                [Transport::Datagram, Transport::Stream].map(|by| What::Tsq(by, signing))
            });
        let peers = [
            (Kind::Chronyd, Protocol::Ntp),
            (Kind::Chronyd, Protocol::Nts),
            (Kind::NtpdRs, Protocol::Ntp),
            (Kind::NtpdRs, Protocol::Nts),
            (Kind::Ntpsec, Protocol::Ntp),
            (Kind::Busybox, Protocol::Ntp),
            (Kind::Roughenough, Protocol::Roughtime),
        ];
        let peers = peers.map(|(kind, protocol)| What::Peer(kind, protocol));
        let echoes = [echo::Kind::Plain, echo::Kind::Stamped].map(What::Echo);
        tsq.chain(peers)
            .chain(echoes)
            .map(|what| Self {
                name: what.name(),
                ours: matches!(what, What::Tsq(..)),
                what,
                running: start(what, tools).map_err(|error| error.to_string()),
            })
            .collect()
    }

    /// Whether its answers are signed.
    pub(super) fn signs(&self) -> bool {
        matches!(self.what, What::Tsq(_, signing) if signing != Signing::None)
    }

    /// Whether it does nothing but answer: no server of time, and no rival.
    pub(super) fn is_floor(&self) -> bool {
        matches!(self.what, What::Echo(_))
    }

    /// So many clients of it, and its process.
    pub(super) fn load(&self, count: usize) -> Result<(Box<dyn Load>, u32), Error> {
        let running = self.running.as_ref().map_err(Clone::clone)?;
        let pid = running.pid();
        cores::pin(pid, cores::Role::Server)?;
        let plain = |protocol| self.in_its_namespace(protocol, count);
        let load: Box<dyn Load> = match (&running.server, self.what) {
            (Program::Tsq(server), What::Tsq(by, signing)) => {
                let asked = (by, signing != Signing::None);
                Box::new(QuicLoad::start(
                    server.address(),
                    server.pin(),
                    count,
                    asked,
                )?)
            }
            (Program::Peer(_), What::Peer(_, Protocol::Ntp)) => Box::new(plain(Ntp)?),
            (Program::Peer(server), What::Peer(_, Protocol::Nts)) => {
                let end = server.end(Protocol::Nts).ok_or("it exchanges no keys")?;
                let Trust::Authority { file, key_exchange } = end.trust else {
                    return Err("it has no certificate".into());
                };
                let keys = SocketAddr::new(end.address.ip(), key_exchange);
                let exchange = || {
                    let nts = NtsLoad::start(keys, &file, count.min(MOST_SESSIONS));
                    nts.map_err(|error| error.to_string())
                };
                let nts = running.inside(exchange)??;
                Box::new(self.in_its_namespace(nts, count)?)
            }
            (Program::Peer(_), What::Peer(..)) => {
                Box::new(self.in_its_namespace(Roughtime, count)?)
            }
            (Program::Echo(_, address), _) => Box::new(PlainLoad::start(ECHO, *address, count)?),
            _ => return Err("no load for it".into()),
        };
        Ok((load, pid))
    }

    fn in_its_namespace<P>(&self, protocol: P, count: usize) -> Result<PlainLoad<P>, Error>
    where
        P: crate::load::plain::Protocol + Send,
    {
        let running = self.running.as_ref().map_err(Clone::clone)?;
        let address = running.address();
        let start =
            move || PlainLoad::start(protocol, address, count).map_err(|error| error.to_string());
        Ok(running.inside(start)??)
    }
}

impl Running {
    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        match &self.namespace {
            Some(namespace) => namespace.run(work),
            None => Ok(work()),
        }
    }

    fn pid(&self) -> u32 {
        match &self.server {
            Program::Tsq(server) => server.process().id(),
            Program::Peer(server) => server.pid(),
            Program::Echo(process, _) => process.id(),
        }
    }

    fn address(&self) -> SocketAddr {
        match &self.server {
            Program::Tsq(server) => server.address(),
            Program::Peer(server) => server.address(),
            Program::Echo(_, address) => *address,
        }
    }
}

impl What {
    fn name(self) -> String {
        match self {
            Self::Tsq(transport, Signing::None) => format!("tsq-server, {}", transport.names()),
            Self::Tsq(transport, signing) => {
                format!("tsq-server, {}, {}", transport.names(), signing.name())
            }
            Self::Peer(kind, Protocol::Nts) => format!("{}, NTS", kind.name()),
            Self::Peer(kind, Protocol::Roughtime) => format!("{}, Roughtime", kind.name()),
            Self::Peer(kind, _) => format!("{}, NTP", kind.name()),
            Self::Echo(echo::Kind::Plain) => "UDP echo, recvfrom + sendto".into(),
            Self::Echo(echo::Kind::Stamped) => "UDP echo, our socket".into(),
        }
    }
}

fn start(what: What, tools: &Tools) -> Result<Running, Error> {
    match what {
        What::Tsq(_, signing) => {
            let key = Key::make(signing)?;
            // All clients have one address.
            let mut words = vec!["--threads", "1", "--max-connections-per-ipv4", "65535"];
            if let Some(key) = &key {
                words.extend(["--signing-key", key.file()]);
            }
            Ok(Running {
                server: Program::Tsq(Server::start(&words)),
                _key: key,
                _certs: None,
                namespace: None,
            })
        }
        What::Peer(kind, protocol) => start_peer(kind, protocol, tools),
        What::Echo(kind) => {
            let (process, address) = start_echo(kind)?;
            Ok(Running {
                server: Program::Echo(process, address),
                _key: None,
                _certs: None,
                namespace: None,
            })
        }
    }
}

fn start_peer(kind: Kind, protocol: Protocol, tools: &Tools) -> Result<Running, Error> {
    let certs = (protocol == Protocol::Nts).then(Certs::new);
    let nts = certs.as_ref().map(|certs| Nts {
        certificate: certs.server("server", "127.0.0.1", &[]),
        authority: certs.ca(),
        port: 0,
    });
    let port = if kind.has_fixed_port() { 123 } else { 0 };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let start =
        || PeerServer::start(kind, address, nts.as_ref(), tools).map_err(|error| error.to_string());
    let (server, namespace) = if kind.has_fixed_port() {
        let namespace = Namespace::new(&format!("s{}", kind.name().len()))?;
        (namespace.run(start)??, Some(namespace))
    } else {
        (start()?, None)
    };
    Ok(Running {
        server: Program::Peer(server),
        _key: None,
        _certs: certs,
        namespace,
    })
}

/// Exchanges of keys before the load begins; more clients share them.
const MOST_SESSIONS: usize = 50;

/// A QUIC packet with one datagram: 1 byte of header, 8 of connection ID, 1 to 2 of packet number,
/// the frame, 16 of authentication tag, and an acknowledgement of about 5 in most.
const ECHO: Echo = Echo {
    request: 52,
    answer: 72,
};

fn start_echo(kind: echo::Kind) -> Result<(Process, SocketAddr), Error> {
    let mut command = Command::new(std::env::current_exe()?);
    let kind = match kind {
        echo::Kind::Plain => "plain",
        echo::Kind::Stamped => "stamped",
    };
    let answer = ECHO.answer.to_string();
    command.args(["echo-server", "--kind", kind, "--answer", &answer]);
    let process = Process::start(command);
    let address = process.wait_for(Duration::from_secs(5), |line| {
        line.strip_prefix("listening on ")?.parse().ok()
    });
    Ok((process, address))
}
