//! The servers that the attacks are about: honest ones, lying ones and impostors, each at an address of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use tempfile::NamedTempFile;
use tsq_interop::{Certs, Server, ServerCert, faketime_by};

use super::attackers::LIE;
use crate::Error;
use crate::peers::{End, Kind, Nts, PeerServer, Protocol, Tools, Trust};

/// All servers, running.
pub(super) struct Field {
    /// Tell the truth.
    honest: Vec<Host>,
    /// Tell a time that is off by [`LIE`], and have keys and certificates as good as the honest ones'.
    lying: Vec<Host>,
    /// Lies, and its certificate is from another authority.
    impostor: Host,
    /// Tells the truth; its certificate has expired.
    expired: Host,
    /// Tells the truth; its certificate is of tomorrow.
    premature: Host,
    roughtime: Result<PeerServer, String>,
    /// Files that the servers use.
    _certs: [Certs; 2],
}

/// The servers of one address.
struct Host {
    tsq: Server,
    /// NTP and NTS.
    ntp: Result<PeerServer, String>,
    /// Of its certificate.
    authority: String,
    /// By which faketime sets the clock that tsq-server sees.
    _clock: Option<NamedTempFile>,
}

impl Field {
    /// Starts every server; those of others that are not here say why. Call it in a network namespace.
    ///
    /// # Errors
    /// The namespace has no addresses.
    pub(super) fn start(tools: &Tools) -> Result<Self, Error> {
        let [certs, others] = [Certs::new(), Certs::new()];
        let host = |number: u8, certs: &Certs, options: &[&str], lies: bool| {
            let shift = lies.then(|| format!("+{}s", LIE.as_secs()));
            Host::start(number, certs, options, shift.as_deref(), tools)
        };
        // Valid from the day before such a moment to the day after it, and not now.
        let then = |number: u8, day: &str, not_before: &str, not_after: &str| {
            let dates = ["--not-before", not_before, "--not-after", not_after];
            Host::start_then(number, &certs, &dates, day, tools)
        };
        Ok(Self {
            honest: vec![host(11, &certs, &[], false), host(12, &certs, &[], false)],
            lying: vec![host(13, &certs, &[], true), host(14, &certs, &[], true)],
            impostor: host(15, &others, &[], true),
            expired: then(16, "-3d", "-30d", "-2d")?,
            premature: then(17, "+2d", "+1d", "+30d")?,
            roughtime: PeerServer::start(
                Kind::Roughenough,
                SocketAddr::from((address(18), 2002)),
                None,
                tools,
            )
            .map_err(|error| error.to_string()),
            _certs: [certs, others],
        })
    }

    /// An honest server.
    pub(super) fn honest(&self, protocol: Protocol, by: Belief) -> Result<End, String> {
        self.end(&self.honest[0], protocol, by)
    }

    pub(super) fn expired(&self, protocol: Protocol, by: Belief) -> Result<End, String> {
        self.end(&self.expired, protocol, by)
    }

    pub(super) fn premature(&self, protocol: Protocol, by: Belief) -> Result<End, String> {
        self.end(&self.premature, protocol, by)
    }

    /// An impostor at the address that the client asks, who believes the honest server and nobody else.
    pub(super) fn impostor(&self, protocol: Protocol, by: Belief) -> Result<End, String> {
        let honest = self.end(&self.honest[0], protocol, by)?;
        if let Trust::Key(key) = &honest.trust {
            // Another key is expected than the one there is, which comes to the same.
            let (first, rest) = key.split_at(1);
            let other = if first == "0" { "1" } else { "0" };
            return Ok(End {
                trust: Trust::Key(format!("{other}{rest}")),
                ..honest
            });
        }
        let impostor = self.end(&self.impostor, protocol, by)?;
        Ok(honest.at(impostor.address))
    }

    /// Three servers, so many of which lie; who comes first differs from round to round.
    pub(super) fn three(
        &self,
        lying: usize,
        protocol: Protocol,
        round: usize,
    ) -> Result<Vec<End>, String> {
        let liars = self.lying.iter().take(lying);
        let others = self.honest.iter().take(3 - lying);
        let mut hosts: Vec<&Host> = liars.chain(others).collect();
        hosts.rotate_left(round % 3);
        hosts
            .into_iter()
            .map(|host| self.end(host, protocol, Belief::Key))
            .collect()
    }

