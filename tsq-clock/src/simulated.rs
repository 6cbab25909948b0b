use std::time::Duration;

use tsq_proto::{HostTime, Offset};

use crate::{Applied, Clock, ClockError, Limits, Moment, Slewing, slew};

/// A clock for tests: it moves only when told, by [`advance`](Self::advance).
#[derive(Clone, Debug)]
pub struct SimulatedClock {
    limits: Limits,
    permitted: bool,
    /// What the clock showed at the start, plus all steps and all that was slewed.
    base: HostTime,
    /// True time since the start. Drift is computed from the whole of it, so that it does not
    /// depend on the sizes of the advances.
    elapsed_ns: i128,
    frequency_ppb: i64,
    slew_left: Offset,
    /// True time that has not made up a whole nanosecond yet.
    slew_carry_ns: i128,
    steps: Vec<Offset>,
    slews: Vec<Offset>,
    /// All steps, ours and others'.
    stepped: Offset,
    slept: Duration,
}

impl SimulatedClock {
    /// A clock that shows `time` and runs `frequency_ppb` parts per billion too fast (1 ppm is
    /// 1000; negative: too slow).
    pub fn new(time: HostTime, frequency_ppb: i64, limits: Limits) -> Self {
        Self {
            limits,
            permitted: true,
            base: time,
            elapsed_ns: 0,
            frequency_ppb,
            slew_left: Offset::ZERO,
            slew_carry_ns: 0,
            steps: Vec::new(),
            slews: Vec::new(),
            stepped: Offset::ZERO,
            slept: Duration::ZERO,
        }
    }

    /// The same clock, for a process that may not set it.
    #[must_use]
    pub fn without_permission(self) -> Self {
        Self {
            permitted: false,
            ..self
        }
    }

    /// Lets true time pass: the clock follows with its frequency error and makes up its slew.
    pub fn advance(&mut self, true_time: Duration) {
        let nanos = true_time.as_nanos().cast_signed();
        self.elapsed_ns += nanos;
        self.make_up_slew(nanos);
    }

    /// Another program steps the clock.
    pub fn put(&mut self, by: Offset) {
        self.base = self.base + by;
        self.stepped = self.stepped + by;
        self.slew_left = Offset::ZERO;
    }

    /// As [`advance`](Self::advance), with the machine asleep.
    pub fn sleep(&mut self, true_time: Duration) {
        let before = self.moment();
        self.advance(true_time);
        self.slept += self.moment().boot.saturating_sub(before.boot);
    }

    /// The steps made so far through [`Clock`].
    pub fn steps(&self) -> &[Offset] {
        &self.steps
    }

    /// The slews begun so far through [`Clock`], each as it was accepted.
    pub fn slews(&self) -> &[Offset] {
        &self.slews
    }

    fn make_up_slew(&mut self, nanos: i128) {
        if self.slew_left == Offset::ZERO {
            return;
        }
        let rate = i128::from(slew::NANOS_PER_NANO);
        let passed = self.slew_carry_ns + nanos;
        self.slew_carry_ns = passed % rate;
        let left = i128::from(self.slew_left.as_nanos());
        let made_up = saturated(left.clamp(-(passed / rate), passed / rate));
        self.base = self.base + made_up;
        self.slew_left = self.slew_left - made_up;
    }

    fn check_permission(&self) -> Result<(), ClockError> {
        if self.permitted {
            Ok(())
        } else {
            Err(ClockError::NoPermission)
        }
    }

    fn check_undisturbed(&self, since: &Moment) -> Result<(), ClockError> {
        since
            .undisturbed_until(&self.moment(), Duration::ZERO)
            .map_err(ClockError::Disturbed)
    }
}

const EPOCH: HostTime = HostTime::from_unix_nanos(0);

impl Clock for SimulatedClock {
    fn read(&self) -> HostTime {
        let drift = self.elapsed_ns * i128::from(self.frequency_ppb) / 1_000_000_000;
        self.base + saturated(self.elapsed_ns + drift)
    }

