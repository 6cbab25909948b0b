//! One source's exchanges, explained by a bank of models and mixed by how well each explains them.
//!
//! Nothing is carried over from one estimate to the next: each goes over the whole window again, so that it is a pure function
//! of the exchanges, cannot lock in on something wrong, and can be computed again from a log.

use super::change::{self, Change};
use super::estimate::Estimate;
use super::noise::{Noise, Scatter};
use super::state::{Covariance, Seen, State, Way};
use super::window::{Observation, Residual, Trend, detrend};

/// What one member of the bank takes the noise for.
struct Shape {
    /// Its wait: of the robust one, or of the spread.
    wait: Wait,
    /// The share of the variance that is Gaussian.
    soft: f64,
}

enum Wait {
    /// So many times what the middle half of the round trips shows, and a tail beside it.
    Core(f64),
    /// What their standard deviation shows, and no tail.
    Spread,
}

/// The shapes: enough to cover exponential, gamma, half-normal, normal, lognormal and Weibull waits, heavy tails and episodes.
const SHAPES: [Shape; 9] = [
    Shape {
        wait: Wait::Spread,
        soft: 0.0,
    },
    Shape {
        wait: Wait::Spread,
        soft: 0.05,
    },
    Shape {
        wait: Wait::Spread,
        soft: 0.3,
    },
    Shape {
        wait: Wait::Spread,
        soft: 1.0,
    },
    Shape {
        wait: Wait::Core(0.4),
        soft: 0.0,
    },
    Shape {
        wait: Wait::Core(0.4),
        soft: 0.15,
    },
    Shape {
        wait: Wait::Core(1.0),
        soft: 0.0,
    },
    Shape {
        wait: Wait::Core(1.0),
        soft: 0.05,
    },
    Shape {
        wait: Wait::Core(1.0),
        soft: 0.3,
    },
];

/// How far a frequency may walk in sqrt(s). None is wider than a crystal's: a wider one takes the first congestion for the clock.
const WANDERS: [f64; 4] = [1e-10, 7e-10, 5e-9, 3.2e-8];

/// What is known of a frequency before anything was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Prior {
    pub(crate) frequency: f64,
    pub(crate) deviation: f64,
}

impl Default for Prior {
    /// A good crystal's, around its nominal one.
    fn default() -> Self {
        Self {
            frequency: 0.0,
            deviation: 8e-6,
        }
    }
}

/// Some crystals are worse, as are kept frequencies after a change of hardware: so much, and so often as the logarithm says.
const ODD_CRYSTAL: f64 = 8e-5;
const ODD_CRYSTALS: f64 = -5.0;
/// After so many exchanges it does not matter any more which it is.
const YOUNG: usize = 40;

/// A noise in each direction and a wander.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    up: Noise,
    down: Noise,
    wander_squared: f64,
}

impl Model {
    /// Goes on to the next observation and takes in both halves of it.
    pub(crate) fn step(
        &self,
        state: &mut State,
        before: f64,
        observation: &Residual,
        wait: f64,
    ) -> [Seen; 2] {
        state.advance(observation.at - before, self.wander_squared);
        let [offset, frequency] = observation.rebase;
        state.offset += offset;
        state.frequency += frequency;
        if let Some(change) = observation.change {
            change.open(state, observation.at - before, wait);
        }
        [
            state.observe(Way::Up, observation.up, &self.up),
            state.observe(Way::Down, observation.down, &self.down),
        ]
    }
}

/// A model on its way through the window.
struct Run {
    model: Model,
    start: Start,
    state: State,
    before: f64,
    /// In natural logarithms, as of all exchanges so far.
    likelihood: f64,
    /// Without the exchanges among which a change is looked for.
    settled: f64,
}

impl Run {
    fn new(model: Model, start: Start, window: &[Residual]) -> Self {
        Self {
            model,
            start,
            state: start.state(),
            before: window.first().map_or(0.0, |first| first.at),
            likelihood: start.log_weight,
            settled: start.log_weight,
        }
    }

    /// Goes on over these.
    fn over(&mut self, window: &[Residual]) {
        for observation in window {
            let [up, down] =
                self.model
                    .step(&mut self.state, self.before, observation, self.start.wait);
            self.likelihood += up.likelihood + down.likelihood;
            self.before = observation.at;
        }
    }
}

/// Takes all of them over the window, and leaves those behind on the way that cannot come to anything.
fn explain(mut runs: Vec<Run>, window: &[Residual]) -> Vec<Run> {
    let recent = window.len().saturating_sub(change::RECENT);
    let (settled, recent) = window.split_at(recent);
    for stretch in settled.chunks(STRETCH) {
        runs.iter_mut().for_each(|run| run.over(stretch));
        let best = greatest(&runs, |run| run.likelihood).map_or(0.0, |(_, best)| best);
        runs.retain(|run| run.likelihood > best - HOPELESS);
    }
    for run in &mut runs {
        run.settled = run.likelihood;
        run.over(recent);
    }
    runs
}

/// Every so many exchanges models are left behind...
const STRETCH: usize = 24;
/// ...that are less likely than the best by so much, in natural logarithms: e^20 to one.
const HOPELESS: f64 = 20.0;

/// The belief starts at the quickest of the first exchanges: over a whole window the frequency may have walked farther than a wait.
const FIRST: usize = 8;

