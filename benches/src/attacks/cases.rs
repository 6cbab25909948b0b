//! The attacks, and how each is made on one program.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use super::attackers::{self, Forger, Holder, Nobody, Recorder, Wall};
use super::field::{Belief, Field, NTS_PORT};
use super::middle::{Attacker, Middle};
use super::outcome::Truth;
use crate::Error;
use crate::peers::{End, OneShot, Protocol, Run, Trust};
use crate::tcp_relay::TcpRelay;

/// An attack.
pub(super) struct Case {
    pub(super) name: &'static str,
    attack: Attack,
}

#[derive(Clone, Copy)]
enum Attack {
    /// Somebody has the path in his hands; None where a protocol gives him nothing to do.
    Path(fn(Protocol) -> Option<Box<dyn Attacker>>),
    /// As that, and lets no TCP through either.
    Wall,
    /// Somebody recorded an earlier run and plays the server with it.
    Replay,
    /// Somebody answers at the server's address with keys of his own.
    Impostor,
    /// Nobody: it is the certificate that is not valid any more.
    Expired,
    /// Not valid yet.
    Premature,
    /// Nobody: it is the client's clock that is wrong, a year behind.
    YearBehind,
    /// So many of three servers lie.
    Liars(usize),
}

/// Every attack, and no attack at all: what would not be right then says nothing under one.
pub(super) const CASES: &[Case] = &[
    Case {
        name: "no attack",
        attack: Attack::Path(|_| Some(Box::new(Nobody))),
    },
    Case {
        name: "on the path: drops every packet",
        attack: Attack::Wall,
    },
    Case {
        name: "on the path: holds answers for 100 ms",
        attack: Attack::Path(|_| Some(Box::new(Holder(Duration::from_millis(100))))),
    },
    Case {
        name: "on the path: holds answers for 800 ms",
        attack: Attack::Path(|_| Some(Box::new(Holder(Duration::from_millis(800))))),
    },
    Case {
        name: "on the path: replays an old answer",
        attack: Attack::Replay,
    },
    Case {
        name: "off the path, blind: false time first",
        attack: Attack::Path(|protocol| {
            Some(forger(match protocol {
                Protocol::Ntp | Protocol::Nts => attackers::time_blind,
                Protocol::Tsq | Protocol::Roughtime => attackers::noise,
            }))
        }),
    },
    Case {
        name: "watching the path: false time first",
        attack: Attack::Path(|protocol| {
            Some(forger(match protocol {
                Protocol::Ntp | Protocol::Nts => attackers::time_seen,
                Protocol::Tsq => attackers::unreadable,
                Protocol::Roughtime => attackers::noise,
            }))
        }),
    },
    Case {
        name: "watching the path: forged refusal",
        attack: Attack::Path(|protocol| {
            Some(forger(match protocol {
                Protocol::Ntp | Protocol::Nts => attackers::ntp_refusal,
                Protocol::Tsq => attackers::other_versions,
                Protocol::Roughtime => return None,
            }))
        }),
    },
    Case {
        name: "watching the path: forged Retry",
        attack: Attack::Path(|protocol| {
            (protocol == Protocol::Tsq).then(|| forger(attackers::retry))
        }),
    },
    Case {
        name: "redirected to an impostor with keys of its own",
        attack: Attack::Impostor,
    },
    Case {
        name: "the certificate expired two days ago",
        attack: Attack::Expired,
    },
    Case {
        name: "the certificate is valid from tomorrow",
        attack: Attack::Premature,
    },
    Case {
        name: "the client's clock is a year behind",
        attack: Attack::YearBehind,
    },
    Case {
        name: "one of three servers lies",
        attack: Attack::Liars(1),
    },
    Case {
        name: "two of three servers lie",
        attack: Attack::Liars(2),
    },
];

fn forger(forge: fn(&[u8]) -> Option<Vec<u8>>) -> Box<dyn Attacker> {
    Box::new(Forger(forge))
}

/// One run under attack, and what a true one would have said.
pub(super) struct Attacked {
    pub(super) run: Result<Run, Error>,
    pub(super) truth: Truth,
}

impl Case {
    /// Whether certificates' dates matter here: then it makes a difference what a TSQ client believes by.
    pub(super) fn is_of_dates(&self) -> bool {
        matches!(
            self.attack,
            Attack::Expired | Attack::Premature | Attack::YearBehind
        )
    }

    /// Whether the client asks more than one server.
    pub(super) fn is_of_several(&self) -> bool {
        matches!(self.attack, Attack::Liars(_))
    }

