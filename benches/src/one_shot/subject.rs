//! One program, its runs, and what they gave.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::library::Library;
use crate::peers::{Answer, End, OneShot, Protocol, Tools, one_shots};
use crate::tap::{self, Tap};

/// A program, or our library in this process.
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) ours: bool,
    pub(super) protocol: Protocol,
    kind: Kind,
}

enum Kind {
    Program(OneShot),
    Library(Library),
}

impl Subject {
    /// Whether it is a program and not our library, which needs no start.
    pub(super) fn is_program(&self) -> bool {
        matches!(self.kind, Kind::Program(_))
    }

    /// All there are.
    pub(super) fn all(tools: &Tools) -> Vec<Self> {
        let program = |client: OneShot| Self {
            name: client.name.clone(),
            ours: client.ours,
            protocol: client.protocol,
            kind: Kind::Program(client),
        };
        let library = |library: Library| Self {
            name: library.name.into(),
            ours: true,
            protocol: Protocol::Tsq,
            kind: Kind::Library(library),
        };
        let (ours, theirs): (Vec<_>, Vec<_>) =
            one_shots(tools).into_iter().partition(|client| client.ours);
        let ours = ours.into_iter().map(program);
        ours.chain(Library::both().map(library))
            .chain(theirs.into_iter().flat_map(|client| {
                let later = client.with_memory();
                [Some(client), later].into_iter().flatten().map(program)
            }))
            .collect()
    }

    /// Whether it takes seconds.
    pub(super) fn is_slow(&self) -> bool {
        matches!(&self.kind, Kind::Program(client) if client.usual >= Duration::from_secs(2))
    }

    /// Whether it can be shown another clock: our own process cannot.
    pub(super) fn can_be_shifted(&self) -> bool {
        matches!(self.kind, Kind::Program(_)) && !self.is_slow()
    }

    /// Runs it once; in the first round its packets are counted.
    ///
    /// # Errors
    /// It cannot run; why.
    pub(super) fn take(
        &mut self,
        server: &End,
        shift: Option<&str>,
        round: u16,
        round_trip: Duration,
    ) -> Result<Once, String> {
        let text = |error: crate::Error| error.to_string();
        if let (Some(_), Kind::Program(client)) = (shift, &self.kind)
            && !client.reads_the_clock()
        {
            return Err("not measured: its timestamps are the kernel's, which are right".into());
        }
        match &mut self.kind {
            Kind::Library(library) => library.prepare(server).map_err(text)?,
            // Leaves what it keeps for later runs.
            Kind::Program(client) if client.has_memory() && round == 0 => {
                client
                    .run(std::slice::from_ref(server), shift)
                    .map_err(text)?;
            }
            Kind::Program(_) => {}
        }
        let tap = match (round, server.address.ip()) {
            (0, IpAddr::V4(ip)) => Some(Tap::start(ip).map_err(text)?),
            _ => None,
        };
        let begun = Instant::now();
        let mut once = self.run(server, shift)?;
        once.is_timed = round > 0 || self.is_slow();
        if let Some(tap) = tap {
            // Our library is done before it has said goodbye; the rest, when it ends.
            let end = match self.kind {
                Kind::Library(_) => begun + once.wall,
                Kind::Program(_) => Instant::now(),
            };
            // The tap may hear of the last answer a little later than who waited for it.
            let end = end + round_trip / 4;
            // What is still on its way.
            std::thread::sleep(2 * round_trip);
            let packets = tap.stop();
            once.counts = Some(Counts {
                round_trips: tap::round_trips(&packets, end, round_trip),
                packets: u32::try_from(packets.len()).unwrap_or(u32::MAX),
                bytes: tap::bytes(&packets),
            });
        }
        Ok(once)
    }

    fn run(&mut self, server: &End, shift: Option<&str>) -> Result<Once, String> {
        match &mut self.kind {
            Kind::Program(client) => {
                let run = client.run(std::slice::from_ref(server), shift);
                let run = run.map_err(|error| error.to_string())?;
                let finished = run.finished;
                // Standard output is for programs.
                let words = match finished.stderr.trim() {
                    "" => finished.stdout,
                    _ => finished.stderr,
                };
                Ok(Once {
                    wall: finished.wall,
                    cpu: Some(finished.cpu),
                    answer: run.answer,
                    refusal: run.answer.is_none().then(|| refusal(finished.code, &words)),
                    ..Once::default()
                })
            }
            Kind::Library(library) => {
                let wall = library.run(server).map_err(|error| error.to_string())?;
                Ok(Once {
                    wall,
                    answer: Some(Answer {
                        offset_us: None,
                        bound_us: None,
                    }),
                    ..Once::default()
                })
            }
        }
    }
}

/// What one run gave.
#[derive(Debug, Default)]
pub(super) struct Once {
    wall: Duration,
    cpu: Option<Duration>,
    answer: Option<Answer>,
    /// Why there is no answer.
    refusal: Option<String>,
    is_timed: bool,
    counts: Option<Counts>,
}

/// What went over the wire.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    pub(super) round_trips: u32,
    pub(super) packets: u32,
    pub(super) bytes: u32,
}

