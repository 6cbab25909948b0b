//! How far a clock may be stepped over days, counted on disk: a restart begins no new account.

use std::fmt::Write as _;
use std::time::Duration;

use tsq_proto::{HostTime, Offset};

use crate::{
    Applied, Clock, ClockError, Discipline, KernelState, Moment, Slewing, StateDir, StateError,
};

/// Steps made in the last [`StepBudget::WINDOW`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps(Vec<Step>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    /// What the clock was to show right after.
    at: HostTime,
    by: Offset,
}

/// A limit on all steps together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepBudget {
    /// The most by which steps may add up within [`Self::WINDOW`], forward and back alike.
    pub total: Duration,
}

/// A clock whose steps are held to a [`StepBudget`]: each is on the disk before it is made.
#[derive(Debug)]
pub struct Budgeted<C> {
    clock: C,
    budget: StepBudget,
    state: StateDir,
    steps: Steps,
    /// Whether to count steps, or only to hold them against the budget (a dry run).
    count: bool,
}

impl StepBudget {
    /// Older steps do not count any more: 7 days.
    pub const WINDOW: Duration = Duration::from_secs(7 * 24 * 3600);

    fn check(self, steps: &Steps, now: HostTime, asked: Offset) -> Result<(), ClockError> {
        let spent = steps.spent(now);
        if spent.saturating_add(asked.abs()) <= self.total {
            return Ok(());
        }
        Err(ClockError::PastBudget {
            asked,
            spent,
            total: self.total,
        })
    }
}

impl Steps {
    /// How far the steps of the window before `now` add up. Steps dated later count as well: the
    /// clock may have been put back since.
    pub fn spent(&self, now: HostTime) -> Duration {
        self.recent(now)
            .map(|step| step.by.abs())
            .fold(Duration::ZERO, Duration::saturating_add)
    }

    fn recent(&self, now: HostTime) -> impl Iterator<Item = &Step> {
        let window = i64::try_from(StepBudget::WINDOW.as_nanos()).unwrap_or(i64::MAX);
        let begin = now - Offset::from_nanos(window);
        self.0.iter().filter(move |step| step.at > begin)
    }

    fn with(&self, step: Step) -> Self {
        // By both clocks: neither a step forward nor one back may make earlier ones forgotten.
        let before = step.at - step.by;
        let begin = step.at.min(before);
        let kept = self.recent(begin).copied().chain([step]);
        Self(kept.collect())
    }

    /// A line for each: nanoseconds since 1970 and nanoseconds of the step.
    fn to_text(&self) -> String {
        let mut text = String::from(HEADER);
        for Step { at, by } in &self.0 {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{} {}", at.as_unix_nanos(), by.as_nanos());
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let step = |line: &str| {
            let (at, by) = line.split_once(' ')?;
            Some(Step {
                at: HostTime::from_unix_nanos(at.parse().ok()?),
                by: Offset::from_nanos(by.parse().ok()?),
            })
        };
        text.strip_prefix(HEADER)?
            .lines()
            .map(step)
            .collect::<Option<_>>()
            .map(Self)
    }
}

impl<C: Clock> Budgeted<C> {
    /// Holds `clock` to `budget`, counting on from what is kept in `state`.
    ///
    /// Without `count` nothing is written: for a dry run.
    ///
    /// # Errors
    /// [`BudgetError`] if the account cannot be read: without it no step is allowed.
    pub fn new(
        clock: C,
        budget: StepBudget,
        state: StateDir,
        count: bool,
    ) -> Result<Self, BudgetError> {
        let steps = match state.read(FILE).map_err(BudgetError::State)? {
            None => Steps::default(),
            Some(text) => Steps::parse(&text).ok_or(BudgetError::Broken)?,
        };
        Ok(Self {
            clock,
            budget,
            state,
            steps,
            count,
        })
    }

    fn keep(&mut self, steps: Steps) -> Result<(), ClockError> {
        if self.count {
            self.state
                .write(FILE, &steps.to_text())
                .map_err(|_| ClockError::NotCounted)?;
        }
        self.steps = steps;
        Ok(())
    }
}

impl<C: Clock> Clock for Budgeted<C> {
    fn read(&self) -> HostTime {
        self.clock.read()
    }

    fn moment(&self) -> Moment {
        self.clock.moment()
    }

    fn step(&mut self, by: Offset, since: &Moment) -> Result<Applied, ClockError> {
        let now = self.clock.read();
        self.budget.check(&self.steps, now, by)?;
        let before = self.steps.clone();
        // First on the disk, then made: if the power fails in between, the account says too much,
        // never too little.
        self.keep(before.with(Step { at: now + by, by }))?;
        self.clock.step(by, since).inspect_err(|error| {
            // Not made, so not counted; if that cannot be written, too much is counted.
            if !error.has_moved() {
                let _ = self.keep(before);
            }
        })
    }

    fn slew(&mut self, by: Offset, since: &Moment) -> Result<Slewing, ClockError> {
        self.clock.slew(by, since)
    }

    fn pending_slew(&self) -> Result<Offset, ClockError> {
        self.clock.pending_slew()
    }

    fn state(&self) -> Result<KernelState, ClockError> {
        self.clock.state()
    }

    /// Not counted: what it does is slow, and seen before it is much.
    fn discipline(&mut self, told: &Discipline) -> Result<(), ClockError> {
        self.clock.discipline(told)
    }

