//! One server's ladder, on a thread of its own.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use tsq_ntp::nts;

use super::{Ladder, Outcome};
use crate::attempt::{Attempt, Protocol};
use crate::failure::Failure;
use crate::report::{Answer, Rejection, SampleReport, SourceReport, Timestamps, Transport};
use crate::resolve::addresses_of;
use crate::trust::{FoundSlot, Presented, Server, TrustKind, Verifier};

/// Tries NTS, then NTP, as far as the ladder has them; a server whose certificate is refused is not asked by NTP.
pub(super) fn climb_down(server: &Server, ladder: Ladder, deadline: Instant) -> Outcome {
    let mut attempts = Vec::new();
    let mut failed = |protocol, problem: Problem| {
        attempts.push(Attempt {
            protocol,
            problem: problem.words,
            failure: problem.failure,
        });
    };
    if let Some(port) = ladder.nts {
        let until = if ladder.ntp.is_some() {
            halfway(deadline)
        } else {
            deadline
        };
        match by_nts(server, port, ladder, until) {
            Ok(report) => {
                return Outcome {
                    report: Some(report),
                    attempts,
                };
            }
            Err(problem) => {
                let refused = problem.failure.is_some();
                failed(Protocol::Nts, problem);
                if refused {
                    attempts.extend(ladder.ntp.map(|_| Attempt::ntp_ruled_out()));
                    return Outcome {
                        report: None,
                        attempts,
                    };
                }
            }
        }
    }
    if let Some(port) = ladder.ntp {
        match by_ntp(server, port, ladder, deadline) {
            Ok(report) => {
                return Outcome {
                    report: Some(report),
                    attempts,
                };
            }
            Err(problem) => failed(Protocol::Ntp, problem),
        }
    }
    Outcome {
        report: None,
        attempts,
    }
}

/// Why a rung did not bear.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    words: String,
    /// That somebody else was met: more telling than anything that went wrong with other addresses.
    failure: Option<Failure>,
}

impl From<String> for Problem {
    fn from(words: String) -> Self {
        Self {
            words,
            failure: None,
        }
    }
}

impl Problem {
    /// The one to tell of two.
    fn or(self, later: Self) -> Self {
        if self.failure.is_some() { self } else { later }
    }
}

/// One rung must not use up the time of the next.
fn halfway(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / 2
}

fn by_nts(
    server: &Server,
    port: u16,
    ladder: Ladder,
    deadline: Instant,
) -> Result<SourceReport, Problem> {
    let addresses = addresses_of(&server.target.host, port)?;
    let name = server.name.clone();
    let trust = server.clone();
    let exchanged = race(addresses, deadline, move |address| {
        let found = FoundSlot::default();
        let verifier = Verifier::new(&trust.trust, trust.dates, Arc::clone(&found))
            .map_err(|error| error.to_string())?;
        let tls = nts::tls(Arc::new(verifier)).map_err(|error| error.to_string())?;
        let result = nts::exchange_keys(address, &name, tls, deadline);
        let found = found.lock().ok().and_then(|mut slot| slot.take());
        match (result, found) {
            (Ok((session, granted)), Some(Ok(presented))) => Ok((session, granted, presented)),
            // Without a certificate that was accepted nobody is authenticated.
            (Ok(_), _) => Err("the server has shown no certificate".to_string().into()),
            (Err(_), Some(Err(refusal))) => Err(Problem {
                words: refusal.to_string(),
                failure: Some(Failure::Trust { address, refusal }),
            }),
            (Err(failure), _) => Err(failure.to_string().into()),
        }
    })?;
    let (address, (session, granted, presented)) = exchanged;
    let port = granted.port.unwrap_or(tsq_ntp::NTP_PORT);
    let address = match &granted.server {
        None => beside(address, address.ip(), port),
        Some(name) => match name.parse::<IpAddr>() {
            Ok(ip) => beside(address, ip, port),
            Err(_) => *addresses_of(&crate::Host::Name(name.clone()), port)?
                .first()
                .ok_or_else(|| "it has no address".to_string())?,
        },
    };
    let mut protocol = tsq_ntp::Protocol::Nts(session);
    let report = ask(server, address, &mut protocol, ladder, deadline)?;
    Ok(SourceReport {
        protocol: Protocol::Nts,
        presented: Some(presented),
        // TCP, TLS, the key exchange, and the first answer.
        round_trips: 4,
        ..report
    })
}

/// A link-local address that the server at `known` tells is behind the interface that it is behind itself.
fn beside(known: SocketAddr, ip: IpAddr, port: u16) -> SocketAddr {
    let mut address = SocketAddr::new(ip, port);
    if let (SocketAddr::V6(address), SocketAddr::V6(known)) = (&mut address, known)
        && address.ip().is_unicast_link_local()
    {
        address.set_scope_id(known.scope_id());
    }
    address
}

fn by_ntp(
    server: &Server,
    port: u16,
    ladder: Ladder,
    deadline: Instant,
) -> Result<SourceReport, Problem> {
    let addresses = addresses_of(&server.target.host, port)?;
    let asked = server.clone();
    let (_, report) = race(addresses, deadline, move |address| {
        ask(
            &asked,
            address,
            &mut tsq_ntp::Protocol::Ntp,
            ladder,
            deadline,
        )
    })?;
    Ok(SourceReport {
        protocol: Protocol::Ntp,
        trust: TrustKind::None,
        round_trips: 1,
        ..report
    })
}