    /// Exact: reads take no time here.
    fn moment(&self) -> Moment {
        let unstepped = self.read() - self.stepped - EPOCH;
        let boot = Duration::from_nanos(u64::try_from(unstepped.as_nanos()).unwrap_or(0));
        Moment {
            real: self.read(),
            monotonic: boot.saturating_sub(self.slept),
            boot,
            width: Duration::ZERO,
        }
    }

    fn step(&mut self, by: Offset, since: &Moment) -> Result<Applied, ClockError> {
        self.limits.check_step(by)?;
        self.check_permission()?;
        self.check_undisturbed(since)?;
        self.put(by);
        self.steps.push(by);
        Ok(Applied {
            by,
            at: self.read(),
        })
    }

    fn slew(&mut self, by: Offset, since: &Moment) -> Result<Slewing, ClockError> {
        self.limits.check_slew(by)?;
        self.check_permission()?;
        self.check_undisturbed(since)?;
        let amount = slew::from_micros(slew::whole_micros(by));
        let replaced = std::mem::replace(&mut self.slew_left, amount);
        self.slew_carry_ns = 0;
        self.slews.push(amount);
        Ok(Slewing {
            amount,
            duration: slew::duration(amount),
            replaced,
        })
    }

    fn pending_slew(&self) -> Result<Offset, ClockError> {
        Ok(self.slew_left)
    }

    fn may_set(&self) -> Result<(), ClockError> {
        self.check_permission()
    }
}

