//! Runs a scenario under one seed: true time goes on from event to event, and the daemon's core is told what it would see.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::time::Duration;

use tsq_algo::Rules;
use tsq_algo::discipline::{
    Action, Keeper, Kept as Known, PollRange, Rate, ServerClock, Settings, SourceSettings, Stamps,
    StepRule,
};
use tsq_proto::{HostTime, Monotonic};

use crate::clock::{BadFrequency, Free, Kept, Moment, SECOND, seconds, span};
use crate::expression::{Instance, Names};
use crate::metrics::{Metric, Sample, Span, Value, Values, bound_broken, of_clock};
use crate::scenario::{Scenario, What};

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Of every whole second at which the client was awake.
    pub samples: Vec<Sample>,
    /// How well the clock was kept.
    pub values: Values,
}

/// A clock cannot run like that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunError {
    /// The seed.
    pub seed: u64,
    /// When, s.
    pub at: u64,
    /// The frequency error.
    pub frequency: f64,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            at,
            frequency,
        } = self;
        write!(
            f,
            "seed {seed}: a clock's `freq` is {frequency} at {at} s; it must be between -0.5 and 0.5"
        )
    }
}

impl std::error::Error for RunError {}

/// Runs the scenario under this seed.
///
/// # Errors
/// [`RunError`] where an expression gives a frequency that no clock can have.
pub fn run(scenario: &Scenario, seed: u64) -> Result<Outcome, RunError> {
    let mut second = 0;
    let bad = |at, BadFrequency(frequency)| RunError {
        seed,
        at,
        frequency,
    };
    let mut world = World::new(scenario, seed).map_err(|frequency| bad(0, frequency))?;
    world.start_second(0);
    loop {
        let next = (second + 1) * SECOND;
        match world.next_event() {
            Some(at) if at < next => world.handle_next(at),
            _ if second + 1 > scenario.duration => break,
            _ => {
                second += 1;
                world
                    .second(next)
                    .map_err(|frequency| bad(second, frequency))?;
                world.start_second(second);
            }
        }
    }
    let span = Span {
        measure_from: scenario.measure_from,
        duration: scenario.duration,
        mark: scenario.mark,
    };
    let mut values = of_clock(&world.samples, &span);
    values.extend(world.counted());
    values.sort_by_key(|(metric, _)| *metric);
    Ok(Outcome {
        seed,
        samples: world.samples,
        values: Values(values),
    })
}

/// What happens at a moment, in the order it was planned.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Planned {
    at: Moment,
    order: u64,
    what: Due,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Start {
        keep_state: bool,
    },
    /// A request comes to its server.
    Request(Request),
    /// Its answer comes back.
    Answer(Request, HostTime),
    /// It was waited for long enough.
    GiveUp(Request),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    /// Which daemon sent it, and which of its requests it is.
    daemon: u64,
    number: u64,
    server: usize,
    left: Monotonic,
}

/// An answer that takes longer is waited for no more, s.
const PATIENCE: Moment = 3 * SECOND;
/// What the packets of TSQ look like to an expression: UDP port and length.
const PORT: f64 = 443.0;
const LENGTH: f64 = 100.0;

struct World<'a> {
    scenario: &'a Scenario,
    servers: Vec<Node>,
    client: Kept,
    daemon: Option<Daemon>,
    daemons: u64,
    known: Option<Known>,
    rate: Rate,
    uses: Vec<usize>,
    planned: BinaryHeap<Reverse<Planned>>,
    orders: u64,
    event: usize,
    now: Moment,
    sleeps_until: Option<(u64, f64)>,
    samples: Vec<Sample>,
    requests: u64,
    steps: u64,
    false_selected: bool,
}

struct Node {
    clock: Free,
    up: Instance,
    down: Instance,
    start: Moment,
    /// Packets to and from it are lost until then.
    dark_until: Moment,
    falseticker_from: Option<Moment>,
}

