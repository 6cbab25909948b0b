//! One source over time: its last exchanges, what they say, and where the truth must be if its server is right.

use std::collections::VecDeque;

use super::bank;
use super::change::Change;
use super::estimate::Estimate;
use super::model::Prior;
use super::window::Observation;

/// So many exchanges are kept.
const KEPT: usize = 256;
/// And so many at least are looked at, if there are; from there on those of the last [`SPAN`] seconds.
const LEAST: usize = 128;
const SPAN: f64 = 9_600.0;
/// So many exchanges bound the offset: older ones say nothing through what the clocks may have drifted since.
const BOUNDING: usize = 8;
/// Nothing likely is farther out than so many standard deviations.
const SURE: f64 = 3.0;
/// No clock runs more wrong: the kernel can correct no more.
const ANY_CRYSTAL: f64 = 5e-4;

/// One source's exchanges and the estimate they give.
#[derive(Clone, Debug, Default)]
pub struct Track {
    prior: Prior,
    window: VecDeque<Observation>,
    pending: Option<Change>,
    estimate: Option<Estimate>,
    /// Lowest and highest offset that the last exchange allows, and when.
    last: Option<Observation>,
    /// Between which frequencies the source's clock runs against ours, s/s.
    frequencies: [f64; 2],
}

impl Track {
    /// Of a clock whose frequency is known from earlier: it is this one, with this standard deviation.
    pub fn with_frequency(frequency: f64, deviation: f64) -> Self {
        Self {
            prior: Prior {
                frequency,
                deviation,
            },
            ..Self::default()
        }
    }

    /// Takes in an exchange, and says what kind of change it showed, if it did.
    ///
    /// Left out is what cannot be: one that is no later than the last, that took less than no time, or is not made of numbers.
    pub fn push(&mut self, mut observation: Observation) -> Option<Change> {
        let is_later = self
            .window
            .back()
            .is_none_or(|last| observation.at > last.at);
        if !is_later || !observation.is_possible() {
            return None;
        }
        observation.change = self.pending.take();
        self.last = Some(observation);
        if self.window.len() == KEPT {
            self.window.pop_front();
        }
        self.window.push_back(observation);
        self.bound_frequency();
        self.estimate()
    }

    /// The next exchange comes after this.
    pub fn expect(&mut self, change: Change) {
        self.pending = Some(change);
    }

    fn estimate(&mut self) -> Option<Change> {
        self.window.make_contiguous();
        let first = self.first();
        let (window, _) = self.window.as_slices();
        let reading = bank::read(&window[first..], &self.prior)?;
        let Some((at, change)) = reading.change else {
            self.estimate = Some(reading.estimate);
            return None;
        };
        self.window[first + at].change = Some(change);
        let (window, _) = self.window.as_slices();
        self.estimate = bank::read(&window[first..], &self.prior).map(|reading| reading.estimate);
        Some(change)
    }

    fn first(&self) -> usize {
        let all = self.window.len();
        let Some(last) = self.window.back() else {
            return 0;
        };
        let recent = self
            .window
            .iter()
            .rev()
            .take_while(|o| last.at - o.at <= SPAN);
        all - recent.count().max(LEAST).min(all)
    }

    /// What the exchanges say; None of none.
    pub fn get(&self) -> Option<&Estimate> {
        self.estimate.as_ref()
    }

    /// Lowest and highest offset of the source's clock at that time, if its server is right and the clocks drift apart by `drift` (s/s) at
    /// most beyond the frequency that they had between the exchanges; None before the first exchange.
    ///
    /// A wait is never negative: up bounds the offset from above and -down from below, whatever the path.
    pub fn bounds(&self, at: f64, drift: f64) -> Option<[f64; 2]> {
        let [slowest, fastest] = self.frequencies;
        self.bounds_between(at, [slowest - drift, fastest + drift])
    }

    /// The same with the frequency as it is estimated: what others are held against. A frequency that nobody would expect is no excuse.
    pub(crate) fn likely_bounds(&self, at: f64, drift: f64) -> Option<[f64; 2]> {
        let estimate = self.estimate.as_ref()?;
        let unsure = drift + SURE * estimate.frequency_variance_at(at).sqrt();
        self.bounds_between(
            at,
            [estimate.frequency - unsure, estimate.frequency + unsure],
        )
    }

    fn bounds_between(&self, at: f64, [slowest, fastest]: [f64; 2]) -> Option<[f64; 2]> {
        let recent = self.window.iter().rev().take(BOUNDING);
        let since_phase = recent.scan(false, |ended, observation| {
            let was = std::mem::replace(ended, observation.change == Some(Change::Phase));
            (!was).then_some(observation)
        });
        since_phase
            .map(|observation| {
                let age = (at - observation.at).max(0.0);
                [
                    slowest * age - observation.down,
                    fastest * age + observation.up,
                ]
            })
            .reduce(|[low, high], [lower, higher]| {
                let both = [low.max(lower), high.min(higher)];
                // They contradict each other where something changed unnoticed: the newest counts.
                if both[0] <= both[1] {
                    both
                } else {
                    [low, high]
                }
            })
    }

    /// Between which frequencies the source's clock ran against ours, by the same bounds.
    fn bound_frequency(&mut self) {
        self.frequencies = [-ANY_CRYSTAL, ANY_CRYSTAL];
        let mut backwards = self.window.iter().rev();
        let Some(last) = backwards.next() else {
            return;
        };
        if last.change == Some(Change::Phase) {
            return;
        }
        for before in backwards {
            let between = last.at - before.at;
            let [slowest, fastest] = self.frequencies;
            let narrower = [
                slowest.max((-last.down - before.up) / between),
                fastest.min((last.up + before.down) / between),
            ];
            if narrower[0] <= narrower[1] {
                self.frequencies = narrower;
            }
            if before.change == Some(Change::Phase) {
                return;
            }
        }
    }

    /// The last exchange.
    pub fn last(&self) -> Option<&Observation> {
        self.last.as_ref()
    }

    /// How many exchanges are kept.
    pub fn len(&self) -> usize {
        self.window.len()
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.window.is_empty()
    }
}
