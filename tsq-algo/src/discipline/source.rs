//! One source as its keeper knows it: its exchanges, when it is asked next, and what it says of itself.

use std::time::Duration;

use super::settings::PollRange;
use super::timeline;
use super::track::Track;
use crate::{Candidate, Mark, SERVER_ERROR_ALLOWANCE, SourceEstimate};

/// What a source is, as its keeper is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceSettings {
    /// How often it is asked.
    pub poll: PollRange,
    /// Whether its answers are known to be its own.
    pub authenticated: bool,
    /// What the user says of it.
    pub mark: Mark,
}

/// What the server said of its clock in its last answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerClock {
    /// Whether somebody keeps it.
    pub synchronised: bool,
    /// By how much it may be wrong, if it says so.
    pub error: Option<Duration>,
    /// How it smears leap seconds, if it does.
    pub smear: Option<String>,
}

/// How long after one another a source that is new is asked, in s: a few times at once for the offset, twice on the way so that it
/// does not run off unnoticed, and at the end of the first minute again, for the frequency.
const GAPS: [f64; 8] = [0.5, 0.5, 0.5, 2.5, 12.0, 42.0, 1.0, 1.0];
/// One that is back is known: so many of the gaps are enough.
const AGAIN: usize = 3;
/// So many of the gaps pass before its word counts for the first time.
const FIRST_LOOK: usize = 4;
/// A source that did not answer so often in a row is new again when it does.
const LOST: u32 = 3;

#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) settings: SourceSettings,
    pub(crate) track: Track,
    clock: ServerClock,
    /// When it is asked next; None while an answer is awaited.
    next: Option<f64>,
    /// How many of the [`GAPS`] have passed; all of them: none is left.
    gaps: usize,
    /// How many there are to be.
    burst: usize,
    lost: u32,
    /// How long the machine had slept when it was last asked, in s.
    slept: f64,
    /// Its part in the last update.
    pub(crate) weight: f64,
}

impl Source {
    /// Asked at once.
    pub(crate) fn new(settings: SourceSettings, track: Track, at: f64) -> Self {
        Self {
            settings,
            track,
            clock: ServerClock::default(),
            next: Some(at),
            gaps: 0,
            burst: GAPS.len(),
            lost: 0,
            slept: 0.0,
            weight: 0.0,
        }
    }

    pub(crate) fn next(&self) -> Option<f64> {
        self.next
    }

    /// Whether its first exchanges are still under way.
    pub(crate) fn is_starting(&self) -> bool {
        (self.gaps < FIRST_LOOK || self.track.is_empty()) && !self.is_silent()
    }

    /// Whether it has not answered for a while; asking it often would not help.
    pub(crate) fn is_silent(&self) -> bool {
        self.lost >= LOST
    }

    /// How long the machine had slept when it was last asked, in s.
    pub(crate) fn slept(&self) -> f64 {
        self.slept
    }

    /// Asks it, if it is time; the machine has slept for so long.
    pub(crate) fn ask(&mut self, at: f64, slept: f64) -> bool {
        let due = self.next.is_some_and(|next| timeline::is_due(next, at));
        if due {
            self.next = None;
            self.slept = slept;
        }
        due
    }

    /// It answered; asked again after `interval`, or sooner in a burst. The interval is reckoned on a grid, so that sources of one keeper
    /// stay apart by `phase` of it.
    pub(crate) fn answered(&mut self, at: f64, clock: ServerClock, interval: f64, phase: f64) {
        if self.is_silent() {
            self.gaps = 0;
            self.burst = if self.track.is_empty() {
                GAPS.len()
            } else {
                AGAIN
            };
        }
        self.lost = 0;
        self.clock = clock;
        self.schedule(at, interval, phase);
    }

    /// It did not.
    pub(crate) fn missed(&mut self, at: f64, interval: f64, phase: f64) {
        self.lost = self.lost.saturating_add(1);
        if self.is_silent() {
            self.gaps = GAPS.len();
        }
        self.schedule(at, interval, phase);
    }

    /// Something happened: it is asked a few times at once.
    pub(crate) fn burst(&mut self, at: f64) {
        self.gaps = 0;
        self.burst = AGAIN;
        if self.next.is_some() {
            self.next = Some(at);
        }
    }

    fn schedule(&mut self, at: f64, interval: f64, phase: f64) {
        if let Some(gap) = GAPS[..self.burst].get(self.gaps) {
            self.gaps += 1;
            self.next = Some(at + gap);
            return;
        }
        let next = ((at / interval - phase).floor() + 1.0 + phase) * interval;
        // Not twice in quick succession where the grid has just changed.
        let soon = next - at < interval / 4.0;
        self.next = Some(if soon { next + interval } else { next });
    }

    /// Between which offsets of the raw clock the truth is if it is right, its server's own error included.
    pub(crate) fn bounds(&self, at: f64, drift: f64) -> Option<[f64; 2]> {
        let own = self
            .clock
            .error
            .unwrap_or(SERVER_ERROR_ALLOWANCE)
            .as_secs_f64();
        let [low, high] = self.track.bounds(at, drift)?;
        Some([low - own, high + own])
    }

    /// What it says of a clock that has gained `gained` s on the raw one, for selection; None before its first answer.
    pub(crate) fn candidate(&self, at: f64, gained: f64, drift: f64) -> Option<Candidate> {
        let estimate = self.track.get()?;
        let offset = estimate.offset_at(at) - gained;
        let [low, high] = self.track.likely_bounds(at, drift)?;
        let farthest = (high - gained - offset).max(offset - (low - gained));
        let last = self.track.last()?;
        Some(Candidate {
            estimate: SourceEstimate {
                offset: timeline::offset(offset),
                delay: timeline::length(last.up + last.down),
                stddev: timeline::length(estimate.variance_at(at).sqrt()),
                bound: timeline::length(farthest),
                samples: self.track.len(),
                consistent: true,
                server_error: self.clock.error,
            },
            authenticated: self.settings.authenticated,
            synchronised: self.clock.synchronised,
            age: timeline::length(at - last.at),
            smear: self.clock.smear.clone(),
            mark: self.settings.mark,
        })
    }
}
