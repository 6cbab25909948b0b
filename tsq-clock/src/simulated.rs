use std::time::Duration;

use tsq_proto::{HostTime, Offset};

use crate::discipline::{self, Rein};
use crate::{
    Applied, Clock, ClockError, Discipline, KernelLeap, KernelState, Limits, Moment, Slewing, slew,
};

/// A clock for tests: it moves only when told, by [`advance`](Self::advance).
#[derive(Clone, Debug)]
pub struct SimulatedClock {
    limits: Limits,
    rein: Rein,
    permitted: bool,
    /// What the clock showed when its frequency last changed, plus all steps and all that was slewed since.
    base: HostTime,
    /// True time since then. Drift is computed from the whole of it, so that it does not
    /// depend on the sizes of the advances.
    elapsed_ns: i128,
    /// The oscillator's own error.
    frequency_ppb: i64,
    /// What a kernel would say, as of `elapsed_ns`: the correction of the frequency in force is in it.
    kernel: KernelState,
    /// True time that has not made up a whole microsecond of error yet, times 500 ppm.
    error_carry_ns: u128,
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
            rein: Rein::default(),
            permitted: true,
            base: time,
            elapsed_ns: 0,
            frequency_ppb,
            kernel: UNKEPT,
            error_carry_ns: 0,
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

    /// As [`SystemClock::disciplined_within`](crate::SystemClock::disciplined_within).
    #[must_use]
    pub fn disciplined_within(self, max_frequency_ppb: u32) -> Self {
        Self {
            rein: Rein::within(max_frequency_ppb),
            ..self
        }
    }

    /// Lets true time pass: the clock follows with its frequency error and makes up its slew, and its keeper's word
    /// is worth less.
    pub fn advance(&mut self, true_time: Duration) {
        let nanos = true_time.as_nanos().cast_signed();
        self.elapsed_ns += nanos;
        self.make_up_slew(nanos);
        self.doubt(true_time);
    }

    /// As kernels do each second: 500 ppm more of error, and a clock given up at 16 s.
    fn doubt(&mut self, true_time: Duration) {
        let passed = self.error_carry_ns + true_time.as_nanos();
        let a_micro = u128::from(slew::NANOS_PER_NANO) * 1_000;
        self.error_carry_ns = passed % a_micro;
        let micros = u64::try_from(passed / a_micro).unwrap_or(u64::MAX);
        let max_error = self
            .kernel
            .max_error
            .saturating_add(Duration::from_micros(micros));
        self.kernel.max_error = max_error.min(KernelState::GIVEN_UP);
        self.kernel.synchronised = self.kernel.max_error < KernelState::GIVEN_UP;
    }

    /// How fast it runs: the oscillator's error with the correction.
    fn rate_ppb(&self) -> i128 {
        i128::from(self.frequency_ppb) + i128::from(self.kernel.frequency_ppb)
    }