/// The first of `addresses` with which `attempt` succeeds; a dead one holds up nobody for long.
///
/// # Errors
/// A certificate that was refused, else the last failure, or that nothing came of any in time.
fn race<T: Send + 'static>(
    addresses: Vec<SocketAddr>,
    deadline: Instant,
    attempt: impl Fn(SocketAddr) -> Result<T, Problem> + Send + Sync + 'static,
) -> Result<(SocketAddr, T), Problem> {
    let attempt = Arc::new(attempt);
    let (sender, receiver) = channel();
    let mut untried = addresses.into_iter();
    let (mut running, mut last) = (0, Problem::from("it has no address".to_string()));
    loop {
        let next = untried.next();
        let is_last = next.is_none();
        if let Some(address) = next {
            let (attempt, sender) = (Arc::clone(&attempt), sender.clone());
            let spawned = std::thread::Builder::new()
                .name(format!("ask {address}"))
                .spawn(move || {
                    // Nobody listens once another address was faster.
                    let _ = sender.send((address, attempt(address)));
                });
            match spawned {
                Ok(_) => running += 1,
                Err(error) => last = last.or(format!("no thread to ask with: {error}").into()),
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let patience = if is_last { left } else { left.min(HEAD_START) };
        if running > 0 {
            match receiver.recv_timeout(patience) {
                Ok((address, Ok(found))) => return Ok((address, found)),
                Ok((_, Err(problem))) => {
                    running -= 1;
                    last = last.or(problem);
                }
                Err(_) if left <= patience => {
                    return Err(last.or("no answer in time".to_string().into()));
                }
                Err(_) => {}
            }
        } else if is_last {
            return Err(last);
        }
    }
}

fn ask(
    server: &Server,
    address: SocketAddr,
    protocol: &mut tsq_ntp::Protocol,
    ladder: Ladder,
    deadline: Instant,
) -> Result<SourceReport, Problem> {
    let limits = tsq_ntp::Limits {
        samples: ladder.queries.min(MAX_QUERIES),
        deadline,
    };
    let answers =
        tsq_ntp::measure(address, protocol, limits).map_err(|failure| failure.to_string())?;
    Ok(SourceReport {
        server: server.target.given.clone(),
        address: Some(address),
        protocol: Protocol::Tsq,
        attempts: Vec::new(),
        transport: Some(Transport::Udp),
        trust: server.trust.kind(),
        presented: None::<Presented>,
        asked: u32::from(limits.samples),
        sent: answers.sent,
        superseded: 0,
        round_trips: 0,
        handshake: None,
        store_problem: None,
        follow_ups: Default::default(),
        samples: answers.results.into_iter().map(sample).collect(),
        failure: None,
    })
}

fn sample(result: Result<tsq_ntp::Measured, tsq_ntp::Refusal>) -> SampleReport {
    SampleReport {
        transport: Transport::Udp,
        result: match result {
            Ok(measured) => Ok(Answer {
                sample: measured.sample,
                timestamps: match measured.timestamps {
                    tsq_net::StampSource::Kernel => Timestamps::Kernel,
                    tsq_net::StampSource::User => Timestamps::User,
                },
                request: Vec::new(),
                response: Vec::new(),
            }),
            Err(refusal) => Err(Rejection::Ntp(refusal)),
        },
    }
}

/// How long an address may stay silent before the next is tried as well (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(50);

/// Public NTP servers take a burst of this many for ordinary, and more for an attack.
const MAX_QUERIES: u16 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(count: u16) -> Vec<SocketAddr> {
        (1..=count)
            .map(|port| ([127, 0, 0, 1], port).into())
            .collect()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn link_local_address_keeps_its_interface_from_key_exchange_to_time() {
        let known = "[fe80::1%7]:4460".parse().unwrap();
        for (ip, wanted) in [
            ("fe80::1", "[fe80::1%7]:123"),
            ("fe80::2", "[fe80::2%7]:123"),
            ("2001:db8::1", "[2001:db8::1]:123"),
            ("192.0.2.1", "192.0.2.1:123"),
        ] {
            let address = beside(known, ip.parse().unwrap(), 123);
            assert_eq!(address.to_string(), wanted);
        }
    }

    #[test]
    fn dead_addresses_hold_up_nobody_and_the_first_success_wins() {
        let asked = race(addresses(40), soon(), |address| match address.port() {
            40 => Ok("alive"),
            port if port % 2 == 0 => Err("refused".to_string().into()),
            // Longer than the run may take.
            _ => {
                std::thread::sleep(Duration::from_secs(20));
                Err("silent".to_string().into())
            }
        });
        let (address, found) = asked.unwrap();
        assert_eq!((address.port(), found), (40, "alive"));
    }

    #[test]
    fn failures_are_told_and_late_ones_called_late() {
        let refused = race(addresses(3), soon(), |_| {
            Err::<(), _>("refused".to_string().into())
        });
        assert_eq!(refused.unwrap_err().words, "refused");
        let none = race(Vec::new(), soon(), |_| Ok(()));
        assert_eq!(none.unwrap_err().words, "it has no address");
        let late = race(
            addresses(2),
            Instant::now() + Duration::from_millis(120),
            |_| {
                std::thread::sleep(Duration::from_secs(20));
                Ok(())
            },
        );
        assert_eq!(late.unwrap_err().words, "no answer in time");
    }

    #[test]
    fn refused_certificate_is_told_whatever_becomes_of_the_other_addresses() {
        let refused = || Problem {
            words: "pin".into(),
            failure: Some(Failure::Trust {
                address: addresses(1)[0],
                refusal: crate::trust::TrustRefusal::UnknownIssuer { missing: None },
            }),
        };
        let found = race(addresses(2), soon(), move |address| match address.port() {
            1 => Err::<(), _>(refused()),
            _ => Err("closed".to_string().into()),
        });
        assert!(found.unwrap_err().failure.is_some());
    }
}
