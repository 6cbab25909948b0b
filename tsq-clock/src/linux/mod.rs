//! The Linux system clock, set by `adjtimex(2)` alone.

mod hardware;
mod outcome;
mod request;
mod state;
#[expect(unsafe_code, reason = "system calls; nothing else is in this file")]
mod sys;

pub use hardware::HardwareClock;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tsq_proto::{HostTime, Offset};

use crate::discipline::Rein;
use crate::{Applied, Clock, ClockError, Discipline, KernelState, Limits, Moment, Slewing, slew};

/// This machine's `CLOCK_REALTIME`.
///
/// Steps are relative and atomic (`ADJ_SETOFFSET`), so the time between measuring and setting adds
/// no error. Slews are the kernel's `adjtime` (`ADJ_OFFSET_SINGLESHOT`), which takes any amount;
/// the NTP loop's `ADJ_OFFSET` would be clamped to 0.5 s.
#[derive(Debug)]
pub struct SystemClock {
    limits: Limits,
    rein: Rein,
}

impl SystemClock {
    /// The system clock, never to be changed beyond `limits` at a time.
    pub fn open(limits: Limits) -> Self {
        Self {
            limits,
            rein: Rein::default(),
        }
    }

    /// The same, with leave to [`discipline`](Clock::discipline) it: to set status, errors, leap second and TAI, and the
    /// frequency up to this correction in parts per billion either way; the kernel's 500 ppm hold besides. Without it,
    /// every attempt is refused.
    #[must_use]
    pub fn disciplined_within(mut self, max_frequency_ppb: u32) -> Self {
        self.rein = Rein::within(max_frequency_ppb);
        self
    }

    /// What the kernel says about its own clock. Needs no privilege.
    ///
    /// # Errors
    /// [`ClockError::NoPermission`] where a sandbox forbids even reading, or
    /// [`ClockError::NotSupported`].
    pub fn state() -> Result<KernelState, ClockError> {
        let mut report = sys::empty_timex();
        sys::adjtimex(&mut report).map_err(outcome::failure)?;
        Ok(state::of(&report))
    }
}

impl Clock for SystemClock {
    fn read(&self) -> HostTime {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => HostTime::from_unix_nanos(saturated(after.as_nanos())),
            Err(before) => HostTime::from_unix_nanos(-saturated(before.duration().as_nanos())),
        }
    }

    /// Of a few readings the closest: a task switch in the middle would leave more open.
    fn moment(&self) -> Moment {
        let reading = || {
            let monotonic = sys::clock(libc::CLOCK_MONOTONIC);
            let (real, boot) = (self.read(), sys::clock(libc::CLOCK_BOOTTIME));
            let width = sys::clock(libc::CLOCK_MONOTONIC).saturating_sub(monotonic);
            Moment {
                real,
                monotonic,
                boot,
                width,
            }
        };
        let first = reading();
        (1..READINGS).fold(first, |best, _| {
            if best.width < CLOSE {
                return best;
            }
            let next = reading();
            if next.width < best.width { next } else { best }
        })
    }

    /// As [`Clock::step`]. The kernel marks the clock as not synchronised, and afterwards counts
    /// in nanoseconds for other users of `adjtimex` (`STA_NANO`).
    fn step(&mut self, by: Offset, since: &Moment) -> Result<Applied, ClockError> {
        self.limits.check_step(by)?;
        let mut request = request::step(by);
        let before = self.undisturbed(since)?;
        sys::adjtimex(&mut request).map_err(outcome::failure)?;
        outcome::check_moved(by, &before, &self.moment())?;
        Ok(Applied {
            by,
            at: self.read(),
        })
    }

    fn slew(&mut self, by: Offset, since: &Moment) -> Result<Slewing, ClockError> {
        self.limits.check_slew(by)?;
        let micros = slew::whole_micros(by);
        let mut request = request::slew(micros);
        self.undisturbed(since)?;
        let begun = Instant::now();
        sys::adjtimex(&mut request).map_err(outcome::failure)?;
        // The kernel hands back what was left of the slew before.
        let replaced = slew::from_micros(request.offset);
        let mut left = request::slew_left();
        sys::adjtimex(&mut left).map_err(outcome::failure)?;
        outcome::check_taken(micros, left.offset, begun.elapsed())?;
        let amount = slew::from_micros(micros);
        Ok(Slewing {
            amount,
            duration: slew::duration(amount),
            replaced,
        })
    }

    fn pending_slew(&self) -> Result<Offset, ClockError> {
        let mut left = request::slew_left();
        sys::adjtimex(&mut left).map_err(outcome::failure)?;
        Ok(slew::from_micros(left.offset))
    }

    fn state(&self) -> Result<KernelState, ClockError> {
        Self::state()
    }

    /// One call; but the flags of the status are read before, for it sets all of them.
    fn discipline(&mut self, told: &Discipline) -> Result<(), ClockError> {
        self.rein.check(told)?;
        let mut report = sys::empty_timex();
        sys::adjtimex(&mut report).map_err(outcome::failure)?;
        let mut request = request::discipline(told, report.status);
        // The kernel answers with what is in force.
        sys::adjtimex(&mut request).map_err(outcome::failure)?;
        outcome::check_frequency(told.frequency_ppb, state::ppb(request.freq))
    }

    /// Asks the kernel for a tick of zero microseconds, which it never grants. It checks the
    /// capability before the range (`timekeeping_validate_timex`): EPERM means that setting is not
    /// allowed, EINVAL that it is. Nothing changes either way.
    fn may_set(&self) -> Result<(), ClockError> {
        outcome::of_probe(sys::adjtimex(&mut request::probe()))
    }
}

