//! The keeper: exchanges and time go in, requests and corrections come out.

use std::collections::VecDeque;
use std::time::Duration;

use tsq_proto::{Monotonic, Offset};

use super::blend::Blend;
use super::change::Change;
use super::poll;
use super::settings::{PollRange, Settings};
use super::source::{ServerClock, Source, SourceSettings};
use super::steer::{Situation, Steering};
use super::timeline::{self, Now, Stamps, Timeline};
use super::track::Track;
use super::window::Observation;
use crate::{Candidate, NoSelection, Selection, Verdict, select};

/// What the keeper wants done, with its reason.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Ask this source for the time.
    Ask {
        /// Its index.
        source: usize,
    },
    /// Let the clock run at this rate from now on.
    Run {
        /// How fast.
        rate: Rate,
        /// Why.
        reason: Reason,
    },
    /// Set the clock at once.
    Step {
        /// Forward, if positive.
        by: Offset,
    },
    /// The clock goes on as it does.
    Hold(Hold),
}

/// Why the clock runs at another rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// An offset was measured, and is slewed off.
    Slew {
        /// Positive: the clock is behind.
        offset: Offset,
        /// For how long.
        over: Duration,
    },
    /// The slew is over.
    SlewEnds,
    /// It was stepped, and the oscillator's frequency is known better.
    Stepped,
}

/// How the kept clock runs: its gain on the raw clock, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// What makes up for the oscillator.
    pub frequency: f64,
    /// What is added to it for a while, to make up an offset.
    pub slew: f64,
}

/// What a keeper knows of the oscillator, for the next one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// What makes up for it: s/s.
    pub frequency: f64,
    /// The standard deviation of that.
    pub deviation: f64,
}

/// Why nothing is done about the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hold {
    /// Sources are still asked for the first time.
    Starting,
    /// They give no time to go by.
    NoSelection(NoSelection),
}

/// Keeps a clock by what sources say, and says what it wants done.
#[derive(Clone, Debug)]
pub struct Keeper {
    settings: Settings,
    timeline: Timeline,
    sources: Vec<Source>,
    actions: VecDeque<Action>,
    rate: Rate,
    slew_ends: Option<f64>,
    /// Updates since the start.
    updates: u32,
    /// log2 of the poll interval, s.
    poll: u8,
    slept: f64,
    selection: Option<Selection>,
    blend: Option<(f64, Blend)>,
    /// When the sources last agreed, and between which offsets of the raw clock the truth was then.
    agreed: Option<(f64, [f64; 2])>,
}

impl Keeper {
    /// A keeper of a clock that is corrected by `frequency` now, and of whose oscillator this is known from earlier.
    pub fn new(
        settings: Settings,
        sources: Vec<SourceSettings>,
        frequency: f64,
        kept: Option<Kept>,
        now: &Now,
    ) -> Self {
        let poll = sources
            .iter()
            .map(|source| source.poll.min)
            .min()
            .unwrap_or_default();
        Self {
            settings,
            timeline: Timeline::from(now),
            sources: sources
                .into_iter()
                .map(|settings| Source::new(settings, track(kept), 0.0))
                .collect(),
            actions: VecDeque::new(),
            rate: Rate {
                frequency,
                slew: 0.0,
            },
            slew_ends: None,
            updates: 0,
            poll,
            slept: 0.0,
            selection: None,
            blend: None,
            agreed: None,
        }
    }

    /// What is to be done next; ask until there is nothing.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, on the raw clock.
    pub fn poll_timeout(&self, now: &Now) -> Option<Monotonic> {
        let asks = self.sources.iter().filter_map(Source::next);
        let earliest = asks.chain(self.slew_ends).min_by(f64::total_cmp)?;
        Some(self.timeline.raw(earliest, now))
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: &Now) {
        let at = self.woken(now);
        if self
            .slew_ends
            .is_some_and(|ends| timeline::is_due(ends, at))
        {
            self.slew_ends = None;
            let rate = Rate {
                slew: 0.0,
                ..self.rate
            };
            self.run(rate, Reason::SlewEnds);
        }
        for index in 0..self.sources.len() {
            if self.sources[index].ask(at, self.slept) {
                self.actions.push_back(Action::Ask { source: index });
            }
        }
    }

    /// A source answered. Each [`Action::Ask`] is followed by this or by [`lost`](Self::lost), or the source is asked no more.
    pub fn answered(&mut self, source: usize, stamps: &Stamps, clock: ServerClock, now: &Now) {
        let at = self.woken(now);
        let (interval, phase) = (self.interval(source), self.phase(source));
        let Some(asked) = self.sources.get_mut(source) else {
            return;
        };
        // Nobody knows where between T1 and T4 the machine slept: one stamp of the two is of another time.
        if self.slept - asked.slept() > LEAST_SLEEP {
            asked.missed(at, interval, phase);
            return;
        }
        let [middle, up, down] = self.timeline.halves(stamps, now);
        asked.track.push(Observation {
            at: middle,
            up,
            down,
            change: None,
        });
        asked.answered(at, clock, interval, phase);
        self.update(at, now);
    }

