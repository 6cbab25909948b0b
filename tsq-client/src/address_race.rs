//! Which of a server's addresses is used: the first to complete a handshake.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tsq_net::{ConnId, Engine, Socket};

use crate::failure::Failure;
use crate::trust::{FoundSlot, Presented, Server};

/// A connection to one address, with the socket only it uses.
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    pub(crate) socket: Socket,
    pub(crate) conn: ConnId,
    found: FoundSlot,
}

impl Link {
    /// Why the connection could not be made: the verifier's reason if it had one.
    pub(crate) fn failure(&self, otherwise: Failure) -> Failure {
        let found = self.found.lock().ok().and_then(|mut slot| slot.take());
        match found {
            Some(Err(refusal)) => Failure::Trust {
                address: self.address,
                refusal,
            },
            Some(Ok(_)) | None => otherwise,
        }
    }

    /// The certificates that were accepted; None where none were shown, as on a resumed connection.
    pub(crate) fn presented(&self) -> Option<Presented> {
        let found = self.found.lock().ok()?;
        found.as_ref()?.as_ref().ok().cloned()
    }
}

/// Tries a server's addresses one after the other without waiting long for any (RFC 8305).
pub(crate) struct Race {
    untried: std::vec::IntoIter<SocketAddr>,
    next_at: Instant,
    head_start: Duration,
    links: Vec<Link>,
    worst: Option<Failure>,
}

impl Race {
    pub(crate) fn new(addresses: Vec<SocketAddr>, now: Instant) -> Self {
        Self {
            head_start: head_start(addresses.len()),
            untried: addresses.into_iter(),
            next_at: now,
            links: Vec::new(),
            worst: None,
        }
    }

    /// Begins the attempts that are due.
    pub(crate) fn advance(&mut self, server: &Server, engine: &mut Engine, now: Instant) {
        while self.next_at <= now || self.links.is_empty() {
            let Some(address) = self.untried.next() else {
                return;
            };
            match open(server, address, engine, now) {
                Ok(link) => {
                    self.links.push(link);
                    self.next_at = now + self.head_start;
                }
                Err(failure) => self.note(failure),
            }
        }
    }

    /// When [`Self::advance`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        (!self.untried.as_slice().is_empty()).then_some(self.next_at)
    }

    /// The winner; the others are given up.
    pub(crate) fn win(&mut self, conn: ConnId, engine: &mut Engine, now: Instant) -> Option<Link> {
        let index = self.links.iter().position(|link| link.conn == conn)?;
        let winner = self.links.swap_remove(index);
        for loser in self.links.drain(..) {
            engine.close(now, loser.conn, 0, "another address was faster");
        }
        Some(winner)
    }

    /// An attempt failed; the next address need not wait.
    pub(crate) fn lose(&mut self, conn: ConnId, failure: Failure, now: Instant) {
        if let Some(index) = self.links.iter().position(|link| link.conn == conn) {
            let failure = self.links.swap_remove(index).failure(failure);
            self.note(failure);
            self.next_at = now;
        }
    }

    /// Why there is no winner, if there can be none any more.
    pub(crate) fn lost(&self) -> Option<Failure> {
        let over = self.links.is_empty() && self.untried.as_slice().is_empty();
        over.then(|| {
            self.worst.clone().unwrap_or(Failure::Unresolved {
                problem: "no address".into(),
            })
        })
    }

    /// Time is up: why there is no winner.
    pub(crate) fn timed_out(&self, waited: Duration) -> Failure {
        let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        let silent = self.links.last().map(|link| Failure::Silent {
            address: link.address,
            waited_ms,
        });
        let mut reasons: Vec<Failure> = self.worst.iter().cloned().chain(silent).collect();
        reasons.sort_by_key(Failure::rank);
        reasons.pop().unwrap_or(Failure::Unresolved {
            problem: "no address".into(),
        })
    }

    pub(crate) fn links(&self) -> &[Link] {
        &self.links
    }

    pub(crate) fn links_mut(&mut self) -> &mut [Link] {
        &mut self.links
    }

    fn note(&mut self, failure: Failure) {
        if self
            .worst
            .as_ref()
            .is_none_or(|worst| failure.rank() >= worst.rank())
        {
            self.worst = Some(failure);
        }
    }
}

fn open(
    server: &Server,
    address: SocketAddr,
    engine: &mut Engine,
    now: Instant,
) -> Result<Link, Failure> {
    let connection = |problem: String| Failure::Connection { address, problem };
    let socket = Socket::connect(address).map_err(|error| of_io(address, &error))?;
    let (config, found) = server
        .tls()
        .map_err(|error| connection(error.to_string()))?;
    let conn = engine
        .connect(now, config, address, &server.name)
        .map_err(|error| connection(error.to_string()))?;
    Ok(Link {
        address,
        socket,
        conn,
        found,
    })
}

/// What an error of a socket that talks with `address` only means.
pub(crate) fn of_io(address: SocketAddr, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::PortClosed { address },
        _ => Failure::Unreachable {
            address,
            problem: error.to_string(),
        },
    }
}

/// How long one of `count` addresses may stay silent before the next is tried as well.
///
/// RFC 8305 suggests 250 ms and allows 10 ms to 2 s. A run here lasts 3 s, and of 40 addresses 39 may be dead: the last
/// one must be tried in time to answer too.
fn head_start(count: usize) -> Duration {
    let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
    (ALL_TRIED / count).clamp(LEAST_HEAD_START, MOST_HEAD_START)
}

/// By then every address of a name has been tried.
const ALL_TRIED: Duration = Duration::from_millis(800);
const LEAST_HEAD_START: Duration = Duration::from_millis(10);
const MOST_HEAD_START: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forty_addresses_are_all_tried_within_a_second() {
        assert_eq!(head_start(2), MOST_HEAD_START);
        assert_eq!(head_start(16), MOST_HEAD_START);
        assert_eq!(head_start(40) * 40, ALL_TRIED);
        assert_eq!(head_start(1000), LEAST_HEAD_START);
    }
}
