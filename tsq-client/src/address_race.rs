//! Which of a server's addresses is used: the first to complete a handshake.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tsq_net::{ConnId, Engine, Trouble, Unsent};

use crate::failure::Failure;
use crate::means::Means;
use crate::resumption::{Resumable, Setup};
use crate::trust::{Presented, Server};

/// A connection to one address; it has a socket that only it uses.
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    pub(crate) conn: ConnId,
    begun: Instant,
    setup: Setup,
    /// Tickets of earlier connections that there were when this one had taken its own.
    tickets_left: usize,
    /// What an earlier connection left, if this one tries to resume it.
    recalled: Option<Recalled>,
    /// What this host did not send.
    pub(crate) unsent: Unsent,
    /// What was last said against the path: no more than a hint, for anybody can say so.
    hindrance: Option<Failure>,
}

/// What is known of a server from an earlier connection.
pub(crate) struct Recalled {
    presented: Presented,
    pub(crate) ours: bool,
    pub(crate) round_trip: Duration,
}

impl Link {
    /// An error of this link's socket, or of the network: what it means for the attempt.
    pub(crate) fn trouble(&mut self, error: &io::Error, said: Said) -> Option<Failure> {
        let failure = of_io(self.address, error);
        match (Trouble::of(error), said) {
            (Trouble::Passing, _) => self.unsent.note(error),
            (Trouble::NoPath, _) | (Trouble::TooLong, Said::ByNetwork) => {
                self.hindrance = Some(failure);
            }
            (Trouble::Refused | Trouble::TooLong | Trouble::Final, _) => return Some(failure),
        }
        None
    }

    /// Why nothing came of it, when the time is up.
    fn silent(&self, waited_ms: u64) -> Failure {
        self.hindrance.clone().unwrap_or(Failure::Silent {
            address: self.address,
            waited_ms,
            unsent: self.unsent.clause(),
        })
    }

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

/// Where an error of a socket comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// This host, of a packet that it was to send.
    ByHost,
    /// Somebody on the way, who may not be what he says.
    ByNetwork,
}

