//! The servers that are asked, and the relays before them.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tsq_interop::{Certs, Impairment, Relay, Server};

use crate::Error;
use crate::namespace::Namespace;
use crate::peers::{End, Kind, Nts, PeerServer, Protocol, Tools, Trust};
use crate::tcp_relay::TcpRelay;

/// Two servers of TSQ and of NTP each, and one of Roughtime, in a network namespace of their own, and another
/// beside it.
pub(super) struct Site {
    tsq: [Server; 2],
    ntp: Result<[PeerServer; 2], String>,
    roughtime: Result<PeerServer, String>,
    near: Namespace,
    far: Namespace,
    /// Its files are in use.
    _certs: Certs,
}

impl Site {
    /// # Errors
    /// Not root, or our own servers do not start. That one of the others does not is told by [`Self::ends`].
    pub(super) fn start(tools: &Tools) -> Result<Self, Error> {
        let (near, far) = (Namespace::new("s")?, Namespace::new("c")?);
        near.join("192.0.2.1/24", &far, "192.0.2.2/24")?;
        for ip in [server_ip(0), server_ip(1), server_ip(2)] {
            near.add_address(&format!("{ip}/24"))?;
        }
        let certs = Certs::new();
        let (tsq, ntp, roughtime) = near.run(|| {
            let listen = |index| SocketAddr::from((server_ip(index), 0)).to_string();
            let tsq = |index| Server::start(&["--listen", &listen(index)]);
            let roughtime = (server_ip(2), 2002).into();
            let roughtime = PeerServer::start(Kind::Roughenough, roughtime, None, tools);
            (
                [tsq(0), tsq(1)],
                chronyds(&certs, tools).map_err(|error| error.to_string()),
                roughtime.map_err(|error| error.to_string()),
            )
        })?;
        Ok(Self {
            tsq,
            ntp,
            roughtime,
            near,
            far,
            _certs: certs,
        })
    }

    /// Does `work` beside the servers: what is sent to them goes over the loopback device.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    pub(super) fn near<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        self.near.run(work)
    }

    /// Does `work` at the other end of a pair of veth devices.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    pub(super) fn far<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        self.far.run(work)
    }

    /// What a client of this protocol asks.
    ///
    /// # Errors
    /// They could not be started: says why.
    pub(super) fn ends(&self, protocol: Protocol) -> Result<Vec<End>, String> {
        let of = |server: &PeerServer| {
            let end = server.end(protocol);
            end.ok_or_else(|| "no such server".to_owned())
        };
        match protocol {
            Protocol::Tsq => Ok(self.tsq.iter().map(end).collect()),
            Protocol::Ntp | Protocol::Nts => self.ntp.as_ref()?.iter().map(of).collect(),
            Protocol::Roughtime => Ok(vec![of(self.roughtime.as_ref()?)?]),
        }
    }
}

fn end(server: &Server) -> End {
    End {
        address: server.address(),
        trust: Trust::Pin(server.pin().into()),
    }
}

fn chronyds(certs: &Certs, tools: &Tools) -> Result<[PeerServer; 2], Error> {
    let start = |index: u8| {
        let ip = server_ip(index);
        // The relay's clients ask for the relay.
        let relay = relay_ip(index).to_string();
        let label = format!("ntp{index}");
        let nts = Nts {
            certificate: certs.server(&label, &ip.to_string(), &["--name", &relay]),
            authority: certs.ca(),
            port: KEY_EXCHANGE,
        };
        PeerServer::start(Kind::Chronyd, (ip, NTP).into(), Some(&nts), tools)
    };
    Ok([start(0)?, start(1)?])
}

/// Some of the clients ask there and nowhere else.
const NTP: u16 = 123;
const KEY_EXCHANGE: u16 = 4460;

fn server_ip(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, 11 + index)
}

fn relay_ip(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 21 + index)
}

/// What must be kept as long as the path is used.
pub(super) struct Relays {
    _udp: Vec<Relay>,
    _tcp: Vec<TcpRelay>,
}

/// A fresh path to each of these servers, and where they are found behind it.
///
/// # Errors
/// No socket, or no privilege for the relay's real-time priority.
pub(super) fn through(
    impairment: Impairment,
    servers: &[End],
    seed: u64,
) -> Result<(Relays, Vec<End>), Error> {
    let (mut udp, mut tcp, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for (index, server) in (0..).zip(servers) {
        let port = match server.address.port() {
            NTP => NTP,
            _ => 0,
        };
        let impairment = Impairment {
            seed: seed + u64::from(index),
            ..impairment
        };
        let listen = SocketAddr::from((relay_ip(index), port));
        let relay = Relay::start_on(listen, server.address, impairment)?;
        relay.take_precedence()?;
        if let Trust::Authority { key_exchange, .. } = server.trust {
            let at = |end: SocketAddr| SocketAddr::new(end.ip(), key_exchange);
            let (there, back) = ways(&impairment);
            tcp.push(TcpRelay::start(
                at(listen),
                at(server.address),
                there,
                back,
            )?);
        }
        ends.push(server.at(relay.address()));
        udp.push(relay);
    }
    let relays = Relays {
        _udp: udp,
        _tcp: tcp,
    };
    Ok((relays, ends))
}

/// How long TCP takes each way, on average. It loses nothing: the kernels on both sides would mend that unseen.
fn ways(impairment: &Impairment) -> (Duration, Duration) {
    let both = impairment.delay_each_way + impairment.jitter / 2;
    let queue = impairment.bottleneck.map_or(Duration::ZERO, |bottleneck| {
        (bottleneck.least_queue + bottleneck.most_queue) / 2
    });
    (both + queue, both + impairment.more_on_the_way_back)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_exchange_is_as_far_as_the_server() {
        let ms = Duration::from_millis;
        let impairment = Impairment {
            more_on_the_way_back: ms(30),
            jitter: ms(2),
            ..Impairment::round_trip(ms(20))
        };
        assert_eq!(ways(&impairment), (ms(11), ms(41)));
    }
}