struct Daemon {
    keeper: Keeper,
    number: u64,
    /// Whose answer each source waits for.
    waiting: Vec<Option<u64>>,
    requests: u64,
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, seed: u64) -> Result<Self, BadFrequency> {
        let node = |(index, server): (usize, &crate::scenario::Server)| {
            let owner = |part: u64| (index as u64 + 1) * 4 + part;
            Ok(Node {
                clock: Free::new(&server.clock, seed, owner(0))?,
                up: Instance::new(&server.up, seed, owner(1)),
                down: Instance::new(&server.down, seed, owner(2)),
                start: span(server.start).unwrap_or(Moment::MAX),
                dark_until: 0,
                falseticker_from: server.falseticker_from.and_then(span),
            })
        };
        let mut world = Self {
            scenario,
            servers: scenario
                .servers
                .iter()
                .enumerate()
                .map(node)
                .collect::<Result<_, _>>()?,
            client: Kept::new(&scenario.client.clock, seed, 0)?,
            daemon: None,
            daemons: 0,
            known: None,
            rate: Rate::default(),
            uses: scenario.client.uses.clone(),
            planned: BinaryHeap::new(),
            orders: 0,
            event: 0,
            now: 0,
            sleeps_until: None,
            samples: Vec::new(),
            requests: 0,
            steps: 0,
            false_selected: false,
        };
        let start = span(scenario.client.start).unwrap_or(Moment::MAX);
        world.plan(start, Due::Start { keep_state: false });
        Ok(world)
    }

    fn plan(&mut self, at: Moment, what: Due) {
        self.orders += 1;
        let order = self.orders;
        self.planned.push(Reverse(Planned { at, order, what }));
    }

    /// When something happens next; nothing does on a client that sleeps, but packets travel.
    fn next_event(&self) -> Option<Moment> {
        let planned = self.planned.peek().map(|Reverse(planned)| planned.at);
        let timeout = self.daemon_timeout();
        planned.into_iter().chain(timeout).min()
    }

    fn daemon_timeout(&self) -> Option<Moment> {
        if self.sleeps_until.is_some() {
            return None;
        }
        let keeper = &self.daemon.as_ref()?.keeper;
        let raw = keeper.poll_timeout(&self.client.now(self.now))?;
        Some(self.client.when(raw, self.now))
    }

    fn handle_next(&mut self, at: Moment) {
        self.now = at;
        match self.planned.peek() {
            Some(Reverse(planned)) if planned.at <= at => {
                if let Some(Reverse(planned)) = self.planned.pop() {
                    self.handle(&planned.what);
                }
            }
            _ => self.tell(Keeper::handle_timeout),
        }
    }

    fn handle(&mut self, due: &Due) {
        match *due {
            Due::Start { keep_state } => self.start(keep_state),
            Due::Request(request) => self.arrives_at_server(request),
            Due::Answer(request, at_server) => self.arrives_at_client(request, at_server),
            Due::GiveUp(request) => self.give_up(request),
        }
    }

    fn start(&mut self, keep_state: bool) {
        if let Some((until, _)) = self.sleeps_until {
            return self.plan(until * SECOND, Due::Start { keep_state });
        }
        let client = &self.scenario.client;
        let settings = Settings {
            rules: Rules::default(),
            step: StepRule {
                above: Duration::from_secs_f64(client.step_above),
                updates: client.step_updates,
            },
            max_slew_ppm: client.max_slew_ppm,
            ..Settings::default()
        };
        let sources = self.uses.iter().map(|_| self.source()).collect();
        let known = if keep_state { self.known } else { None };
        let now = self.client.now(self.now);
        self.daemons += 1;
        self.daemon = Some(Daemon {
            keeper: Keeper::new(settings, sources, self.rate.frequency, known, &now),
            number: self.daemons,
            waiting: vec![None; self.uses.len()],
            requests: 0,
        });
    }

    fn source(&self) -> SourceSettings {
        SourceSettings {
            poll: self
                .scenario
                .poll
                .map_or_else(PollRange::default, |(min, max)| PollRange { min, max }),
            authenticated: true,
            ..SourceSettings::default()
        }
    }

    /// Calls the daemon, if there is one that is awake, and does what it wants.
    fn tell(&mut self, call: impl FnOnce(&mut Keeper, &tsq_algo::discipline::Now)) {
        if self.sleeps_until.is_some() {
            return;
        }
        let now = self.client.now(self.now);
        let Some(daemon) = &mut self.daemon else {
            return;
        };
        call(&mut daemon.keeper, &now);
        while let Some(action) = self
            .daemon
            .as_mut()
            .and_then(|daemon| daemon.keeper.poll_action())
        {
            match action {
                Action::Ask { source } => self.ask(source),
                Action::Run { rate, .. } => self.set_rate(rate),
                Action::Step { by } => {
                    self.steps += 1;
                    self.client.step(by.as_nanos() as f64 / 1e9, self.now);
                }
                _ => {}
            }
        }
        self.look_at_selection();
    }

    fn set_rate(&mut self, rate: Rate) {
        self.rate = rate;
        self.client.run(rate, self.now);
    }

    fn look_at_selection(&mut self) {
        let Some(daemon) = &self.daemon else {
            return;
        };
        let weights = daemon.keeper.weights().enumerate();
        let Some((source, weight)) = weights.max_by(|a, b| a.1.total_cmp(&b.1)) else {
            return;
        };
        let server = self
            .uses
            .get(source)
            .and_then(|&server| self.servers.get(server));
        let lies = server
            .and_then(|server| server.falseticker_from)
            .is_some_and(|from| from <= self.now);
        self.false_selected |= weight > 0.0 && lies;
    }

    fn ask(&mut self, source: usize) {
        let left = self.client.now(self.now).raw;
        let (Some(&server), Some(daemon)) = (self.uses.get(source), &mut self.daemon) else {
            return;
        };
        daemon.requests += 1;
        let request = Request {
            daemon: daemon.number,
            number: daemon.requests,
            server,
            left,
        };
        if let Some(waiting) = daemon.waiting.get_mut(source) {
            *waiting = Some(request.number);
        }
        let measured = self.scenario.measure_from * SECOND..self.scenario.duration * SECOND;
        self.requests += u64::from(measured.contains(&self.now));
        self.plan(self.now + PATIENCE, Due::GiveUp(request));
        let names = self.names(self.servers.len() as f64 + 1.0, server as f64 + 1.0);
        let now = self.now;
        let node = &mut self.servers[server];
        let delay = node.up.evaluate(&names);
        if let Some(arrives) = arrival(delay, now, node) {
            self.plan(arrives, Due::Request(request));
        }
    }

    fn names(&self, from: f64, to: f64) -> Names {
        Names {
            time: seconds(self.now),
            from,
            to,
            port: PORT,
            length: LENGTH,
        }
    }

    fn arrives_at_server(&mut self, request: Request) {
        let names = self.names(request.server as f64 + 1.0, self.servers.len() as f64 + 1.0);
        let now = self.now;
        let node = &mut self.servers[request.server];
        if now < node.start {
            return;
        }
        let shown = node.clock.read(now);
        let delay = node.down.evaluate(&names);
        if let Some(arrives) = arrival(delay, now, node) {
            self.plan(arrives, Due::Answer(request, shown));
        }
    }

    fn arrives_at_client(&mut self, request: Request, at_server: HostTime) {
        if self.sleeps_until.is_some() {
            return;
        }
        let Some(source) = self.takes(&request) else {
            return;
        };
        let stamps = Stamps {
            left: request.left,
            received: at_server,
            sent: at_server,
            came: self.client.now(self.now).raw,
        };
        let clock = ServerClock {
            synchronised: true,
            error: Some(Duration::ZERO),
            smear: None,
        };
        self.tell(|keeper, now| keeper.answered(source, &stamps, clock, now));
    }

    fn give_up(&mut self, request: Request) {
        if let Some((until, _)) = self.sleeps_until {
            return self.plan(until * SECOND, Due::GiveUp(request));
        }
        if let Some(source) = self.takes(&request) {
            self.tell(|keeper, now| keeper.lost(source, now));
        }
    }

    /// Which source waits for it; it does not any more.
    fn takes(&mut self, request: &Request) -> Option<usize> {
        let source = self
            .uses
            .iter()
            .position(|&server| server == request.server)?;
        let daemon = self
            .daemon
            .as_mut()
            .filter(|daemon| daemon.number == request.daemon)?;
        let waiting = daemon.waiting.get_mut(source)?;
        if *waiting != Some(request.number) {
            return None;
        }
        *waiting = None;
        Some(source)
    }

    /// A whole second: frequencies, then events, then the sample.
    fn second(&mut self, now: Moment) -> Result<(), BadFrequency> {
        self.now = now;
        self.client.second(now)?;
        self.servers
            .iter_mut()
            .try_for_each(|server| server.clock.second(now))
    }

    fn start_second(&mut self, second: u64) {
        let mut woke = false;
        if let Some((until, gained)) = self.sleeps_until
            && until == second
        {
            self.sleeps_until = None;
            self.client.resume(gained, self.now);
            woke = true;
        }
        let scenario = self.scenario;
        while let Some(event) = scenario
            .events
            .get(self.event)
            .filter(|event| event.at == second)
        {
            self.event += 1;
            self.happens(&event.what);
        }
        if self.sleeps_until.is_none() {
            let now = self.client.now(self.now);
            let bound = self
                .daemon
                .as_ref()
                .and_then(|daemon| daemon.keeper.bound(&now));
            self.samples.push(Sample {
                at: second,
                error: self.client.error(self.now),
                frequency: self.client.frequency(),
                bound: bound.map(|bound| bound.as_secs_f64()),
            });
        }
        self.look_at_selection();
        if woke {
            self.tell(Keeper::handle_timeout);
        }
    }

    fn happens(&mut self, what: &What) {
        match what {
            What::Step { by, servers: None } => self.client.step(*by, self.now),
            What::Step {
                by,
                servers: Some(servers),
            } => {
                for &server in servers {
                    self.servers[server].clock.step(*by);
                }
            }
            What::Outage { until, servers } => {
                for &server in servers {
                    let dark = &mut self.servers[server].dark_until;
                    *dark = (*dark).max(until * SECOND);
                }
            }
            What::Suspend { until, rtc_error } => {
                if self.sleeps_until.is_none() {
                    self.sleeps_until = Some((*until, *rtc_error));
                    self.client.suspend(self.now);
                }
            }
            What::Restart { down, keep_state } => self.restart(*down, *keep_state),
            What::Servers { uses } => self.change_servers(uses),
        }
    }

    fn restart(&mut self, down: f64, keep_state: bool) {
        if let Some(daemon) = self.daemon.take() {
            let now = self.client.now(self.now);
            self.known = daemon.keeper.kept(&now).or(self.known);
            let rate = daemon.keeper.rate();
            self.set_rate(Rate { slew: 0.0, ..rate });
        }
        let again = self.now.saturating_add(span(down).unwrap_or(Moment::MAX));
        self.plan(again, Due::Start { keep_state });
    }

    fn change_servers(&mut self, uses: &[usize]) {
        let before = std::mem::replace(&mut self.uses, uses.to_vec());
        let place = |server: &usize| before.iter().position(|old| old == server);
        let kept: Vec<Option<usize>> = uses.iter().map(place).collect();
        let sources = kept.iter().map(|&kept| (kept, self.source())).collect();
        if let Some(daemon) = &mut self.daemon {
            daemon.waiting = kept.iter().map(|kept| daemon.waiting[(*kept)?]).collect();
        }
        self.tell(|keeper, now| keeper.set_sources(sources, now));
    }

    fn counted(&self) -> Vec<(Metric, Value)> {
        let hours = (self.scenario.duration - self.scenario.measure_from) as f64 / 3600.0;
        let mut counted = vec![
            (Metric::RequestsPerHour, Some(self.requests as f64 / hours)),
            (Metric::Steps, Some(self.steps as f64)),
        ];
        if self
            .servers
            .iter()
            .any(|server| server.falseticker_from.is_some())
        {
            counted.push((
                Metric::FalseSelected,
                Some(f64::from(u8::from(self.false_selected))),
            ));
        }
        if let Some(broken) = bound_broken(&self.samples) {
            counted.push((Metric::BoundBroken, Some(broken)));
        }
        counted
    }
}

/// When a packet with this delay comes; never, if it is lost.
fn arrival(delay: f64, now: Moment, node: &Node) -> Option<Moment> {
    if now < node.dark_until || delay <= 0.0 {
        return None;
    }
    now.checked_add(span(delay)?.max(1))
}