    /// A source did not answer in time.
    pub fn lost(&mut self, source: usize, now: &Now) {
        let at = self.woken(now);
        let (interval, phase) = (self.interval(source), self.phase(source));
        if let Some(asked) = self.sources.get_mut(source) {
            let was_starting = asked.is_starting();
            asked.missed(at, interval, phase);
            if was_starting && !asked.is_starting() {
                self.update(at, now);
            }
        }
    }

    /// The sources are these from now on; what is known of those that stay is kept.
    pub fn set_sources(&mut self, sources: Vec<(Option<usize>, SourceSettings)>, now: &Now) {
        let at = self.woken(now);
        let known = self.kept(now);
        let mut old: Vec<Option<Source>> = self.sources.drain(..).map(Some).collect();
        for (before, settings) in sources {
            let kept = before.and_then(|index| old.get_mut(index)?.take());
            self.sources.push(match kept {
                Some(mut source) => {
                    source.settings = settings;
                    source
                }
                None => Source::new(settings, track(known), at),
            });
        }
    }

    /// What is known of the oscillator; None until it was first measured.
    pub fn kept(&self, now: &Now) -> Option<Kept> {
        let (since, blend) = self.blend.as_ref()?;
        let age = self.timeline.at(now) - since;
        let walked = blend.wander_squared * age;
        Some(Kept {
            frequency: blend.frequency,
            deviation: (blend.frequency_variance + walked).sqrt().max(LEAST_KEPT),
        })
    }

    /// How far the clock may be from the truth; None until it was first measured.
    ///
    /// While the sources do not agree it is what they last agreed on, and grows.
    pub fn bound(&self, now: &Now) -> Option<Duration> {
        let at = self.timeline.at(now);
        let [low, high] = self.span(at).or_else(|| self.agreed_span(at))?;
        let gained = self.timeline.gained(now);
        Some(timeline::length((high - gained).max(gained - low)))
    }

    /// Between which offsets of the raw clock the truth is, as those say that count.
    fn span(&self, at: f64) -> Option<[f64; 2]> {
        let counting = self.sources.iter().filter(|source| source.weight > 0.0);
        let intervals: Vec<[f64; 2]> = counting
            .filter_map(|source| source.bounds(at, self.drift()))
            .collect();
        majority_span(&intervals)
    }

    /// The same as of when they last agreed.
    fn agreed_span(&self, at: f64) -> Option<[f64; 2]> {
        let (since, [low, high]) = self.agreed?;
        let (_, blend) = self.blend.as_ref()?;
        let age = (at - since).max(0.0);
        let unsure = self.drift() + SURE * blend.frequency_variance.sqrt();
        let gone = blend.frequency * age;
        Some([low + gone - unsure * age, high + gone + unsure * age])
    }

    /// The standard deviation expected now, in s: a statistical error, no bound. None until the clock was first measured.
    pub fn deviation(&self, now: &Now) -> Option<f64> {
        self.expected(self.timeline.at(now))
    }

    fn expected(&self, at: f64) -> Option<f64> {
        let (since, blend) = self.blend.as_ref()?;
        Some(blend.variance_after(at - since).sqrt())
    }

    /// What became of the sources in the last update.
    pub fn selection(&self) -> Option<&Selection> {
        self.selection.as_ref()
    }

    /// Each source's part in the last update.
    pub fn weights(&self) -> impl Iterator<Item = f64> {
        self.sources.iter().map(|source| source.weight)
    }

    /// How the clock runs.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Seconds since the start; if the machine slept meanwhile, nothing is certain any more.
    fn woken(&mut self, now: &Now) -> f64 {
        let at = self.timeline.at(now);
        let slept = self.timeline.slept(now);
        if slept - self.slept > LEAST_SLEEP {
            for source in &mut self.sources {
                source.track.expect(Change::Phase);
                source.burst(at);
            }
        }
        self.slept = slept;
        at
    }

    fn interval(&self, source: usize) -> f64 {
        let Some(source) = self.sources.get(source) else {
            return 1.0;
        };
        let range = source.settings.poll;
        let poll = if source.is_silent() {
            range.max
        } else {
            self.poll
        };
        poll::interval(poll.clamp(range.min.min(range.max), range.max))
    }

    /// Sources are asked one after the other, evenly over the interval.
    fn phase(&self, source: usize) -> f64 {
        source as f64 / self.sources.len().max(1) as f64
    }

