//! What is kept from run to run: the clock of the last good one, and the steps of the last days.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tsq_client::TrustState;
use tsq_client::trust::{Floor, FloorSource};
use tsq_clock::{
    Budgeted, Clock, Lock, LockError, Marked, SavedClock, StateDir, StateError, StepBudget,
};
use tsq_proto::HostTime;

use crate::outcome::Warning;
use crate::standing::TrustReport;
use crate::unready::Unready;

/// Where to keep it, and the limits that rely on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keeping {
    /// The folder that the user named.
    pub folder: Option<PathBuf>,
    /// The limit on the first correction after a boot, where it is another.
    pub max_start_offset: Option<Duration>,
    /// The limit on all steps of 7 days together.
    pub max_step_total: Option<Duration>,
}

/// What was kept.
#[derive(Debug)]
pub struct Memory {
    state: Option<StateDir>,
    saved: Option<SavedClock>,
    boot: Option<String>,
    /// Ends with the run, so that no other reads what this one is about to write, or measures what it is about to move.
    _lock: Option<Lock>,
    /// What is asked of it.
    keeping: Keeping,
    /// Nothing is written.
    dry_run: bool,
}

impl Memory {
    /// Opens the folder, and holds it until this is dropped: one run at a time, waiting for another until `end`. A
    /// dry run makes none, holds none and waits for none. A warning, if there is none though nothing relies on it.
    ///
    /// # Errors
    /// [`Unready`] if it cannot be used and a limit relies on it, or the user named it; or if another run has it.
    pub fn open(
        keeping: &Keeping,
        dry_run: bool,
        end: Instant,
    ) -> Result<(Self, Option<Warning>), Unready> {
        let path = keeping.folder.clone().unwrap_or_else(default_folder);
        match Self::read(&path, keeping, dry_run, end) {
            Ok(memory) => Ok((memory, None)),
            Err(error @ LockError::Held { .. }) => Err(Unready::Held {
                lock: path.join("lock"),
                error,
            }),
            Err(LockError::State(error)) if keeping.needs_it() => Err(Unready::State(error)),
            // Nobody asked for it.
            Err(LockError::State(error)) => {
                let warning = (!dry_run).then_some(Warning::NothingKept(error));
                Ok((Self::none(keeping, dry_run), warning))
            }
        }
    }

    fn none(keeping: &Keeping, dry_run: bool) -> Self {
        Self {
            state: None,
            saved: None,
            boot: SavedClock::this_boot(),
            _lock: None,
            keeping: keeping.clone(),
            dry_run,
        }
    }

    fn read(
        path: &Path,
        keeping: &Keeping,
        dry_run: bool,
        end: Instant,
    ) -> Result<Self, LockError> {
        let (state, lock) = if dry_run {
            (StateDir::existing(path).map_err(LockError::State)?, None)
        } else {
            let state = StateDir::open(path).map_err(LockError::State)?;
            let lock = state.lock(end)?;
            (Some(state), Some(lock))
        };
        let saved = match &state {
            Some(state) => SavedClock::read(state).map_err(LockError::State)?,
            None => None,
        };
        Ok(Self {
            state,
            saved,
            _lock: lock,
            ..Self::none(keeping, dry_run)
        })
    }

    /// The latest moment that is certainly past; `signed` is the latest that a server has signed.
    pub fn floor(&self, signed: Option<HostTime>) -> Floor {
        let saved = self.saved.as_ref().map(|saved| saved.at);
        Floor::of_build()
            .or(saved, FloorSource::SavedClock)
            .or(signed, FloorSource::Receipt)
    }

    /// The limit on this run's correction: another one than the `usual` if it is the first of this boot.
    pub fn max_offset(&self, usual: Duration) -> Duration {
        match self.keeping.max_start_offset {
            Some(start) if self.is_first_of_boot() => usual.max(start),
            _ => usual,
        }
    }

    /// Whether nothing was adjusted since this boot. Without the kernel's id of the boot nobody can
    /// tell, and then it is not.
    fn is_first_of_boot(&self) -> bool {
        let saved = self.saved.as_ref().and_then(|saved| saved.boot.as_ref());
        self.boot.is_some() && saved != self.boot.as_ref()
    }