fn saturated(nanos: i128) -> Offset {
    let bounded = nanos.clamp(i64::MIN.into(), i64::MAX.into());
    Offset::from_nanos(i64::try_from(bounded).expect("clamped to the range of i64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn clock(frequency_ppb: i64) -> SimulatedClock {
        let limits = Limits {
            max_step: 1_000 * SECOND,
            max_slew: SECOND,
        };
        SimulatedClock::new(HostTime::from_unix(1_795_000_000, 0), frequency_ppb, limits)
    }

    fn micros(micros: i64) -> Offset {
        Offset::from_nanos(micros * 1_000)
    }

    /// How far the clock moved while `true_time` passed, beyond it.
    fn gained(clock: &mut SimulatedClock, true_time: Duration) -> Offset {
        let before = clock.read();
        clock.advance(true_time);
        clock.read() - before - Offset::from_nanos(true_time.as_nanos() as i64)
    }

    #[test]
    fn frequency_error_adds_up() {
        assert_eq!(gained(&mut clock(12_500), 100 * SECOND), micros(1_250));
        assert_eq!(gained(&mut clock(-12_500), 100 * SECOND), micros(-1_250));
    }

    #[test]
    fn drift_does_not_depend_on_the_sizes_of_the_advances() {
        let (mut once, mut often) = (clock(333), clock(333));
        once.advance(SECOND);
        for _ in 0..1_000 {
            often.advance(SECOND / 1_000);
        }
        assert_eq!(once.read(), often.read());
    }

    #[test]
    fn step_takes_effect_at_once_and_ends_a_slew() {
        let mut clock = clock(0);
        clock.slew(micros(1_000), &clock.moment()).unwrap();
        let before = clock.read();
        let applied = clock.step(micros(-1_444_208), &clock.moment()).unwrap();
        assert_eq!(
            (applied.by, applied.at),
            (micros(-1_444_208), before + micros(-1_444_208))
        );
        assert_eq!(clock.pending_slew().unwrap(), Offset::ZERO);
        assert_eq!(gained(&mut clock, SECOND), Offset::ZERO);
        assert_eq!(clock.steps(), [micros(-1_444_208)]);
    }

    #[test]
    fn slew_makes_up_500_us_a_second_and_stops_when_done() {
        for sign in [1, -1] {
            let mut clock = clock(0);
            let slewing = clock.slew(micros(sign * 1_250), &clock.moment()).unwrap();
            assert_eq!(slewing.duration, Duration::from_millis(2_500));
            assert_eq!(gained(&mut clock, SECOND), micros(sign * 500));
            assert_eq!(gained(&mut clock, SECOND), micros(sign * 500));
            assert_eq!(gained(&mut clock, SECOND), micros(sign * 250));
            assert_eq!(gained(&mut clock, SECOND), Offset::ZERO);
        }
    }

    #[test]
    fn slew_in_tiny_advances_is_as_fast() {
        let mut clock = clock(0);
        clock.slew(micros(1_000), &clock.moment()).unwrap();
        for _ in 0..1_000 {
            clock.advance(Duration::from_nanos(1_999));
        }
        assert_eq!(
            clock.pending_slew().unwrap(),
            micros(1_000) - Offset::from_nanos(999)
        );
    }

    #[test]
    fn new_slew_reports_what_it_replaced() {
        let mut clock = clock(0);
        clock.slew(micros(1_000), &clock.moment()).unwrap();
        clock.advance(SECOND);
        let slewing = clock
            .slew(Offset::from_nanos(-7_900), &clock.moment())
            .unwrap();
        assert_eq!(
            (slewing.amount, slewing.replaced),
            (micros(-7), micros(500))
        );
        assert_eq!(clock.slews(), [micros(1_000), micros(-7)]);
    }

    #[test]
    fn refused_changes_leave_no_trace() {
        let mut limited = clock(0);
        assert!(matches!(
            limited.slew(micros(1_000_001), &limited.moment()),
            Err(ClockError::PastLimit { .. })
        ));
        assert!(matches!(
            limited.step(micros(-1_000_000_001), &limited.moment()),
            Err(ClockError::PastLimit { .. })
        ));
        let mut forbidden = clock(0).without_permission();
        assert_eq!(forbidden.may_set(), Err(ClockError::NoPermission));
        assert_eq!(
            forbidden.step(micros(1), &forbidden.moment()),
            Err(ClockError::NoPermission)
        );
        assert_eq!(
            forbidden.slew(micros(1), &forbidden.moment()),
            Err(ClockError::NoPermission)
        );
        for clock in [limited, forbidden] {
            assert!(clock.steps().is_empty() && clock.slews().is_empty());
            assert_eq!(clock.read(), HostTime::from_unix(1_795_000_000, 0));
        }
    }

    #[test]
    fn offset_that_was_measured_before_the_clock_was_moved_is_refused() {
        let moved: [fn(&mut SimulatedClock); 3] = [
            |clock| clock.put(micros(-2_000_000)),
            |clock| clock.sleep(SECOND),
            // Its own step as well: one measurement is good for one.
            |clock| assert!(clock.step(micros(2_000_000), &clock.moment()).is_ok()),
        ];
        for make in moved {
            let mut clock = clock(0);
            let since = clock.moment();
            clock.advance(SECOND);
            make(&mut clock);
            let made = clock.steps().len();
            let by = micros(2_000_000);
            let refused = |error| matches!(error, ClockError::Disturbed(_));
            assert!(clock.step(by, &since).is_err_and(refused));
            assert!(clock.slew(micros(1), &since).is_err_and(refused));
            assert_eq!((clock.steps().len(), clock.slews().len()), (made, 0));
            let since = clock.moment();
            assert!(clock.step(by, &since).is_ok());
        }
    }

    /// It moves the clocks that nobody sets alike, however long it takes.
    #[test]
    fn slew_under_way_disturbs_nothing() {
        let mut clock = clock(50_000);
        clock.slew(micros(500_000), &clock.moment()).unwrap();
        let since = clock.moment();
        clock.advance(1_000 * SECOND);
        assert!(clock.step(micros(2_000_000), &since).is_ok());
    }
}