    /// Weighs what the sources say, and corrects the clock.
    fn update(&mut self, at: f64, now: &Now) {
        if self.updates == 0 && self.sources.iter().any(Source::is_starting) {
            return;
        }
        let (indices, selection) = self.select(at, now);
        let combined = selection.combined.clone();
        let used: Vec<usize> = indices
            .iter()
            .zip(&selection.verdicts)
            .filter(|(_, verdict)| matches!(verdict, Verdict::Used | Verdict::Refines))
            .map(|(&index, _)| index)
            .collect();
        self.selection = Some(selection);
        for source in &mut self.sources {
            source.weight = 0.0;
        }
        let combined = match combined {
            Ok(combined) => combined,
            Err(none) => {
                self.actions
                    .push_back(Action::Hold(Hold::NoSelection(none)));
                return;
            }
        };
        let estimates: Vec<_> = used
            .iter()
            .filter_map(|&index| self.sources[index].track.get())
            .collect();
        let Some(blend) = Blend::of(&estimates, at) else {
            return;
        };
        for (&index, weight) in used.iter().zip(&blend.weights) {
            self.sources[index].weight = *weight;
        }
        let offset = blend.offset - self.timeline.gained(now);
        let farthest = combined.bound.as_secs_f64();
        let middle = timeline::seconds(combined.offset);
        let offset = offset.clamp(middle - farthest, middle + farthest);
        self.choose_poll(&blend, &used);
        self.correct(offset, &blend, at);
        self.blend = Some((at, blend));
        self.agreed = self.span(at).map(|span| (at, span)).or(self.agreed);
    }

    fn drift(&self) -> f64 {
        f64::from(self.settings.max_drift_ppb) * 1e-9
    }

    fn select(&self, at: f64, now: &Now) -> (Vec<usize>, Selection) {
        let gained = self.timeline.gained(now);
        let drift = self.drift();
        let (indices, candidates): (Vec<usize>, Vec<Candidate>) = self
            .sources
            .iter()
            .enumerate()
            .filter_map(|(index, source)| Some((index, source.candidate(at, gained, drift)?)))
            .unzip();
        (indices, select(&candidates, &self.settings.rules))
    }

    fn correct(&mut self, offset: f64, blend: &Blend, at: f64) {
        let situation = Situation {
            offset,
            expected: self.expected(at),
            frequency_deviation: blend.frequency_variance.sqrt(),
            until_next: self.interval(0) / self.sources.len().max(1) as f64,
            updates: self.updates,
        };
        self.updates = self.updates.saturating_add(1);
        let most = f64::from(self.settings.max_frequency_ppm) * 1e-6;
        let frequency = blend.frequency.clamp(-most, most);
        let by = timeline::offset(offset);
        match situation.steer(&self.settings) {
            Steering::Step => {
                self.actions.push_back(Action::Step { by });
                self.slew_ends = None;
                self.run(
                    Rate {
                        frequency,
                        slew: 0.0,
                    },
                    Reason::Stepped,
                );
            }
            Steering::Slew { rate, seconds } => {
                self.slew_ends = Some(at + seconds);
                let over = timeline::length(seconds);
                self.run(
                    Rate {
                        frequency,
                        slew: rate,
                    },
                    Reason::Slew { offset: by, over },
                );
            }
        }
    }

    fn run(&mut self, rate: Rate, reason: Reason) {
        self.rate = rate;
        self.actions.push_back(Action::Run { rate, reason });
    }

    fn choose_poll(&mut self, blend: &Blend, used: &[usize]) {
        let estimates = used
            .iter()
            .filter_map(|&index| self.sources[index].track.get());
        let wait = estimates
            .map(|estimate| estimate.wait)
            .fold(f64::INFINITY, f64::min);
        let ranges = || self.sources.iter().map(|source| source.settings.poll);
        let range = PollRange {
            min: ranges().map(|range| range.min).min().unwrap_or_default(),
            max: ranges().map(|range| range.max).max().unwrap_or_default(),
        };
        let target = self.settings.target_error.as_secs_f64();
        self.poll = poll::choose(self.poll, range, blend, target, wait);
    }
}

/// From the lowest to the highest point that more than half of the intervals contain: where the truth is if more than half are right.
fn majority_span(intervals: &[[f64; 2]]) -> Option<[f64; 2]> {
    let contained = |point: f64| {
        let containing = intervals
            .iter()
            .filter(|[low, high]| (*low..=*high).contains(&point));
        containing.count() * 2 > intervals.len()
    };
    let ends = |end: usize| {
        intervals
            .iter()
            .map(move |interval| interval[end])
            .filter(|&point| contained(point))
    };
    let low = ends(0).min_by(f64::total_cmp)?;
    let high = ends(1).max_by(f64::total_cmp)?;
    Some([low, high])
}

fn track(kept: Option<Kept>) -> Track {
    kept.map_or_else(Track::default, |kept| {
        Track::with_frequency(kept.frequency, kept.deviation)
    })
}

/// Nothing likely is farther out than so many standard deviations.
const SURE: f64 = 4.0;
/// Temperature and age change an oscillator meanwhile.
const LEAST_KEPT: f64 = 1e-6;
/// A machine that slept for less did not.
const LEAST_SLEEP: f64 = 1e-3;