    /// Another program steps the clock.
    pub fn put(&mut self, by: Offset) {
        self.base = self.base + by;
        self.stepped = self.stepped + by;
        self.slew_left = Offset::ZERO;
        // Nobody keeps a clock that was just stepped.
        self.kernel.max_error = KernelState::GIVEN_UP;
        self.kernel.synchronised = false;
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

/// At boot.
const UNKEPT: KernelState = KernelState {
    synchronised: false,
    estimated_error: KernelState::GIVEN_UP,
    max_error: KernelState::GIVEN_UP,
    frequency_ppb: 0,
    tai_offset: None,
    leap: KernelLeap::None,
};

impl Clock for SimulatedClock {
    fn read(&self) -> HostTime {
        let drift = self.elapsed_ns * self.rate_ppb() / 1_000_000_000;
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

    fn state(&self) -> Result<KernelState, ClockError> {
        Ok(self.kernel)
    }

    /// The leap second itself is not made.
    fn discipline(&mut self, told: &Discipline) -> Result<(), ClockError> {
        self.rein.check(told)?;
        self.check_permission()?;
        // What has passed ran at the old rate.
        (self.base, self.elapsed_ns) = (self.read(), 0);
        self.kernel = discipline::told(self.kernel, told);
        if told.error.is_some() {
            self.error_carry_ns = 0;
        }
        Ok(())
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
    use crate::ErrorBound;

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

    fn corrected(ppb: i64) -> Discipline {
        Discipline {
            frequency_ppb: Some(ppb),
            ..Discipline::default()
        }
    }

    fn kept(max_micros: u64) -> Discipline {
        let (estimated, max) = (Duration::ZERO, Duration::from_micros(max_micros));
        Discipline {
            error: Some(ErrorBound { estimated, max }),
            synchronised: Some(true),
            ..Discipline::default()
        }
    }

    #[test]
    fn frequency_correction_counts_from_when_it_is_set() {
        let mut clock = clock(12_500).disciplined_within(500_000);
        assert_eq!(gained(&mut clock, 100 * SECOND), micros(1_250));
        clock.discipline(&corrected(-12_500)).unwrap();
        assert_eq!(gained(&mut clock, 100 * SECOND), Offset::ZERO);
        clock.discipline(&corrected(-500_000)).unwrap();
        assert_eq!(gained(&mut clock, 100 * SECOND), micros(-48_750));
        assert_eq!(clock.state().unwrap().frequency_ppb, -500_000);
        assert!(clock.discipline(&corrected(500_001)).is_err());
        assert_eq!(clock.state().unwrap().frequency_ppb, -500_000);
    }

    #[test]
    fn error_grows_by_500_ppm_until_the_clock_is_given_up() {
        let mut clock = clock(0).disciplined_within(0);
        assert!(!clock.state().unwrap().synchronised);
        clock.discipline(&kept(15_000_000)).unwrap();
        for _ in 0..2_000 {
            clock.advance(SECOND / 1_000 * 999);
        }
        let state = clock.state().unwrap();
        assert!(state.synchronised);
        assert_eq!(state.max_error, Duration::from_micros(15_999_000));
        clock.advance(2 * SECOND);
        let state = clock.state().unwrap();
        assert_eq!(
            (state.synchronised, state.max_error),
            (false, KernelState::GIVEN_UP)
        );
    }

    #[test]
    fn step_loses_the_keepers_word_and_a_slew_does_not() {
        let mut clock = clock(0).disciplined_within(0);
        clock.discipline(&kept(900)).unwrap();
        clock.slew(micros(5), &clock.moment()).unwrap();
        assert!(clock.state().unwrap().synchronised);
        clock.step(micros(5), &clock.moment()).unwrap();
        assert!(!clock.state().unwrap().synchronised);
    }

    #[test]
    fn what_is_not_told_stays() {
        let mut clock = clock(0).disciplined_within(100);
        clock.discipline(&kept(900)).unwrap();
        let announced = Discipline {
            leap: Some(KernelLeap::Insert),
            tai_offset: Some(37),
            ..Discipline::default()
        };
        clock.discipline(&announced).unwrap();
        clock.discipline(&corrected(7)).unwrap();
        let expected = KernelState {
            synchronised: true,
            estimated_error: Duration::ZERO,
            max_error: Duration::from_micros(900),
            frequency_ppb: 7,
            tai_offset: Some(37),
            leap: KernelLeap::Insert,
        };
        assert_eq!(clock.state(), Ok(expected));
        let lost = Discipline {
            synchronised: Some(false),
            leap: Some(KernelLeap::None),
            tai_offset: Some(0),
            ..Discipline::default()
        };
        clock.discipline(&lost).unwrap();
        let state = clock.state().unwrap();
        assert!(!state.synchronised);
        assert_eq!((state.leap, state.tai_offset), (KernelLeap::None, None));
    }

    #[test]
    fn discipline_needs_leave_and_permission() {
        let refused = clock(0).discipline(&corrected(0));
        assert_eq!(refused, Err(ClockError::NotDisciplined));
        let mut clock = clock(0).disciplined_within(9).without_permission();
        assert_eq!(
            clock.discipline(&corrected(1)),
            Err(ClockError::NoPermission)
        );
        assert_eq!(clock.state().unwrap().frequency_ppb, 0);
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
