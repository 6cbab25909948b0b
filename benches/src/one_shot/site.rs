//! The servers that are asked, and the two ways to them.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tsq_interop::{Certs, Impairment, Relay, Server};

use crate::Error;
use crate::peers::{End, Kind, Nts, PeerServer, Protocol, Tools, Trust};
use crate::tcp_relay::TcpRelay;

/// A server for each protocol, and a relay before each.
pub(super) struct Site {
    tsq: Server,
    chronyd: Result<PeerServer, String>,
    roughenough: Result<PeerServer, String>,
    _certs: Certs,
    _relays: Vec<Relay>,
    _tcp: Option<TcpRelay>,
}

/// What lies between client and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    Direct,
    Relayed,
}

impl Site {
    /// Starts all of it in this thread's network namespace; a server that does not start is known by its reason.
    pub(super) fn start(tools: &Tools, round_trip: Duration) -> Result<Self, Error> {
        let certs = Certs::new();
        // The relay's clients ask for the relay.
        let relay_name = host(NTP + BEHIND).to_string();
        let nts = Nts {
            certificate: certs.server("ntp", &host(NTP).to_string(), &["--name", &relay_name]),
            authority: certs.ca(),
            port: NTS_PORT,
        };
        let listen = at(TSQ).to_string();
        let tsq = Server::start(&["--listen", &listen]);
        let text = |error: Error| error.to_string();
        let chronyd = PeerServer::start(Kind::Chronyd, at(NTP), Some(&nts), tools).map_err(text);
        let rough = PeerServer::start(Kind::Roughenough, at(ROUGHTIME), None, tools).map_err(text);
        let impairment = Impairment::round_trip(round_trip);
        let relay = |number| Relay::start_on(at(number + BEHIND), at(number), impairment);
        let relays = [TSQ, NTP, ROUGHTIME]
            .map(relay)
            .into_iter()
            .collect::<Result<_, _>>()?;
        let keys = |number| SocketAddr::from((host(number), NTS_PORT));
        let way = round_trip / 2;
        let tcp = TcpRelay::start(keys(NTP + BEHIND), keys(NTP), way, way)?;
        Ok(Self {
            tsq,
            chronyd,
            roughenough: rough,
            _certs: certs,
            _relays: relays,
            _tcp: Some(tcp),
        })
    }

    /// Where a client of this protocol asks.
    ///
    /// # Errors
    /// That server did not start; why.
    pub(super) fn end(&self, protocol: Protocol, path: Path) -> Result<End, String> {
        let (end, number) = match protocol {
            Protocol::Tsq => {
                let end = End {
                    address: self.tsq.address(),
                    trust: Trust::Pin(self.tsq.pin().into()),
                };
                (Some(end), TSQ)
            }
            Protocol::Ntp | Protocol::Nts => (self.chronyd.as_ref()?.end(protocol), NTP),
            Protocol::Roughtime => (self.roughenough.as_ref()?.end(protocol), ROUGHTIME),
        };
        let end = end.ok_or("no server of this protocol")?;
        Ok(match path {
            Path::Direct => end,
            Path::Relayed => end.at(at(number + BEHIND)),
        })
    }
}

const NTP: u8 = 11;
const TSQ: u8 = 12;
const ROUGHTIME: u8 = 13;
/// The relay of a server has the address that is higher by this.
const BEHIND: u8 = 10;
/// Where keys are exchanged.
const NTS_PORT: u16 = 4460;

/// Every one at the port of NTP, which some clients ask and no other: the namespace is ours.
fn at(number: u8) -> SocketAddr {
    (host(number), 123).into()
}

fn host(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, number)
}