    fn may_set(&self) -> Result<(), ClockError> {
        self.clock.may_set()
    }
}

/// The account of steps cannot be used.
#[derive(Debug)]
pub enum BudgetError {
    /// Its folder or file.
    State(StateError),
    /// What is in the file is no account.
    Broken,
}

impl std::error::Error for BudgetError {}

impl std::fmt::Display for BudgetError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::State(error) => error.fmt(f),
            Self::Broken => write!(
                f,
                "the file \"{FILE}\" in the state folder is no account of steps: remove it to begin a new one"
            ),
        }
    }
}

const FILE: &str = "steps";
const HEADER: &str = "tsq steps 1\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, SimulatedClock};

    const SECOND: i64 = 1_000_000_000;
    const START: i64 = 1_795_000_000;

    fn seconds(count: i64) -> Offset {
        Offset::from_nanos(count * SECOND)
    }

    struct Host {
        folder: tempfile::TempDir,
        clock: SimulatedClock,
    }

    impl Host {
        fn new() -> Self {
            let limits = Limits {
                max_step: Duration::from_secs(100_000_000),
                max_slew: Duration::from_secs(1),
            };
            Self {
                folder: tempfile::tempdir().unwrap(),
                clock: SimulatedClock::new(HostTime::from_unix(START, 0), 0, limits),
            }
        }

        /// One run of a program: it opens the account anew.
        fn step(&mut self, by: i64, count: bool) -> Result<Applied, ClockError> {
            let state = StateDir::open(self.folder.path()).unwrap();
            let budget = StepBudget {
                total: Duration::from_secs(10),
            };
            let mut clock = Budgeted::new(self.clock.clone(), budget, state, count).unwrap();
            let applied = clock.step(seconds(by), &clock.moment());
            self.clock = clock.clock;
            applied
        }
    }

    #[test]
    fn steps_of_many_runs_add_up_to_the_limit_and_not_a_hair_beyond() {
        let mut host = Host::new();
        assert!(host.step(4, true).is_ok());
        assert!(host.step(-5, true).is_ok());
        let refused = ClockError::PastBudget {
            asked: seconds(2),
            spent: Duration::from_secs(9),
            total: Duration::from_secs(10),
        };
        assert_eq!(host.step(2, true), Err(refused));
        assert!(host.step(1, true).is_ok());
        assert_eq!(host.clock.steps(), [seconds(4), seconds(-5), seconds(1)]);
    }

    #[test]
    fn step_counts_for_seven_days() {
        let mut host = Host::new();
        host.step(10, true).unwrap();
        host.clock
            .advance(StepBudget::WINDOW - Duration::from_secs(1));
        assert!(host.step(1, true).is_err());
        host.clock.advance(Duration::from_secs(1));
        assert!(host.step(1, true).is_ok());
    }

    #[test]
    fn clock_put_back_by_others_forgets_nothing() {
        let mut host = Host::new();
        host.step(10, true).unwrap();
        host.clock.put(seconds(-30 * 86_400));
        assert!(host.step(1, true).is_err());
    }

    /// Were old steps dropped by the time after the step, a large one would pay for itself.
    #[test]
    fn step_does_not_make_earlier_ones_forgotten() {
        let step = |at: i64, by: i64| Step {
            at: HostTime::from_unix(START + at, 0),
            by: seconds(by),
        };
        let month = 30 * 86_400;
        let steps = Steps(vec![step(0, 3)]).with(step(month, month));
        assert_eq!(steps.0, [step(0, 3), step(month, month)]);
        let back = Steps(vec![step(0, 3)]).with(step(-month, -month));
        assert_eq!(back.0.len(), 2);
    }

    #[test]
    fn step_that_failed_or_was_a_dry_run_is_not_counted() {
        let mut host = Host::new();
        assert!(host.step(10, false).is_ok());
        host.clock = host.clock.clone().without_permission();
        assert_eq!(host.step(10, true), Err(ClockError::NoPermission));
        let mut permitted = Host::new();
        permitted.folder = host.folder;
        assert!(permitted.step(10, true).is_ok());
    }

    #[test]
    fn account_that_is_broken_allows_nothing() {
        let host = Host::new();
        let state = StateDir::open(host.folder.path()).unwrap();
        for broken in [
            "",
            "tsq steps 2\n",
            "tsq steps 1\n5\n",
            "tsq steps 1\nx y\n",
        ] {
            state.write(FILE, broken).unwrap();
            let budget = StepBudget {
                total: Duration::MAX,
            };
            let opened = Budgeted::new(host.clock.clone(), budget, state.clone(), true);
            assert!(matches!(opened, Err(BudgetError::Broken)), "{broken:?}");
        }
    }

    #[test]
    fn step_that_cannot_be_counted_is_not_made() {
        let mut host = Host::new();
        let inner = host.folder.path().join("state");
        let state = StateDir::open(&inner).unwrap();
        let budget = StepBudget {
            total: Duration::from_secs(10),
        };
        let mut clock = Budgeted::new(host.clock.clone(), budget, state, true).unwrap();
        std::fs::remove_dir_all(&inner).unwrap();
        let since = clock.moment();
        assert_eq!(clock.step(seconds(1), &since), Err(ClockError::NotCounted));
        host.clock = clock.clock;
        assert!(host.clock.steps().is_empty());
    }
}