    /// `clock`, held to the budget if there is one, and noting on disk that it was moved in this boot before it is.
    /// The first correction of a boot has a limit of its own and does not count.
    ///
    /// # Errors
    /// [`Unready::Budget`] if the account cannot be read.
    pub fn hold<C: Clock + 'static>(&self, clock: C) -> Result<Box<dyn Clock>, Unready> {
        let keeping = &self.keeping;
        let clock = self.mark(clock);
        let starting = keeping.max_start_offset.is_some() && self.is_first_of_boot();
        let (Some(total), false) = (keeping.max_step_total, starting) else {
            return Ok(clock);
        };
        let Some(state) = &self.state else {
            // A dry run, before the first real one: nothing was stepped yet.
            return Ok(clock);
        };
        let budget = StepBudget { total };
        Budgeted::new(clock, budget, state.clone(), !self.dry_run)
            .map(|clock| Box::new(clock) as Box<dyn Clock>)
            .map_err(Unready::Budget)
    }

    fn mark<C: Clock + 'static>(&self, clock: C) -> Box<dyn Clock> {
        match &self.state {
            Some(state) if !self.dry_run && self.is_first_of_boot() => {
                let mark = SavedClock {
                    at: self.floor(None).at,
                    boot: self.boot.clone(),
                };
                let needed = self.keeping.needs_it();
                Box::new(Marked::new(
                    clock,
                    state.clone(),
                    self.saved.clone(),
                    mark,
                    needed,
                ))
            }
            _ => Box::new(clock),
        }
    }

    /// Keeps what a good run found: the time only if it is verified, for a floor that is wrong shuts
    /// the true time out.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn keep(&self, trust: &TrustReport) -> Result<(), StateError> {
        let Some(state) = &self.state else {
            return Ok(());
        };
        let verified = trust.agreed.filter(|_| trust.state == TrustState::Verified);
        let saved = self.saved.as_ref().map(|saved| saved.at);
        let at = verified.max(saved).unwrap_or(Floor::of_build().at);
        let boot = self.boot.clone();
        SavedClock { at, boot }.write(state)
    }
}

impl Keeping {
    /// Whether a run that cannot use the folder moves no clock.
    fn needs_it(&self) -> bool {
        self.folder.is_some() || self.relies_on_it()
    }

    fn relies_on_it(&self) -> bool {
        self.max_start_offset.is_some() || self.max_step_total.is_some()
    }
}

/// systemd names the unit's folder, or several with colons between them.
fn default_folder() -> PathBuf {
    let named = std::env::var("STATE_DIRECTORY").unwrap_or_default();
    match named.split(':').next() {
        Some(first) if !first.is_empty() => first.into(),
        _ => "/var/lib/tsq-adjtime".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeping(folder: &Path) -> Keeping {
        Keeping {
            folder: Some(folder.into()),
            ..Keeping::default()
        }
    }

    fn open(folder: &Path, dry_run: bool) -> Memory {
        let (memory, warning) = Memory::open(&keeping(folder), dry_run, Instant::now()).unwrap();
        assert!(warning.is_none(), "{warning:?}");
        memory
    }

    fn report(state: TrustState, agreed: HostTime) -> TrustReport {
        TrustReport {
            before: TrustState::Floor,
            state,
            clock: crate::standing::Standing::Unsynchronised,
            floor: Floor::of_build(),
            agreed: Some(agreed),
            keys: 3,
            refused: None,
        }
    }

    #[test]
    fn only_a_verified_time_raises_the_floor_and_none_lowers_it() {
        let folder = tempfile::tempdir().unwrap();
        let later = |days: i64| HostTime::from_unix(1_793_491_200 + days * 86_400, 0);
        for (state, days, expected) in [
            (TrustState::Tentative, 900, None),
            (TrustState::Verified, 30, Some(30)),
            (TrustState::Tentative, 900, Some(30)),
            (TrustState::Verified, 20, Some(30)),
            (TrustState::Verified, 40, Some(40)),
        ] {
            let memory = open(folder.path(), false);
            memory.keep(&report(state, later(days))).unwrap();
            drop(memory);
            let floor = open(folder.path(), true).floor(None);
            match expected {
                Some(days) => {
                    assert_eq!(
                        (floor.at, floor.source),
                        (later(days), FloorSource::SavedClock)
                    );
                }
                None => assert_eq!(floor, Floor::of_build()),
            }
        }
    }

    #[test]
    fn first_of_a_boot_is_over_once_something_was_kept() {
        let folder = tempfile::tempdir().unwrap();
        let memory = open(folder.path(), false);
        assert!(memory.is_first_of_boot());
        let now = Floor::of_build().at;
        memory.keep(&report(TrustState::Tentative, now)).unwrap();
        drop(memory);
        let memory = open(folder.path(), false);
        assert!(!memory.is_first_of_boot());
        let unknown = Memory {
            boot: None,
            ..Memory::none(&Keeping::default(), true)
        };
        assert!(!unknown.is_first_of_boot());
    }

    #[test]
    fn folder_that_cannot_be_used_matters_only_if_something_relies_on_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Memory::open(&keeping(file.path()), true, Instant::now()).unwrap_err();
        assert!(matches!(error, Unready::State(_)), "{error:?}");
        assert!(error.to_string().contains("is no folder"), "{error}");
    }
}