    fn end(&self, host: &Host, protocol: Protocol, by: Belief) -> Result<End, String> {
        let absent = || "does not speak this protocol".to_string();
        match protocol {
            Protocol::Roughtime => {
                let server = self.roughtime.as_ref().map_err(Clone::clone)?;
                server.end(protocol).ok_or_else(absent)
            }
            Protocol::Tsq => Ok(End {
                address: host.tsq.address(),
                trust: match by {
                    Belief::Key => Trust::Pin(host.tsq.pin().into()),
                    Belief::Authority => Trust::Authority {
                        file: host.authority.clone(),
                        key_exchange: 0,
                    },
                },
            }),
            _ => {
                let server = host.ntp.as_ref().map_err(Clone::clone)?;
                server.end(protocol).ok_or_else(absent)
            }
        }
    }
}

/// What a TSQ client believes a server by. The others have no choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belief {
    /// The pin of its key.
    Key,
    /// A certificate that an authority signed.
    Authority,
}

impl Host {
    /// Shows a clock that is off by `shift` to both.
    fn start(
        number: u8,
        certs: &Certs,
        options: &[&str],
        shift: Option<&str>,
        tools: &Tools,
    ) -> Self {
        let certificate = certificate(number, certs, options);
        let args = Listen::at(number);
        let tsq = match shift {
            Some(shift) => Server::start_at(shift, &args.with(&certificate)),
            None => Server::start(&args.with(&certificate)),
        };
        Self::with(tsq, number, certs, certificate, shift, tools)
    }

    /// Serves the true time with a certificate that was valid `then` and is not now: tsq-server does not start with such
    /// a one, so it starts then, and sees its clock set right.
    fn start_then(
        number: u8,
        certs: &Certs,
        dates: &[&str],
        then: &str,
        tools: &Tools,
    ) -> Result<Self, Error> {
        let certificate = certificate(number, certs, dates);
        let clock = NamedTempFile::new()?;
        fs::write(&clock, then)?;
        let args = Listen::at(number);
        let tsq = Server::start_prepared(&args.with(&certificate), |command| {
            faketime_by(command, clock.path())
        });
        fs::write(&clock, "+0s")?;
        let host = Self::with(tsq, number, certs, certificate, None, tools);
        Ok(Self {
            _clock: Some(clock),
            ..host
        })
    }

    fn with(
        tsq: Server,
        number: u8,
        certs: &Certs,
        certificate: ServerCert,
        shift: Option<&str>,
        tools: &Tools,
    ) -> Self {
        let nts = Nts {
            certificate,
            authority: certs.ca(),
            port: NTS_PORT,
        };
        let ntp = SocketAddr::from((address(number), NTP_PORT));
        let ntp = PeerServer::start_shifted(Kind::Chronyd, ntp, Some(&nts), tools, shift);
        Self {
            tsq,
            ntp: ntp.map_err(|error| error.to_string()),
            authority: certs.ca(),
            _clock: None,
        }
    }
}

/// What tsq-server listens on.
struct Listen(String);

impl Listen {
    fn at(number: u8) -> Self {
        Self(SocketAddr::from((address(number), TSQ_PORT)).to_string())
    }

    fn with<'a>(&'a self, certificate: &'a ServerCert) -> [&'a str; 6] {
        let ServerCert { cert, key } = certificate;
        ["--listen", &self.0, "--cert", cert, "--key", key]
    }
}

/// For the server's own address, and for those at which an attacker may stand before it.
fn certificate(number: u8, certs: &Certs, options: &[&str]) -> ServerCert {
    let before: Vec<String> = (0..PLACES)
        .map(|place| place_before(place).to_string())
        .collect();
    let names = before.iter().flat_map(|name| ["--name", name]);
    let options: Vec<&str> = options.iter().copied().chain(names).collect();
    certs.server(
        &format!("server{number}"),
        &address(number).to_string(),
        &options,
    )
}

fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, number)
}

/// Where an attacker may stand: [`PLACES`] addresses that no server has.
pub(super) fn place_before(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, number + 1)
}

/// As many as there are attacks at a time; each has a place before each program's server.
pub(super) const PLACES: u8 = 80;

const TSQ_PORT: u16 = 8443;
const NTP_PORT: u16 = 123;
pub(super) const NTS_PORT: u16 = 4460;
