use tsq_proto::{HostTime, Offset};

use crate::discipline::Rein;
use crate::{Applied, Clock, ClockError, Discipline, KernelState, Limits, Moment, Slewing, slew};

/// Reads a real clock but only reports what setting it would have done: the same code runs as for
/// a clock that is set, and the same limits hold.
#[derive(Clone, Debug)]
pub struct DryRun<C> {
    clock: C,
    limits: Limits,
    rein: Rein,
}

impl<C: Clock> DryRun<C> {
    /// A dry run over `clock`, with the limits that a real run would have.
    pub fn new(clock: C, limits: Limits) -> Self {
        Self {
            clock,
            limits,
            rein: Rein::default(),
        }
    }

    /// As [`SystemClock::disciplined_within`](crate::SystemClock::disciplined_within).
    #[must_use]
    pub fn disciplined_within(mut self, max_frequency_ppb: u32) -> Self {
        self.rein = Rein::within(max_frequency_ppb);
        self
    }
}

impl<C: Clock> Clock for DryRun<C> {
    fn read(&self) -> HostTime {
        self.clock.read()
    }

    fn moment(&self) -> Moment {
        self.clock.moment()
    }

    /// As nothing is set, nothing can be spoilt by what happened `since`.
    fn step(&mut self, by: Offset, _since: &Moment) -> Result<Applied, ClockError> {
        self.limits.check_step(by)?;
        let at = self.clock.read() + by;
        Ok(Applied { by, at })
    }

    fn slew(&mut self, by: Offset, _since: &Moment) -> Result<Slewing, ClockError> {
        self.limits.check_slew(by)?;
        let amount = slew::from_micros(slew::whole_micros(by));
        Ok(Slewing {
            amount,
            duration: slew::duration(amount),
            replaced: self.clock.pending_slew()?,
        })
    }

    fn pending_slew(&self) -> Result<Offset, ClockError> {
        self.clock.pending_slew()
    }

    fn state(&self) -> Result<KernelState, ClockError> {
        self.clock.state()
    }

    fn discipline(&mut self, told: &Discipline) -> Result<(), ClockError> {
        self.rein.check(told)
    }

    /// Always: nothing is set.
    fn may_set(&self) -> Result<(), ClockError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::SimulatedClock;

    const LIMITS: Limits = Limits {
        max_step: Duration::from_secs(10),
        max_slew: Duration::from_secs(1),
    };

    fn dry_run() -> DryRun<SimulatedClock> {
        let start = HostTime::from_unix(1_795_000_000, 0);
        DryRun::new(
            SimulatedClock::new(start, 0, LIMITS).without_permission(),
            LIMITS,
        )
    }

    #[test]
    fn setters_report_without_permission_and_change_nothing() {
        let mut clock = dry_run();
        assert_eq!(clock.may_set(), Ok(()));
        let (before, since) = (clock.read(), clock.moment());
        let by = Offset::from_nanos(-1_444_208_000);
        assert_eq!(
            clock.step(by, &since),
            Ok(Applied {
                by,
                at: before + by
            })
        );
        let slewing = clock.slew(Offset::from_nanos(100_000_999), &since).unwrap();
        assert_eq!(slewing.amount, Offset::from_nanos(100_000_000));
        assert_eq!(slewing.duration, Duration::from_secs(200));
        clock.clock.advance(Duration::from_secs(1));
        assert_eq!(clock.read() - before, Offset::from_nanos(1_000_000_000));
    }

    #[test]
    fn discipline_is_checked_and_changes_nothing() {
        let mut clock = dry_run();
        let told = Discipline {
            frequency_ppb: Some(1_000),
            ..Discipline::default()
        };
        assert_eq!(clock.discipline(&told), Err(ClockError::NotDisciplined));
        let mut clock = clock.disciplined_within(1_000);
        let before = clock.state();
        assert_eq!(clock.discipline(&told), Ok(()));
        assert_eq!(clock.state(), before);
    }

    #[test]
    fn limits_hold_in_a_dry_run_too() {
        let mut clock = dry_run();
        let since = clock.moment();
        let past = Offset::from_nanos(10_000_000_001);
        assert!(matches!(
            clock.step(past, &since),
            Err(ClockError::PastLimit { .. })
        ));
        let past = Offset::from_nanos(1_000_000_001);
        assert!(matches!(
            clock.slew(past, &since),
            Err(ClockError::PastLimit { .. })
        ));
    }
}
