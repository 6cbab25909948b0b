//! Changes as hypotheses: how much likelier the last exchanges are, if something happened before one of them.

use super::change::Change;
use super::model::{Model, Start};
use super::state::{Seen, State};
use super::window::Residual;

/// The first is tried first; all are equally likely beforehand.
const KINDS: [Change; 3] = [Change::Frequency, Change::Path, Change::Phase];

/// How far back a change is looked for, in exchanges.
pub(crate) const RECENT: usize = 16;
/// How rare a change is: the negative logarithm of how likely one is at an exchange.
const RARITY: f64 = 9.0;
/// With such odds after so many exchanges it is a fact.
const SETTLED: f64 = 5.0;
const SETTLING: usize = 14;

/// A change of the path shows in late packets alone, and so do episodes of congestion: it must last for so many exchanges.
const LASTING: usize = 4;

/// A late packet counts for no less likely than most by this much, however late: waits come in episodes.
const LATENESS: f64 = 1.0;

/// A change of the clocks makes one direction seem late and the other early by as much; at least this part of the evidence is the early one's.
const EARLY_SHARE: f64 = 3.0;

/// How likely the exchanges from one on are.
#[derive(Clone, Copy, Default)]
struct Evidence {
    /// All told.
    all: f64,
    /// With lateness excused: only what came too early speaks against a belief.
    early: f64,
}

impl Evidence {
    fn add(&mut self, halves: [Seen; 2], usual: f64) {
        for half in halves {
            self.all += half.likelihood;
            self.early += match half.late {
                true => half.likelihood.max(usual - LATENESS),
                false => half.likelihood,
            };
        }
    }

    /// What speaks for this one rather than `other`, if the change is of this kind and `lasted` for so many exchanges.
    fn over(&self, other: &Self, kind: Change, lasted: usize) -> f64 {
        let all = self.all - other.all;
        let early = self.early - other.early;
        match kind {
            Change::Path if lasted >= LASTING => early.max(all),
            Change::Path => early,
            Change::Frequency | Change::Phase => all.min(EARLY_SHARE * early),
        }
    }
}

/// What the exchanges say if something changed at one of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hypothesis {
    /// Which of the window shows it first.
    pub(crate) from: usize,
    pub(crate) kind: Change,
    /// How much likelier it is than that nothing changed, in natural logarithms, with how rare changes are.
    pub(crate) odds: f64,
    /// What is believed after the last exchange.
    pub(crate) state: State,
}

impl Hypothesis {
    /// Whether nobody need doubt it any more, when the window has so many exchanges.
    pub(crate) fn is_settled(&self, window: usize) -> bool {
        self.odds > SETTLED && window - self.from >= SETTLING
    }
}

/// Every kind of change at each of the last exchanges of the `window`, under this model.
pub(crate) fn hypotheses(window: &[Residual], model: &Model, start: &Start) -> Vec<Hypothesis> {
    let Some(Baseline { states, halves }) = Baseline::of(window, model, start) else {
        return Vec::new();
    };
    let usual = median_of_halves(&halves);
    let first = window.len().saturating_sub(RECENT).max(1);
    let mut found = Vec::with_capacity(RECENT * KINDS.len());
    for from in (first..window.len()).filter(|&from| window[from].change.is_none()) {
        let mut without = Evidence::default();
        halves[from..]
            .iter()
            .for_each(|&seen| without.add(seen, usual));
        for kind in KINDS {
            let (mut state, mut before) = states[from];
            let mut with = Evidence::default();
            let changed = Residual {
                change: Some(kind),
                ..window[from]
            };
            for observation in std::iter::once(&changed).chain(&window[from + 1..]) {
                with.add(
                    model.step(&mut state, before, observation, start.wait),
                    usual,
                );
                before = observation.at;
            }
            let odds = with.over(&without, kind, window.len() - from) - RARITY;
            found.push(Hypothesis {
                from,
                kind,
                odds,
                state,
            });
        }
    }
    found
}

/// The window without a further change.
struct Baseline {
    /// Before each exchange, and when the one before it was.
    states: Vec<(State, f64)>,
    halves: Vec<[Seen; 2]>,
}

impl Baseline {
    fn of(window: &[Residual], model: &Model, start: &Start) -> Option<Self> {
        let mut states = Vec::with_capacity(window.len());
        let mut halves = Vec::with_capacity(window.len());
        let mut state = start.state();
        let mut before = window.first()?.at;
        for observation in window {
            states.push((state, before));
            halves.push(model.step(&mut state, before, observation, start.wait));
            before = observation.at;
        }
        Some(Self { states, halves })
    }
}

fn median_of_halves(halves: &[[Seen; 2]]) -> f64 {
    let mut usual: Vec<f64> = halves
        .iter()
        .flatten()
        .map(|half| half.likelihood)
        .collect();
    usual.sort_unstable_by(f64::total_cmp);
    usual.get(usual.len() / 2).copied().unwrap_or(0.0)
}