/// What is believed before the first observation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    offset: f64,
    frequency: f64,
    frequency_deviation: f64,
    delay: f64,
    deviation: f64,
    /// One direction's wait, in s.
    pub(crate) wait: f64,
    /// How much it is believed beside others, as a natural logarithm.
    log_weight: f64,
}

impl Start {
    fn new(window: &[Residual], trend: &Trend, scatter: &Scatter, prior: &Prior) -> Self {
        let quickest = window
            .iter()
            .take(FIRST)
            .min_by(|a, b| a.round_trip().total_cmp(&b.round_trip()));
        Self {
            offset: quickest.map_or(0.0, Residual::offset),
            frequency: prior.frequency - trend.frequency,
            frequency_deviation: prior.deviation,
            delay: scatter.least / 2.0,
            deviation: 5.0 * scatter.spread.max(scatter.core),
            wait: scatter.core.max(scatter.spread.min(scatter.core * 10.0)),
            log_weight: 0.0,
        }
    }

    /// The same with a worse crystal.
    fn odd(self) -> Self {
        Self {
            frequency_deviation: self.frequency_deviation.max(ODD_CRYSTAL),
            log_weight: ODD_CRYSTALS,
            ..self
        }
    }

    pub(crate) fn state(&self) -> State {
        State {
            offset: self.offset,
            frequency: self.frequency,
            delay: self.delay,
            covariance: Covariance {
                offset: self.deviation * self.deviation,
                offset_frequency: 0.0,
                offset_delay: 0.0,
                frequency: self.frequency_deviation * self.frequency_deviation,
                frequency_delay: 0.0,
                delay: 4.0 * self.wait * self.wait,
            },
        }
    }
}

/// What a window says.
pub(crate) struct Reading {
    pub(crate) estimate: Estimate,
    /// A change that explains the last exchanges better than no change, and at which of the window.
    pub(crate) change: Option<(usize, Change)>,
}

/// What the exchanges say; None of none, or where they were impossible.
pub(crate) fn read(window: &[Observation], prior: &Prior) -> Option<Reading> {
    let (rest, first_trend, trend) = detrend(window);
    rest.first()?;
    let since_path = rest
        .iter()
        .rposition(|one| one.change == Some(Change::Path))
        .filter(|from| rest.len() - from >= FIRST);
    let scatter = Scatter::of(&rest[since_path.unwrap_or(0)..]);
    let start = Start::new(&rest, &first_trend, &scatter, prior);
    let models = models(&scatter);
    let starts = [start, start.odd()];
    let starts = if rest.len() < YOUNG {
        &starts[..]
    } else {
        &starts[1..]
    };
    let all = starts
        .iter()
        .flat_map(|start| models.iter().map(|model| Run::new(*model, *start, &rest)));
    let runs = explain(all.collect(), &rest);
    let best = greatest(&runs, |run| run.likelihood)?;
    let mut believed = weighted(&runs, best.1);
    let sum = believed.iter().map(|one| one.weight).sum::<f64>();
    // A change makes models look good that are not: it is judged under the one that was best before.
    let (judge, _) = greatest(&runs, |run| run.settled)?;
    let Run { model, start, .. } = &runs[judge];
    let hypotheses = change::hypotheses(&rest, model, start);
    let handicap = runs[judge].likelihood - best.1;
    believed.extend(hypotheses.iter().map(|hypothesis| Believed {
        weight: libm::exp((handicap + hypothesis.odds).min(MOST_ODDS)),
        state: hypothesis.state,
        wander_squared: model.wander_squared,
    }));
    let settled = hypotheses
        .iter()
        .filter(|hypothesis| {
            handicap + hypothesis.odds > libm::log(sum) && hypothesis.is_settled(rest.len())
        })
        .max_by(|a, b| a.odds.total_cmp(&b.odds));
    Some(Reading {
        estimate: Estimate::mixed(&trend, &believed, &scatter)?,
        change: settled.map(|hypothesis| (hypothesis.from, hypothesis.kind)),
    })
}

/// Odds beyond this are certainty.
const MOST_ODDS: f64 = 600.0;

/// Which is first in this, and what it has of it.
fn greatest(runs: &[Run], of: impl Fn(&Run) -> f64) -> Option<(usize, f64)> {
    runs.iter()
        .map(of)
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(&b.1))
}

/// Their states, with weights relative to the best.
fn weighted(runs: &[Run], best: f64) -> Vec<Believed> {
    let believed = |run: &Run| Believed {
        weight: libm::exp(run.likelihood - best),
        state: run.state,
        wander_squared: run.model.wander_squared,
    };
    runs.iter().map(believed).collect()
}

/// A state, and how far it is believed beside others.
pub(crate) struct Believed {
    pub(crate) weight: f64,
    pub(crate) state: State,
    pub(crate) wander_squared: f64,
}

fn models(scatter: &Scatter) -> Vec<Model> {
    let mut models = Vec::with_capacity(SHAPES.len() * WANDERS.len());
    for shape in &SHAPES {
        let (wait, with_tail) = match shape.wait {
            Wait::Core(times) => (times * scatter.core, true),
            Wait::Spread => (scatter.spread, false),
        };
        let noise = |way: &super::noise::Direction| way.noise(wait, shape.soft, with_tail);
        let (up, down) = (noise(&scatter.up), noise(&scatter.down));
        models.extend(WANDERS.iter().map(|wander| Model {
            up,
            down,
            wander_squared: wander * wander,
        }));
    }
    models
}
