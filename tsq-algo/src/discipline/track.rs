//! One source over time: its last exchanges, what they say, and where the truth must be if its server is right.

use std::collections::VecDeque;

use super::bank;
use super::change::Change;
use super::estimate::Estimate;
use super::window::Observation;

/// So many exchanges are kept.
const KEPT: usize = 256;
/// And so many at least are looked at, if there are; from there on those of the last [`SPAN`] seconds.
const LEAST: usize = 96;
const SPAN: f64 = 6_400.0;
/// So many exchanges bound the offset: older ones say nothing through what the clocks may have drifted since.
const BOUNDING: usize = 8;

/// One source's exchanges and the estimate they give.
#[derive(Clone, Debug, Default)]
pub struct Track {
    window: VecDeque<Observation>,
    pending: Option<Change>,
    estimate: Option<Estimate>,
    /// Lowest and highest offset that the last exchange allows, and when.
    last: Option<Observation>,
}

impl Track {
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
        let reading = bank::read(&window[first..])?;
        let Some((at, change)) = reading.change else {
            self.estimate = Some(reading.estimate);
            return None;
        };
        self.window[first + at].change = Some(change);
        let (window, _) = self.window.as_slices();
        self.estimate = bank::read(&window[first..]).map(|reading| reading.estimate);
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
    /// most beyond the estimated frequency; None before the first exchange.
    ///
    /// A wait is never negative: up bounds the offset from above and -down from below, whatever the path.
    pub fn bounds(&self, at: f64, drift: f64) -> Option<[f64; 2]> {
        let estimate = self.estimate.as_ref()?;
        let frequency = estimate.frequency;
        let drift = drift + SURE * estimate.frequency_variance_at(at).sqrt();
        let recent = self.window.iter().rev().take(BOUNDING);
        let since_phase = recent.scan(false, |ended, observation| {
            let was = std::mem::replace(ended, observation.change == Some(Change::Phase));
            (!was).then_some(observation)
        });
        since_phase
            .map(|observation| {
                let age = at - observation.at;
                let gone = frequency * age;
                let unsure = drift * age.abs();
                [
                    gone - observation.down - unsure,
                    gone + observation.up + unsure,
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

/// Nothing normal is farther out than so many standard deviations.
const SURE: f64 = 4.0;