/// Tries a server's addresses one after the other without waiting long for any (RFC 8305).
pub(crate) struct Race {
    untried: VecDeque<SocketAddr>,
    /// No attempt could be made at these, for a reason that may pass; to be tried then.
    postponed: Vec<(Instant, SocketAddr)>,
    /// For the address it came from, which is tried first, and once.
    resumable: Option<Resumable>,
    next_at: Instant,
    head_start: Duration,
    links: Vec<Link>,
    worst: Option<Failure>,
    /// Attempts made again after a failure that proves nothing.
    again: u32,
    /// How often another attempt was made beside one that had been silent for too long.
    beside: u32,
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
            postponed: Vec::new(),
            resumable,
            next_at: now,
            links: Vec::new(),
            worst: None,
            again: 0,
            beside: 0,
        }
    }

    /// Begins the attempts that are due.
    pub(crate) fn advance(
        &mut self,
        server: &Server,
        engine: &mut Engine,
        means: &Means,
        now: Instant,
    ) {
        self.call_back(now);
        self.repeat_silent(now);
        while self.next_at <= now {
            let Some(address) = self.untried.pop_front() else {
                return;
            };
            let resumable = self.resumable.take();
            match begin(server, address, resumable, engine, means, now) {
                Ok(link) => {
                    self.links.push(link);
                    self.next_at = now + self.head_start;
                }
                Err(failure) => self.note(failure),
            }
        }
    }

    /// There is no socket for an attempt that was just begun: it is not one. The next address need not wait, and this one
    /// is tried again if the reason may pass.
    pub(crate) fn unopened(&mut self, conn: ConnId, error: &io::Error, now: Instant) {
        let Some(index) = self.links.iter().position(|link| link.conn == conn) else {
            return;
        };
        let address = self.links.swap_remove(index).address;
        self.note(of_io(address, error));
        if matches!(Trouble::of(error), Trouble::Passing | Trouble::NoPath) {
            self.postponed.push((now + ROAD_BLOCK, address));
        }
        self.next_at = now;
    }

    /// When [`Self::advance`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let postponed = self.postponed.iter().map(|(at, _)| *at);
        let untried = (!self.untried.is_empty()).then_some(self.next_at);
        postponed.chain(untried).chain(self.beside_at()).min()
    }

    /// Whether this host finds no way to any of the addresses, for all that can be said now.
    pub(crate) fn is_without_path(&self) -> bool {
        let no_path = |link: &Link| matches!(link.hindrance, Some(Failure::Unreachable { .. }));
        let tried = !(self.links.is_empty() && self.postponed.is_empty());
        tried && self.untried.is_empty() && self.links.iter().all(no_path)
    }

    fn call_back(&mut self, now: Instant) {
        let due = self.postponed.extract_if(.., |(at, _)| *at <= now);
        self.untried.extend(due.map(|(_, address)| address));
    }

    /// A connection whose server knows our first packet by another address, as a NAT has changed it since, never hears
    /// of the server again. A new one beside it does, and on a slow path the old one may still be first.
    fn repeat_silent(&mut self, now: Instant) {
        if self.beside_at().is_none_or(|at| at > now) {
            return;
        }
        self.beside += 1;
        let mut silent: Vec<SocketAddr> = Vec::new();
        for link in &self.links {
            if !silent.contains(&link.address) {
                silent.push(link.address);
            }
        }
        self.untried.extend(silent.into_iter().take(MOST_REPEATED));
    }

    /// When the last attempt will have been silent for so long that another is to be made beside it.
    fn beside_at(&self) -> Option<Instant> {
        let may = self.beside < MOST_BESIDE && self.untried.is_empty();
        let last = self.links.iter().map(|link| link.begun).max();
        last.filter(|_| may)
            .map(|last| last + FIRST_SILENCE * 2_u32.pow(self.beside))
    }

    /// Gives all attempts up.
    pub(crate) fn end(mut self, engine: &mut Engine, now: Instant) {
        for link in self.links.drain(..) {
            engine.close(now, link.conn, 0, "not needed");
        }
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

    /// An attempt meets with difficulties: the next address need not wait.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.next_at = self.next_at.min(now);
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
        let over = self.links.is_empty() && self.untried.is_empty() && self.postponed.is_empty();
        over.then(|| {
            self.worst.clone().unwrap_or(Failure::Unresolved {
                problem: "no address".into(),
            })
        })
    }

    /// Time is up: why there is no winner.
    pub(crate) fn timed_out(&self, waited: Duration) -> Failure {
        let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        let silent = self.links.iter().map(|link| link.silent(waited_ms));
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

/// After a silence of so long an attempt is repeated beside the first, after twice that again, and no more: servers that
/// cannot keep up must not be asked by each client all the time.
const FIRST_SILENCE: Duration = Duration::from_millis(500);
const MOST_BESIDE: u32 = 2;
/// Of a name with many addresses no more are tried twice.
const MOST_REPEATED: usize = 4;

/// Before an address is tried again to which there was no way.
const ROAD_BLOCK: Duration = Duration::from_millis(200);

/// Before an address is tried again whose attempt failed for a reason that proves nothing; then twice that, and so on.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

fn begin(
    server: &Server,
    address: SocketAddr,
    resumable: Option<Resumable>,
    engine: &mut Engine,
    means: &Means,
    now: Instant,
) -> Result<Link, Failure> {
    let connection = |problem: String| Failure::Connection { address, problem };
    let (setup, recalled) = match resumable.and_then(|resumable| resumable.renewed(server, means)) {
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
            let setup = Setup::new(server, means).map_err(|error| connection(error.to_string()))?;
            (setup, None)
        }
    };
    let conn = engine
        .connect(now, setup.config.clone(), address, &server.name)
        .map_err(|error| connection(error.to_string()))?;
    Ok(Link {
        address,
        conn,
        begun: now,
        tickets_left: setup.tickets.len(),
        setup,
        recalled,
        unsent: Unsent::default(),
        hindrance: None,
    })
}

