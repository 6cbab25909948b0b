//! A clock nobody keeps any more: for a while it is still known how wrong it can be.

use std::time::{Duration, Instant};

use tsq_proto::tlv::ClockClass;

use super::state::{Lack, OwnClock};

/// What one look at kernel and chronyd found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// What they say.
    pub picture: OwnClock,
    /// What is to be told of a clock that nobody keeps.
    pub unkept: OwnClock,
    /// Whether chronyd is among them.
    pub chrony: bool,
    /// The largest error the kernel thinks possible: only who keeps the clock makes it smaller.
    pub kernel_max_error: Option<Duration>,
    /// Whether the clock was stepped since the last look.
    pub stepped: bool,
}

/// Goes on from the last picture of a kept clock, for a limited time.
///
/// A clock counts as lost when the kernel or chronyd calls it unsynchronised, or when chronyd, which kept it, no longer
/// answers and nobody else tells the kernel anything. From the next look on it is told as class 5, and its root
/// dispersion and estimated error grow by [`DRIFT_PPM`]; after the limit, or when somebody steps it, it is told as what it
/// is: stratum 0.
#[derive(Clone, Debug)]
pub struct Holdover {
    limit: Duration,
    kept: Option<Kept>,
    /// The kernel's largest error at the last look.
    max_error: Option<Duration>,
}

/// The last look at a kept clock.
#[derive(Clone, Debug)]
struct Kept {
    picture: OwnClock,
    chrony: bool,
    at: Instant,
}

impl Holdover {
    /// Goes on for `limit` at most; zero: not at all.
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            kept: None,
            max_error: None,
        }
    }

    /// What to tell clients after a look at `now`; looks come in the order of their times.
    pub fn see(&mut self, now: Instant, sight: Sight) -> OwnClock {
        let touched = self
            .max_error
            .zip(sight.kernel_max_error)
            .is_some_and(|(before, after)| after < before);
        self.max_error = sight.kernel_max_error;
        if self.is_kept(&sight, touched) {
            self.kept = Some(Kept {
                picture: sight.picture.clone(),
                chrony: sight.chrony,
                at: now,
            });
            return sight.picture;
        }
        if sight.stepped {
            self.kept = None;
        }
        let held = self
            .kept
            .as_ref()
            .map(|kept| (kept, now.saturating_duration_since(kept.at)))
            .filter(|(_, age)| *age < self.limit);
        match held {
            Some((kept, age)) => aged(&kept.picture, age),
            // The kernel may still call it synchronised: it does for hours after its keeper is gone.
            None => OwnClock {
                // What the last look found, where it found something.
                lack: sight
                    .unkept
                    .lack
                    .map(|_| sight.picture.lack.unwrap_or(Lack::Keeper)),
                ..sight.unkept
            },
        }
    }

    fn is_kept(&self, sight: &Sight, touched: bool) -> bool {
        if !sight.picture.synchronised || sight.picture.vouched {
            return false;
        }
        let chrony_kept_it = self.kept.as_ref().is_some_and(|kept| kept.chrony);
        sight.chrony || !chrony_kept_it || touched
    }
}

/// The picture of a clock that nobody has kept for `age`.
fn aged(picture: &OwnClock, age: Duration) -> OwnClock {
    let growth = age.mul_f64(DRIFT_PPM * 1e-6);
    OwnClock {
        class: ClockClass::Holdover,
        root_dispersion: picture
            .root_dispersion
            .map(|dispersion| dispersion.saturating_add(growth)),
        estimated_error: picture.estimated_error.saturating_add(growth),
        ..picture.clone()
    }
}

/// How fast the error of a clock grows that nobody keeps, in parts per million: PHI of RFC 5905, section 11.1.
///
/// The kernel goes on correcting the oscillator by the last frequency; what is left is what temperature changes.
pub const DRIFT_PPM: f64 = 15.0;

#[cfg(test)]
mod tests {
    use tsq_clock::{KernelLeap, KernelState};

    use super::*;
    use crate::own_clock::{Overrides, Tracking};

    const LIMIT: Duration = Duration::from_secs(3600);

    fn kernel(synchronised: bool, max_error: Duration) -> KernelState {
        KernelState {
            synchronised,
            estimated_error: Duration::from_micros(20),
            max_error,
            frequency_ppb: -1500,
            tai_offset: Some(37),
            leap: KernelLeap::None,
        }
    }

    fn tracking() -> Tracking {
        Tracking {
            reference_id: 0xC000_0201,
            stratum: 2,
            root_delay: Duration::from_micros(1000),
            root_dispersion: Duration::from_micros(300),
            skew_ppm: 0.0,
            frequency_ppb: 0,
            rms_offset: Duration::ZERO,
            leap: Some(KernelLeap::None),
        }
    }

    /// A look `seconds` after the last word of a keeper: the kernel's error grows by 500 ppm.
    fn sight(synchronised: bool, chrony: bool, seconds: u64) -> Sight {
        let max_error = Duration::from_micros(900 + 500 * seconds);
        let state = kernel(synchronised, max_error);
        let tracking = tracking();
        let told = chrony.then_some((&tracking, Duration::ZERO));
        Sight {
            picture: OwnClock::picture(Some(&state), told, &Overrides::default()),
            unkept: OwnClock::picture(None, None, &Overrides::default()),
            chrony,
            kernel_max_error: Some(max_error),
            stepped: false,
        }
    }

