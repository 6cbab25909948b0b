//! That a clock was changed since the machine booted, noted on disk before it is.

use tsq_proto::{HostTime, Offset};

use crate::{
    Applied, Clock, ClockError, Discipline, KernelState, Moment, SavedClock, Slewing, StateDir,
};

/// A clock that is moved only once it is on the disk that it was: the first correction of a boot may have a
/// limit of its own, and without that note there would be a second first.
#[derive(Debug)]
pub struct Marked<C> {
    clock: C,
    state: StateDir,
    before: Option<SavedClock>,
    mark: SavedClock,
    /// Whether a clock that cannot be marked stays as it is.
    needed: bool,
}

impl<C: Clock> Marked<C> {
    /// Leaves `mark` in `state`, in place of what is saved there, before `clock` is changed. If that is not
    /// `needed`, it is changed all the same where the mark cannot be written.
    pub fn new(
        clock: C,
        state: StateDir,
        before: Option<SavedClock>,
        mark: SavedClock,
        needed: bool,
    ) -> Self {
        Self {
            clock,
            state,
            before,
            mark,
            needed,
        }
    }

    fn change<T>(
        &mut self,
        make: impl FnOnce(&mut C) -> Result<T, ClockError>,
    ) -> Result<T, ClockError> {
        if self.mark.write(&self.state).is_err() && self.needed {
            return Err(ClockError::NotCounted);
        }
        make(&mut self.clock).inspect_err(|error| {
            if !error.has_moved() {
                self.take_back();
            }
        })
    }

    /// If that fails, a boot counts as begun that is not: a limit is held that need not be.
    fn take_back(&self) {
        let _ = match &self.before {
            Some(before) => before.write(&self.state),
            None => SavedClock::remove(&self.state),
        };
    }
}

impl<C: Clock> Clock for Marked<C> {
    fn read(&self) -> HostTime {
        self.clock.read()
    }

    fn moment(&self) -> Moment {
        self.clock.moment()
    }

    fn step(&mut self, by: Offset, since: &Moment) -> Result<Applied, ClockError> {
        self.change(|clock| clock.step(by, since))
    }

    fn slew(&mut self, by: Offset, since: &Moment) -> Result<Slewing, ClockError> {
        self.change(|clock| clock.slew(by, since))
    }

    fn pending_slew(&self) -> Result<Offset, ClockError> {
        self.clock.pending_slew()
    }

    fn state(&self) -> Result<KernelState, ClockError> {
        self.clock.state()
    }

    fn discipline(&mut self, told: &Discipline) -> Result<(), ClockError> {
        self.change(|clock| clock.discipline(told))
    }

    fn may_set(&self) -> Result<(), ClockError> {
        self.clock.may_set()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Limits, SimulatedClock};

    const SECOND: Offset = Offset::from_nanos(1_000_000_000);

    struct Host {
        folder: tempfile::TempDir,
        state: StateDir,
    }

    impl Host {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let state = StateDir::open(&folder.path().join("state")).unwrap();
            Self { folder, state }
        }

        fn clock(&self, needed: bool) -> Marked<SimulatedClock> {
            let limits = Limits {
                max_step: Duration::from_secs(10),
                max_slew: Duration::from_secs(10),
            };
            let clock = SimulatedClock::new(HostTime::from_unix(1_795_000_000, 0), 0, limits);
            let before = SavedClock::read(&self.state).unwrap();
            Marked::new(clock, self.state.clone(), before, mark("this"), needed)
        }

        fn saved(&self) -> Option<SavedClock> {
            SavedClock::read(&self.state).unwrap()
        }
    }

    fn mark(boot: &str) -> SavedClock {
        SavedClock {
            at: HostTime::from_unix(1_794_000_000, 0),
            boot: Some(boot.into()),
        }
    }

    #[test]
    fn change_leaves_its_mark_and_a_look_leaves_none() {
        let host = Host::new();
        let mut clock = host.clock(true);
        let since = clock.moment();
        assert_eq!(host.saved(), None);
        clock.slew(SECOND, &since).unwrap();
        assert_eq!(host.saved(), Some(mark("this")));
        let host = Host::new();
        host.clock(true).step(SECOND, &since).unwrap();
        assert_eq!(host.saved(), Some(mark("this")));
        // One that was not opened for it is not disciplined, and bears no mark of it.
        let host = Host::new();
        let refused = host.clock(true).discipline(&Discipline::default());
        assert_eq!(
            (refused, host.saved()),
            (Err(ClockError::NotDisciplined), None)
        );
    }

    #[test]
    fn change_that_was_not_made_leaves_what_was_there() {
        for before in [None, Some(mark("earlier"))] {
            let host = Host::new();
            if let Some(before) = &before {
                before.write(&host.state).unwrap();
            }
            let mut clock = host.clock(true);
            let since = clock.moment();
            clock.clock.put(SECOND);
            assert!(clock.step(SECOND, &since).is_err());
            assert!(clock.clock.steps().is_empty());
            assert_eq!(host.saved(), before);
        }
    }

    #[test]
    fn clock_that_cannot_be_marked_is_left_alone_where_that_is_needed() {
        let host = Host::new();
        for (needed, expected) in [(true, Err(ClockError::NotCounted)), (false, Ok(SECOND))] {
            let mut clock = host.clock(needed);
            let since = clock.moment();
            let _ = std::fs::remove_dir_all(host.folder.path().join("state"));
            let made = clock.step(SECOND, &since).map(|applied| applied.by);
            assert_eq!(made, expected);
            let steps = clock.clock.steps().len();
            assert_eq!(steps, usize::from(!needed));
        }
    }
}