/// What an error of a socket that talks with `address` only means.
pub(crate) fn of_io(address: SocketAddr, error: &io::Error) -> Failure {
    match Trouble::of(error) {
        Trouble::Refused => Failure::PortClosed { address },
        Trouble::TooLong => Failure::PathTooNarrow { address },
        Trouble::Passing | Trouble::NoPath | Trouble::Final => Failure::Unreachable {
            address,
            problem: error
                .raw_os_error()
                .map_or_else(|| error.to_string(), Trouble::explain),
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

    use tsq_net::ClockPair;

    use crate::means::Now;
    use crate::target::Target;
    use crate::trust::Trust;

    /// A race for one address, which says nothing.
    struct Silence {
        race: Race,
        engine: Engine,
        server: Server,
        means: Means,
        begun: Instant,
    }

    impl Silence {
        fn new() -> Self {
            let address: SocketAddr = "192.0.2.1:443".parse().unwrap();
            let target = Target::parse(&address.to_string(), 443).unwrap();
            let begun = Instant::now();
            let now = Now {
                instant: begun,
                clocks: ClockPair::read(),
            };
            Self {
                race: Race::new(vec![address], None, begun),
                engine: Engine::client(),
                server: Server::new(target, Trust::insecure()),
                means: Means::new(tsq_net::tls::provider(), &now),
                begun,
            }
        }

        /// How many attempts there are when so much time has passed.
        fn attempts_after(&mut self, millis: u64) -> usize {
            let now = self.begun + Duration::from_millis(millis);
            self.race
                .advance(&self.server, &mut self.engine, &self.means, now);
            self.race.links().len()
        }
    }

    #[test]
    fn silent_attempt_gets_two_more_beside_it_and_none_is_given_up() {
        let mut silence = Silence::new();
        for (millis, attempts) in [
            (0, 1),
            (499, 1),
            (500, 2),
            (1499, 2),
            (1500, 3),
            (60_000, 3),
        ] {
            assert_eq!(
                silence.attempts_after(millis),
                attempts,
                "after {millis} ms"
            );
        }
        let conns: Vec<ConnId> = silence.race.links().iter().map(|link| link.conn).collect();
        assert!(conns[0] != conns[1] && conns[1] != conns[2], "{conns:?}");
        assert_eq!(silence.race.next_deadline(), None);
    }

    #[test]
    fn address_without_a_way_to_it_is_tried_again_and_does_not_put_off_the_other() {
        let mut silence = Silence::new();
        silence
            .race
            .untried
            .push_back("192.0.2.2:443".parse().unwrap());
        silence.attempts_after(0);
        for (millis, errno) in [(50, ENETUNREACH), (250, ENOBUFS), (450, EACCES)] {
            assert_eq!(silence.attempts_after(millis), 2, "after {millis} ms");
            let conn = silence.race.links()[1].conn;
            let error = io::Error::from_raw_os_error(errno);
            let now = silence.begun + Duration::from_millis(millis);
            silence.race.unopened(conn, &error, now);
        }
        // The last reason does not pass; the attempt at the other address has been silent since the beginning.
        assert_eq!(silence.attempts_after(499), 1);
        assert_eq!(silence.attempts_after(500), 2);
    }

    #[test]
    fn what_passes_or_may_be_forged_ends_no_attempt() {
        let mut silence = Silence::new();
        silence.attempts_after(0);
        let link = &mut silence.race.links_mut()[0];
        let mut told = |errno, said| {
            let error = io::Error::from_raw_os_error(errno);
            link.trouble(&error, said).map(|failure| failure.name())
        };
        let (host, network) = (Said::ByHost, Said::ByNetwork);
        for (errno, said, ends) in [
            (ENOBUFS, host, None),
            (EPERM, host, None),
            (ENETUNREACH, host, None),
            (EHOSTUNREACH, network, None),
            (EMSGSIZE, network, None),
            (EMSGSIZE, host, Some("path_too_narrow")),
            (ECONNREFUSED, network, Some("port_closed")),
            (EACCES, host, Some("unreachable")),
        ] {
            assert_eq!(told(errno, said), ends, "{errno}");
        }
        // What was last said against the path is the likely reason.
        let failure = silence.race.timed_out(Duration::from_secs(3));
        assert_eq!(failure.name(), "path_too_narrow");
    }

    #[test]
    fn unsent_packets_are_the_likely_reason_of_a_silence() {
        let mut silence = Silence::new();
        silence.attempts_after(0);
        let full = io::Error::from_raw_os_error(ENOBUFS);
        for _ in 0..3 {
            silence.race.links_mut()[0].trouble(&full, Said::ByHost);
        }
        let words = silence.race.timed_out(Duration::from_secs(3)).to_string();
        assert!(
            words.contains("in 3000 ms; 3 packets did not leave this host"),
            "{words}"
        );
        assert!(words.contains("send queue"), "{words}");
    }

    /// Linux's numbers, as the table of [`Trouble`] has them.
    const EPERM: i32 = 1;
    const EACCES: i32 = 13;
    const EMSGSIZE: i32 = 90;
    const ENETUNREACH: i32 = 101;
    const ENOBUFS: i32 = 105;
    const ECONNREFUSED: i32 = 111;
    const EHOSTUNREACH: i32 = 113;

    #[test]
    fn forty_addresses_are_all_tried_within_a_second() {
        assert_eq!(head_start(2), MOST_HEAD_START);
        assert_eq!(head_start(16), MOST_HEAD_START);
        assert_eq!(head_start(40) * 40, ALL_TRIED);
        assert_eq!(head_start(1000), LEAST_HEAD_START);
    }
}