    struct Run {
        start: Instant,
        holdover: Holdover,
    }

    impl Run {
        fn kept_by(chrony: bool) -> Self {
            let mut run = Self {
                start: Instant::now(),
                holdover: Holdover::new(LIMIT),
            };
            let kept = run.see(0, sight(true, chrony, 0));
            assert_ne!(kept.class, ClockClass::Holdover);
            run
        }

        fn see(&mut self, seconds: u64, sight: Sight) -> OwnClock {
            self.holdover
                .see(self.start + Duration::from_secs(seconds), sight)
        }
    }

    #[test]
    fn lost_clock_is_told_at_once_and_its_error_grows_for_an_hour() {
        for (synchronised, chrony) in [(false, true), (false, false), (true, false)] {
            let mut run = Run::kept_by(true);
            for seconds in 1..3600 {
                let told = run.see(seconds, sight(synchronised, chrony, seconds));
                assert!(told.synchronised);
                assert_eq!((told.stratum, told.class), (2, ClockClass::Holdover));
                let growth = Duration::from_micros(15 * seconds);
                let dispersion = told.root_dispersion.unwrap();
                assert_eq!(
                    dispersion,
                    Duration::from_micros(300) + growth,
                    "{seconds} s"
                );
                assert_eq!(told.estimated_error, Duration::from_micros(20) + growth);
            }
            let over = run.see(3600, sight(synchronised, chrony, 3600));
            assert!(!over.synchronised);
            let expected = if chrony { Lack::Word } else { Lack::Keeper };
            assert_eq!(over.lack, Some(expected));
            assert_eq!((over.stratum, over.root_dispersion), (0, None));
        }
    }

    #[test]
    fn clock_kept_again_is_good_at_once() {
        let mut run = Run::kept_by(true);
        assert_eq!(
            run.see(1, sight(false, false, 1)).class,
            ClockClass::Holdover
        );
        let again = run.see(2, sight(true, true, 0));
        assert_eq!((again.stratum, again.class), (2, ClockClass::Ntp));
        assert_eq!(again.root_dispersion, Some(Duration::from_micros(300)));
        // And the time begins anew.
        assert!(run.see(3601, sight(false, false, 0)).synchronised);
    }

    #[test]
    fn kernel_without_chronyd_keeps_its_own_account() {
        let mut run = Run::kept_by(false);
        for seconds in 1..10_000 {
            let told = run.see(seconds, sight(true, false, seconds));
            let error = Duration::from_micros(900 + 500 * seconds);
            assert_eq!(told.root_dispersion, Some(error));
        }
        assert_eq!(
            run.see(10_000, sight(false, false, 0)).class,
            ClockClass::Holdover
        );
    }

    #[test]
    fn another_keeper_in_chronyds_place_is_known_by_what_it_tells_the_kernel() {
        let mut run = Run::kept_by(true);
        assert_eq!(
            run.see(1, sight(true, false, 1)).class,
            ClockClass::Holdover
        );
        let told = run.see(2, sight(true, false, 0));
        assert_eq!((told.synchronised, told.stratum), (true, 15));
        assert_ne!(told.class, ClockClass::Holdover);
        assert_eq!(run.see(3, sight(true, false, 1)).stratum, 15);
    }

    #[test]
    fn stepped_clock_is_not_held() {
        let mut run = Run::kept_by(true);
        let stepped = Sight {
            stepped: true,
            ..sight(false, false, 1)
        };
        assert_eq!(run.see(1, stepped).stratum, 0);
        assert_eq!(run.see(2, sight(false, false, 2)).stratum, 0);
    }

    #[test]
    fn step_by_its_own_keeper_loses_nothing() {
        let mut run = Run::kept_by(true);
        let stepped = Sight {
            stepped: true,
            ..sight(true, true, 0)
        };
        assert_eq!(run.see(1, stepped).stratum, 2);
        assert_eq!(
            run.see(2, sight(false, false, 1)).class,
            ClockClass::Holdover
        );
    }

    #[test]
    fn clock_that_was_never_kept_and_no_limit_mean_no_holdover() {
        let start = Instant::now();
        let mut never = Holdover::new(LIMIT);
        assert!(!never.see(start, sight(false, false, 0)).synchronised);
        let mut none = Holdover::new(Duration::ZERO);
        assert!(none.see(start, sight(true, true, 0)).synchronised);
        assert!(!none.see(start, sight(false, true, 0)).synchronised);
    }

    #[test]
    fn operator_who_vouches_takes_over_after_the_limit() {
        let vouching = |synchronised| {
            let overrides = Overrides {
                vouched: true,
                ..Overrides::default()
            };
            let state = kernel(synchronised, Duration::ZERO);
            Sight {
                picture: OwnClock::picture(Some(&state), None, &overrides),
                unkept: OwnClock::picture(None, None, &overrides),
                ..sight(synchronised, false, 0)
            }
        };
        for synchronised in [false, true] {
            let mut run = Run::kept_by(true);
            let held = run.see(1, vouching(synchronised));
            assert_eq!(held.class, ClockClass::Holdover);
            let told = run.see(3600, vouching(synchronised));
            assert!(told.vouched && told.synchronised);
        }
    }
}
