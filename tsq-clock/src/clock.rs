use std::time::Duration;

use tsq_proto::{HostTime, Offset};

use crate::{ClockError, Discipline, KernelState, Moment};

/// A clock that can be read and set.
///
/// Positive offsets move it forward. Every change is checked against the clock's own
/// [`Limits`](crate::Limits) first, and returns what really took effect.
///
/// Whoever changes it says `since` when the offset is known: from just before it was measured. If the
/// clock was stepped since, or the machine slept, the offset is that of another clock, and the change
/// is refused. That is looked at last, right before the system call.
pub trait Clock {
    /// What the clock shows now.
    fn read(&self) -> HostTime;

    /// The same together with the clocks that nobody sets.
    fn moment(&self) -> Moment;

    /// Moves the clock at once. A slew that was under way ends there.
    ///
    /// # Errors
    /// [`ClockError`]; the clock was not changed then, except after [`ClockError::NotTaken`].
    fn step(&mut self, by: Offset, since: &Moment) -> Result<Applied, ClockError>;

    /// Begins to run the clock 500 ppm faster or slower until `by` is made up, in whole
    /// microseconds: what is below a microsecond is dropped. It replaces a slew that is under way;
    /// so a slew by zero ends one.
    ///
    /// # Errors
    /// [`ClockError`]; the clock was not changed then, except after [`ClockError::Truncated`].
    fn slew(&mut self, by: Offset, since: &Moment) -> Result<Slewing, ClockError>;

    /// What is left of a slew under way, whoever began it: the clock goes on moving by that much.
    ///
    /// # Errors
    /// [`ClockError`]; needs no privilege.
    fn pending_slew(&self) -> Result<Offset, ClockError>;

    /// What the kernel says of the clock, frequency, errors, leap second and TAI included. After a step nobody keeps it any
    /// more, and the error grows by 500 ppm until somebody [tells](Self::discipline) another.
    ///
    /// # Errors
    /// [`ClockError`]; needs no privilege.
    fn state(&self) -> Result<KernelState, ClockError>;

    /// Tells the kernel what its keeper knows, all of it at once. The clock goes on from where it is.
    ///
    /// # Errors
    /// [`ClockError::NotDisciplined`] of a clock that was not opened for it, [`ClockError::PastFrequency`], others as for
    /// [`step`](Self::step). Nothing was changed then, except after [`ClockError::OtherFrequency`].
    fn discipline(&mut self, told: &Discipline) -> Result<(), ClockError>;

    /// Whether this process may step, slew and discipline the clock; changes nothing.
    ///
    /// # Errors
    /// The [`ClockError`] that [`step`](Self::step) and [`slew`](Self::slew) would fail with.
    fn may_set(&self) -> Result<(), ClockError>;
}

impl<C: Clock + ?Sized> Clock for Box<C> {
    fn read(&self) -> HostTime {
        (**self).read()
    }

    fn moment(&self) -> Moment {
        (**self).moment()
    }

    fn step(&mut self, by: Offset, since: &Moment) -> Result<Applied, ClockError> {
        (**self).step(by, since)
    }

    fn slew(&mut self, by: Offset, since: &Moment) -> Result<Slewing, ClockError> {
        (**self).slew(by, since)
    }

    fn pending_slew(&self) -> Result<Offset, ClockError> {
        (**self).pending_slew()
    }

    fn state(&self) -> Result<KernelState, ClockError> {
        (**self).state()
    }

    fn discipline(&mut self, told: &Discipline) -> Result<(), ClockError> {
        (**self).discipline(told)
    }

    fn may_set(&self) -> Result<(), ClockError> {
        (**self).may_set()
    }
}

/// A step that took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// How far the clock was moved.
    pub by: Offset,
    /// What the clock showed right after.
    pub at: HostTime,
}

/// A slew that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slewing {
    /// How far the clock will be moved: what was asked, without its part below a microsecond.
    pub amount: Offset,
    /// How long it takes, to within a second.
    pub duration: Duration,
    /// What was left of an earlier slew, which will not be made up any more.
    pub replaced: Offset,
}
