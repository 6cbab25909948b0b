//! One source's exchanges, explained by a bank of models and mixed by how well each explains them.
//!
//! Nothing is carried over from one estimate to the next: each goes over the whole window again, so that it is a pure function
//! of the exchanges, cannot lock in on something wrong, and can be computed again from a log.

use super::change::Change;
use super::estimate::{Believed, Estimate};
use super::hypotheses;
use super::model::{FIRST, Model, Prior, Start};
use super::noise::{Direction, Scatter};
use super::state::State;
use super::window::{Observation, Residual, detrend};

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

/// After so many exchanges it does not matter any more which it is.
const YOUNG: usize = 40;

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
    let recent = window.len().saturating_sub(hypotheses::RECENT);
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
    let hypotheses = hypotheses::hypotheses(&rest, model, start);
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

fn models(scatter: &Scatter) -> Vec<Model> {
    let mut models = Vec::with_capacity(SHAPES.len() * WANDERS.len());
    for shape in &SHAPES {
        let (wait, with_tail) = match shape.wait {
            Wait::Core(times) => (times * scatter.core, true),
            Wait::Spread => (scatter.spread, false),
        };
        let noise = |way: &Direction| way.noise(wait, shape.soft, with_tail);
        let (up, down) = (noise(&scatter.up), noise(&scatter.down));
        models.extend(WANDERS.iter().map(|wander| Model {
            up,
            down,
            wander_squared: wander * wander,
        }));
    }
    models
}
