//! Requests and answers on their way.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tsq_net::{
    Batch, ClockPair, Departure, ErrorReport, SendOptions, Socket, Stamp, StampSource, Trouble,
    Unsent, wait,
};
use tsq_proto::Sample;

use crate::exchange::{Query, judge};
use crate::header::Header;
use crate::nts::Session;
use crate::nts::packet::Unique;
use crate::random::random;
use crate::{Failure, Refusal};

/// How answers are known to be the server's.
#[derive(Debug)]
pub enum Protocol {
    /// They are not.
    Ntp,
    /// By the keys of a session.
    Nts(Session),
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Samples wanted.
    pub samples: u16,
    /// When there must be an end.
    pub deadline: Instant,
}

/// A sample.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// The four timestamps and what follows from them.
    pub sample: Sample,
    /// Who read our clock for T1 and T4.
    pub timestamps: StampSource,
}

/// What came of asking.
#[derive(Debug)]
pub struct Answers {
    /// One for each answer, in the order of arrival.
    pub results: Vec<Result<Measured, Refusal>>,
    /// Requests sent, repeated ones included.
    pub sent: u32,
}

/// Asks the server at `address`, one request after the other, each repeated until it is answered.
///
/// A packet that anybody could have sent ends no request: the right answer may still come. A kiss of death ends all, and
/// so does an error that does not pass ([`Trouble`]).
///
/// # Errors
/// [`Failure`] when there is no usable sample.
pub fn measure(
    address: SocketAddr,
    protocol: &mut Protocol,
    limits: Limits,
) -> Result<Answers, Failure> {
    let of_io = |error: io::Error| Failure::of_udp(address, &error);
    let mut asker = Asker {
        socket: Socket::connect(address).map_err(of_io)?,
        address,
        batch: Batch::new(),
        answers: Answers {
            results: Vec::new(),
            sent: 0,
        },
        patience: FIRST_PATIENCE,
        unsent: Unsent::default(),
        no_path: None,
    };
    let outcome = asker.ask_all(protocol, limits);
    let Answers { results, .. } = &asker.answers;
    if results.iter().any(Result::is_ok) {
        return Ok(asker.answers);
    }
    match (results.last(), outcome) {
        (Some(Err(why)), _) => Err(Failure::Refused {
            answers: results.len(),
            why: why.clone(),
        }),
        (_, Err(error)) => Err(of_io(error)),
        _ => Err(asker.no_path.map_or_else(
            || Failure::Silent {
                address,
                over: "UDP",
                unsent: asker.unsent.clause(),
            },
            of_io,
        )),
    }
}

struct Asker {
    socket: Socket,
    address: SocketAddr,
    batch: Batch,
    answers: Answers,
    patience: Duration,
    /// What this host did not send.
    unsent: Unsent,
    /// What was last said against the path.
    no_path: Option<io::Error>,
}

/// A request on its way.
struct Waiting {
    query: Query,
    unique: Option<Unique>,
    departure: Departure,
    t1: Stamp,
    clocks: ClockPair,
}

/// What became of sending a request.
enum Sent {
    Waiting(Box<Waiting>),
    /// Not sent, for a reason that may pass.
    Lost,
    /// There is nothing left to ask with.
    NoCookie,
}

impl Asker {
    fn ask_all(&mut self, protocol: &mut Protocol, limits: Limits) -> io::Result<()> {
        let mut samples = 0;
        while samples < limits.samples && Instant::now() < limits.deadline {
            let until = (Instant::now() + self.patience).min(limits.deadline);
            let answer = match self.send(protocol)? {
                Sent::Waiting(waiting) => self.answer(*waiting, protocol, until)?,
                Sent::Lost => {
                    std::thread::sleep(until.saturating_duration_since(Instant::now()));
                    None
                }
                Sent::NoCookie => return Ok(()),
            };
            match answer {
                Some(Ok(measured)) => {
                    let seen = measured.sample.delay * 2 + Duration::from_millis(20);
                    self.patience = seen.clamp(LEAST_PATIENCE, MOST_PATIENCE);
                    self.answers.results.push(Ok(measured));
                    samples += 1;
                }
                Some(Err(refusal)) => {
                    self.answers.results.push(Err(refusal.clone()));
                    if !matches!(refusal, Refusal::Times(_)) {
                        return Ok(());
                    }
                    samples += 1;
                }
                None => self.patience = (self.patience * 2).min(MOST_PATIENCE),
            }
        }
        Ok(())
    }