    /// Where it depends on the order of the servers who is believed, once is not enough.
    pub(super) fn rounds(&self, rounds: u8) -> u8 {
        if self.is_of_several() { rounds } else { 1 }
    }

    /// Attacks one run of `client`; an attacker stands at `place`, which is an address nobody else has. None when the
    /// attack is nothing to this protocol.
    pub(super) fn attack(
        &self,
        client: &OneShot,
        by: Belief,
        field: &Field,
        place: Ipv4Addr,
        (round, patience): (usize, Duration),
    ) -> Option<Attacked> {
        let protocol = client.protocol;
        let certified = matches!(protocol, Protocol::Tsq | Protocol::Nts);
        let ask = |ends: Result<Vec<End>, String>, shift| {
            ends.map_err(Error::from)
                .and_then(|ends| client.run_within(patience, &ends, shift))
        };
        let one = |end: Result<End, String>| ask(end.map(|end| vec![end]), None);
        let run = match self.attack {
            Attack::Path(attacker) => {
                attacker(protocol)?;
                through(field.honest(protocol, by), place, true, move || {
                    attacker(protocol).unwrap_or_else(|| Box::new(Nobody))
                })
                .and_then(|path| ask(Ok(vec![path.end()]), None))
            }
            Attack::Wall => through(field.honest(protocol, by), place, false, || Box::new(Wall))
                .and_then(|path| ask(Ok(vec![path.end()]), None)),
            Attack::Replay => replay(client, field.honest(protocol, by), place, patience),
            Attack::Impostor => one(field.impostor(protocol, by)),
            Attack::Expired if certified => one(field.expired(protocol, by)),
            Attack::Premature if certified => one(field.premature(protocol, by)),
            Attack::Expired | Attack::Premature => return None,
            Attack::YearBehind => {
                let end = field.honest(protocol, by);
                ask(end.map(|end| vec![end]), Some(YEAR_BEHIND))
            }
            Attack::Liars(_) if client.most_servers < 3 => return None,
            Attack::Liars(lying) => ask(field.three(lying, protocol, round), None),
        };
        let truth = self.truth(protocol);
        Some(Attacked { run, truth })
    }

    fn truth(&self, protocol: Protocol) -> Truth {
        // A client of Roughtime names a time and no offset, and does not look at its clock.
        let coarse = protocol == Protocol::Roughtime;
        Truth {
            behind_us: match self.attack {
                Attack::YearBehind if !coarse => YEAR_US,
                _ => 0.0,
            },
            coarse,
        }
    }
}

const YEAR_BEHIND: &str = "-31536000s";
const YEAR_US: f64 = 31_536_000e6;

/// A server behind an attacker.
struct Attackable {
    end: End,
    _middle: Middle,
    _keys: Keys,
}

/// What becomes of NTS's key exchange.
enum Keys {
    None,
    Forwarded {
        _relay: TcpRelay,
    },
    /// Accepted by the kernel, and never answered.
    Swallowed {
        _listener: TcpListener,
    },
}

impl Attackable {
    fn end(&self) -> End {
        self.end.clone()
    }
}

fn through(
    end: Result<End, String>,
    place: Ipv4Addr,
    tcp: bool,
    attacker: impl Fn() -> Box<dyn Attacker> + Send + 'static,
) -> Result<Attackable, Error> {
    let end = end?;
    let here = SocketAddr::from((place, end.address.port()));
    let keys = SocketAddr::from((place, NTS_PORT));
    let keys = match (is_by_nts(&end), tcp) {
        (false, _) => Keys::None,
        (true, false) => Keys::Swallowed {
            _listener: TcpListener::bind(keys)?,
        },
        (true, true) => Keys::Forwarded {
            _relay: TcpRelay::start(
                keys,
                SocketAddr::new(end.address.ip(), NTS_PORT),
                Duration::ZERO,
                Duration::ZERO,
            )?,
        },
    };
    Ok(Attackable {
        _middle: Middle::start(here, end.address, attacker)?,
        _keys: keys,
        end: end.at(here),
    })
}

/// The second of two runs, with what the server answered in the first.
fn replay(
    client: &OneShot,
    end: Result<End, String>,
    place: Ipv4Addr,
    patience: Duration,
) -> Result<Run, Error> {
    let recorder = Recorder::default();
    let attacker = recorder.clone();
    let path = through(end, place, true, move || Box::new(attacker.clone()))?;
    client.run_within(patience, &[path.end()], None)?;
    recorder.replay();
    client.run_within(patience, &[path.end()], None)
}

fn is_by_nts(end: &End) -> bool {
    let nts = |trust: &Trust| matches!(trust, Trust::Authority { key_exchange, .. } if *key_exchange != 0);
    nts(&end.trust)
}
