//! Which of a server's addresses is used: the first to complete a handshake.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tsq_net::{ConnId, Engine, Socket};

use crate::failure::Failure;
use crate::resumption::{Resumable, Setup};
use crate::trust::{Presented, Server};

/// A connection to one address, with the socket only it uses.
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    pub(crate) socket: Socket,
    pub(crate) conn: ConnId,
    setup: Setup,
    /// Tickets of earlier connections that there were when this one had taken its own.
    tickets_left: usize,
    /// What an earlier connection left, if this one tries to resume it.
    recalled: Option<Recalled>,
}

/// What is known of a server from an earlier connection.
pub(crate) struct Recalled {
    presented: Presented,
    pub(crate) ours: bool,
    pub(crate) round_trip: Duration,
}

impl Link {
    /// Why the connection could not be made: the verifier's reason if it had one.
    pub(crate) fn failure(&self, otherwise: Failure) -> Failure {
        let found = self
            .setup
            .found
            .lock()
            .ok()
            .and_then(|mut slot| slot.take());
        match found {
            Some(Err(refusal)) => Failure::Trust {
                address: self.address,
                refusal,
            },
            Some(Ok(_)) | None => otherwise,
        }
    }

    /// The certificates that were accepted: shown on this connection, or, where it was resumed, earlier.
    pub(crate) fn presented(&self) -> Option<Presented> {
        let found = self.setup.found.lock().ok()?;
        match found.as_ref() {
            Some(found) => found.as_ref().ok().cloned(),
            None => self.recalled().map(|recalled| recalled.presented.clone()),
        }
    }

    /// Whether the handshake that is complete went without certificates.
    pub(crate) fn is_resumed(&self) -> bool {
        let shown = self.setup.found.lock().is_ok_and(|found| found.is_some());
        self.recalled.is_some() && !shown
    }

    pub(crate) fn recalled(&self) -> Option<&Recalled> {
        self.recalled.as_ref()
    }

    /// Whether the server gave tickets on this connection.
    pub(crate) fn got_tickets(&self) -> bool {
        self.setup.tickets.len() > self.tickets_left
    }

    /// What the next connection can be made with; None if the server gave nothing for that.
    pub(crate) fn resumable(
        &self,
        presented: &Presented,
        ours: bool,
        round_trip: Duration,
    ) -> Option<Resumable> {
        (!self.setup.tickets.is_empty()).then(|| Resumable {
            address: self.address,
            setup: self.setup.clone(),
            presented: presented.clone(),
            ours,
            round_trip,
        })
    }
}

/// Tries a server's addresses one after the other without waiting long for any (RFC 8305).
pub(crate) struct Race {
    untried: VecDeque<SocketAddr>,
    /// For the address it came from, which is tried first, and once.
    resumable: Option<Resumable>,
    next_at: Instant,
    head_start: Duration,
    links: Vec<Link>,
    worst: Option<Failure>,
    /// Attempts made again after a failure that proves nothing.
    again: u32,
}

impl Race {
    pub(crate) fn new(
        addresses: Vec<SocketAddr>,
        resumable: Option<Resumable>,
        now: Instant,
    ) -> Self {
        let (head_start, mut untried) = (head_start(addresses.len()), VecDeque::from(addresses));
        let resumable = resumable.filter(|resumable| {
            let known = untried.iter().position(|one| *one == resumable.address);
            let known = known.and_then(|index| untried.remove(index));
            known.inspect(|one| untried.push_front(*one)).is_some()
        });
        Self {
            head_start,
            untried,
            resumable,
            next_at: now,
            links: Vec::new(),
            worst: None,
            again: 0,
        }
    }

    /// Begins the attempts that are due.
    pub(crate) fn advance(&mut self, server: &Server, engine: &mut Engine, now: Instant) {
        while self.next_at <= now {
            let Some(address) = self.untried.pop_front() else {
                return;
            };
            let resumable = self.resumable.take();
            match open(server, address, resumable, engine, now) {
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
        (!self.untried.is_empty()).then_some(self.next_at)
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
            let link = self.links.swap_remove(index);
            if link.recalled.is_some() {
                // It may be for what was kept: once more, without.
                self.untried.push_front(link.address);
            }
            self.note(link.failure(failure));
            self.next_at = now;
        }
    }

    /// As [`Self::lose`], for a reason that anyone who sees our packets can bring about, before the server has proven
    /// who it is: a server that does answer must not be given up for that, so the address is asked again, last and
    /// [`MOST_AGAIN`] times in all.
    pub(crate) fn lose_unproven(&mut self, conn: ConnId, failure: Failure, now: Instant) {
        let link = self.links.iter().find(|link| link.conn == conn);
        let again = link
            .filter(|link| link.recalled.is_none() && self.again < MOST_AGAIN)
            .map(|link| link.address);
        self.lose(conn, failure, now);
        if let Some(address) = again {
            if self.untried.is_empty() && self.links.is_empty() {
                self.next_at = now + FIRST_PAUSE * 2_u32.pow(self.again);
            }
            self.again += 1;
            self.untried.push_back(address);
        }
    }

    /// The address said nothing for so long that its connection was given up: it is asked anew until time is up.
    pub(crate) fn restart(&mut self, conn: ConnId, now: Instant) {
        if let Some(index) = self.links.iter().position(|link| link.conn == conn) {
            let link = self.links.swap_remove(index);
            self.untried.push_front(link.address);
            self.next_at = now;
        }
    }

    /// Why there is no winner, if there can be none any more.
    pub(crate) fn lost(&self) -> Option<Failure> {
        let over = self.links.is_empty() && self.untried.is_empty();
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

/// What a forger must keep up with to keep us from a server: 4 attempts within 350 ms and 4 round trips.
const MOST_AGAIN: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

fn open(
    server: &Server,
    address: SocketAddr,
    resumable: Option<Resumable>,
    engine: &mut Engine,
    now: Instant,
) -> Result<Link, Failure> {
    let connection = |problem: String| Failure::Connection { address, problem };
    let socket = Socket::connect(address).map_err(|error| of_io(address, &error))?;
    let (setup, recalled) = match resumable.and_then(|resumable| resumable.renewed(server)) {
        Some(Resumable {
            setup,
            presented,
            ours,
            round_trip,
            ..
        }) => (
            setup,
            Some(Recalled {
                presented,
                ours,
                round_trip,
            }),
        ),
        None => {
            let setup = Setup::new(server).map_err(|error| connection(error.to_string()))?;
            (setup, None)
        }
    };
    let conn = engine
        .connect(now, setup.config.clone(), address, &server.name)
        .map_err(|error| connection(error.to_string()))?;
    Ok(Link {
        address,
        socket,
        conn,
        tickets_left: setup.tickets.len(),
        setup,
        recalled,
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