    fn send(&mut self, protocol: &mut Protocol) -> io::Result<Sent> {
        let query = Query::new(u64::from_be_bytes(random()?));
        let (packet, unique) = match protocol {
            Protocol::Ntp => (query.request().to_vec(), None),
            Protocol::Nts(session) => match session.protect(&query)? {
                Some((packet, unique)) => (packet, Some(unique)),
                None => return Ok(Sent::NoCookie),
            },
        };
        let options = SendOptions {
            local_ip: None,
            report_departure: true,
        };
        let departure = match self.socket.send(self.address, &packet, options) {
            Ok(departure) => departure,
            Err(error) => return self.forgive(error).map(|()| Sent::Lost),
        };
        self.answers.sent += 1;
        Ok(Sent::Waiting(Box::new(Waiting {
            query,
            unique,
            departure,
            t1: Stamp::user(departure.before),
            clocks: ClockPair::read(),
        })))
    }

    /// What passes costs a packet. Once something was heard, nothing that anybody can forge ends anything.
    fn forgive(&mut self, error: io::Error) -> io::Result<()> {
        match Trouble::of(&error) {
            Trouble::Passing => self.unsent.note(&error),
            Trouble::NoPath => self.no_path = Some(error),
            Trouble::Refused if !self.answers.results.is_empty() => {}
            Trouble::Refused | Trouble::TooLong | Trouble::Final => return Err(error),
        }
        Ok(())
    }

    /// The answer, or why the one that came is none; None if there is none until then.
    fn answer(
        &mut self,
        mut waiting: Waiting,
        protocol: &mut Protocol,
        until: Instant,
    ) -> io::Result<Option<Result<Measured, Refusal>>> {
        let mut doubtful = None;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(doubtful.map(Err));
            }
            wait(&[&self.socket], None, Some(left))?;
            self.take_departures(&mut waiting)?;
            let count = match self.socket.receive(&mut self.batch) {
                Ok(count) => count,
                Err(error) => self.forgive(error).map(|()| 0)?,
            };
            for index in 0..count {
                let Some(packet) = self.batch.packet(index) else {
                    continue;
                };
                match conclude(&waiting, protocol, packet.bytes, packet.stamp) {
                    Err(refusal) if refusal.may_be_forged() => doubtful = Some(refusal),
                    result => return Ok(Some(result)),
                }
            }
        }
    }

    fn take_departures(&mut self, waiting: &mut Waiting) -> io::Result<()> {
        while let Some(report) = self.socket.departures()? {
            match report {
                ErrorReport::Departed { id, at } if waiting.departure.id == Some(id) => {
                    waiting.t1 = self.socket.departure_stamp(&waiting.departure, Some(at));
                }
                ErrorReport::Departed { .. } => {}
                ErrorReport::Unreachable { errno } => {
                    self.forgive(io::Error::from_raw_os_error(errno))?;
                }
            }
        }
        Ok(())
    }
}

fn conclude(
    waiting: &Waiting,
    protocol: &mut Protocol,
    packet: &[u8],
    t4: Stamp,
) -> Result<Measured, Refusal> {
    let header = recognise(waiting, protocol, packet)?;
    if let Some(by) = ClockPair::read().stepped_since(&waiting.clocks) {
        return Err(Refusal::Times(tsq_proto::Refusal::ClockStepped { by }));
    }
    let sample = judge(&header, waiting.t1.time, t4.time)?;
    let both_kernel = [waiting.t1.source, t4.source] == [StampSource::Kernel; 2];
    Ok(Measured {
        sample,
        timestamps: if both_kernel {
            StampSource::Kernel
        } else {
            StampSource::User
        },
    })
}

fn recognise(waiting: &Waiting, protocol: &mut Protocol, packet: &[u8]) -> Result<Header, Refusal> {
    match (protocol, &waiting.unique) {
        (Protocol::Nts(session), Some(unique)) => session.open(&waiting.query, unique, packet),
        (Protocol::Nts(_), None) => Err(Refusal::NotAuthenticated),
        (Protocol::Ntp, _) => waiting.query.recognise(packet),
    }
}

/// Before anything is known of the path.
const FIRST_PATIENCE: Duration = Duration::from_millis(300);
const LEAST_PATIENCE: Duration = Duration::from_millis(50);
const MOST_PATIENCE: Duration = Duration::from_secs(1);