impl SystemClock {
    /// What the clocks show now, if nothing happened since.
    fn undisturbed(&self, since: &Moment) -> Result<Moment, ClockError> {
        let now = self.moment();
        since
            .undisturbed_until(&now, SLACK)
            .map_err(ClockError::Disturbed)?;
        Ok(now)
    }
}

/// Below what a slew can make up (whole microseconds) no step matters.
const SLACK: Duration = Duration::from_micros(1);

const READINGS: u32 = 5;

/// Two reads without a task switch between them take less.
const CLOSE: Duration = Duration::from_micros(2);

/// The years 1678 to 2262 fit; beyond them the nearest end.
fn saturated(nanos: u128) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn pending_slew_can_be_read_without_changing_anything() {
        let limits = Limits {
            max_step: Duration::ZERO,
            max_slew: Duration::ZERO,
        };
        assert!(SystemClock::open(limits).pending_slew().is_ok());
    }

    #[test]
    fn changes_past_the_limits_are_refused_before_any_system_call() {
        // By one nanosecond only: should the limits ever fail, this test must not do harm either.
        let mut clock = SystemClock::open(Limits {
            max_step: Duration::ZERO,
            max_slew: Duration::ZERO,
        });
        let since = clock.moment();
        for nanos in [1, -1] {
            let asked = Offset::from_nanos(nanos);
            let limit = Duration::ZERO;
            assert_eq!(
                clock.step(asked, &since),
                Err(ClockError::PastLimit { asked, limit })
            );
            assert_eq!(
                clock.slew(asked, &since),
                Err(ClockError::PastLimit { asked, limit })
            );
        }
    }

    #[test]
    fn clock_that_was_not_opened_for_it_is_not_disciplined() {
        // What is told is nothing: should the check ever fail, this test must not do harm either.
        let mut clock = SystemClock::open(Limits {
            max_step: Duration::ZERO,
            max_slew: Duration::ZERO,
        });
        let refused = Err(ClockError::NotDisciplined);
        assert_eq!(clock.discipline(&Discipline::default()), refused);
        assert!(Clock::state(&clock).is_ok());
    }

    #[test]
    fn reading_of_all_clocks_is_close_and_finds_nothing_where_nothing_was_done() {
        let clock = SystemClock::open(Limits {
            max_step: Duration::ZERO,
            max_slew: Duration::ZERO,
        });
        let (before, after) = (clock.moment(), clock.moment());
        assert!(before.boot >= before.monotonic && after.monotonic >= before.monotonic);
        // Somebody else could set it right now, by a little.
        let slack = Duration::from_secs(1);
        assert_eq!(before.undisturbed_until(&after, slack), Ok(()));
        let stepped = Moment {
            real: before.real - Offset::from_nanos(3_000_000_000),
            ..before
        };
        assert!(stepped.undisturbed_until(&after, slack).is_err());
    }
}