/// What all runs gave.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) wall_ms: Vec<f64>,
    pub(super) cpu_ms: Vec<f64>,
    pub(super) counts: Option<Counts>,
    /// Why it cannot run.
    pub(super) failure: Option<String>,
    runs: u32,
    answers: u32,
    last: Option<Answer>,
    refusal: Option<String>,
}

impl Taken {
    pub(super) fn add(&mut self, once: Once) {
        self.runs += 1;
        self.counts = once.counts.or(self.counts.take());
        self.refusal = once.refusal.or(self.refusal.take());
        let Some(answer) = once.answer else {
            return;
        };
        self.answers += 1;
        self.last = Some(answer);
        if once.is_timed {
            self.wall_ms.push(once.wall.as_secs_f64() * 1e3);
            self.cpu_ms
                .extend(once.cpu.map(|cpu| cpu.as_secs_f64() * 1e3));
        }
    }

    /// In words; with what it found where its clock was wrong.
    pub(super) fn outcome(&self, protocol: Protocol, is_shifted: bool) -> String {
        if let Some(failure) = &self.failure {
            return failure.clone();
        }
        match (self.last, &self.refusal) {
            (None, Some(refusal)) => refusal.clone(),
            (None, None) => "not run: it takes seconds".into(),
            (Some(_), _) if is_shifted && protocol == Protocol::Roughtime => {
                "names the true time".into()
            }
            (Some(answer), _) if is_shifted => found(answer),
            (Some(_), _) => format!("{} of {} answered", self.answers, self.runs),
        }
    }
}

/// The exit code and the last line a program wrote, shortened.
fn refusal(code: Option<i32>, words: &str) -> String {
    if let (Some(code), Some(days)) = (code, days_told(words)) {
        return format!("finds the clock {days:.3} days off and refuses to act, exit code {code}");
    }
    let lines = || words.lines().filter(|line| !line.trim().is_empty());
    let tells_why = |line: &&str| WHY.iter().any(|word| line.contains(word));
    let line = lines().rfind(tells_why).or_else(|| lines().next_back());
    let line = line.unwrap_or("not a word").trim();
    let line: String = without_time(line).chars().take(240).collect();
    match code {
        Some(code) => format!("no time, exit code {code}: {line}"),
        None => format!("no time, ended by a signal: {line}"),
    }
}

/// A line of a log without the time of day before it.
fn without_time(line: &str) -> &str {
    match line.split_once(' ') {
        Some((word, rest)) if word.starts_with("20") && word.ends_with('Z') => rest,
        _ => line,
    }
}

/// How far off the clock is by the JSON of tsq-adjtime.
fn days_told(words: &str) -> Option<f64> {
    let json: Value = serde_json::from_str(words.lines().next()?).ok()?;
    Some(json["offset_ns"].as_f64()? / 86_400e9)
}

/// In lines that say why, unlike "exiting".
const WHY: [&str; 4] = ["failed", "rror", "refus", "not "];

fn found(answer: Answer) -> String {
    let days = |micros: f64| micros / 86_400e6;
    match answer.offset_us {
        Some(offset) if days(offset).abs() >= 1.0 => {
            format!("finds the clock {:.3} days off", days(offset))
        }
        Some(offset) => format!(
            "says {:.3} s: takes the wrong clock for right",
            offset / 1e6
        ),
        None => "takes the wrong clock for right".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(wall_ms: u64, is_timed: bool) -> Once {
        Once {
            wall: Duration::from_millis(wall_ms),
            answer: Some(Answer {
                offset_us: Some(365.0 * 86_400e6),
                bound_us: None,
            }),
            is_timed,
            ..Once::default()
        }
    }

    #[test]
    fn only_answered_and_timed_runs_are_figures() {
        let mut taken = Taken::default();
        taken.add(answered(1, false));
        taken.add(answered(2, true));
        taken.add(Once {
            refusal: Some(refusal(Some(4), "first\nlast\n")),
            is_timed: true,
            ..Once::default()
        });
        assert_eq!(taken.wall_ms, [2.0]);
        assert_eq!(taken.outcome(Protocol::Ntp, false), "2 of 3 answered");
        assert_eq!(
            taken.outcome(Protocol::Ntp, true),
            "finds the clock 365.000 days off"
        );
    }

    #[test]
    fn program_that_never_answers_says_why() {
        let mut taken = Taken::default();
        taken.add(Once {
            refusal: Some(refusal(Some(4), "first\nlast\n")),
            ..Once::default()
        });
        assert_eq!(
            taken.outcome(Protocol::Ntp, false),
            "no time, exit code 4: last"
        );
        assert_eq!(
            refusal(
                Some(5),
                "{\"offset_ns\":31536000000046174}\npast the limit\n"
            ),
            "finds the clock 365.000 days off and refuses to act, exit code 5"
        );
        let line = refusal(Some(1), "2025-11-21T20:57:57Z TLS handshake failed");
        assert_eq!(line, "no time, exit code 1: TLS handshake failed");
        taken.failure = Some("not installed".into());
        assert_eq!(taken.outcome(Protocol::Ntp, false), "not installed");
        assert_eq!(
            Taken::default().outcome(Protocol::Ntp, true),
            "not run: it takes seconds"
        );
    }
}
