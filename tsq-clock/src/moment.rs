//! Whether somebody else moved the clock since its offset was measured.

use std::fmt;
use std::time::Duration;

use tsq_proto::time::Span;
use tsq_proto::{HostTime, Offset};

/// What the settable clock and those that are never set show at one instant.
///
/// Two of them tell what happened to the clock in between. Slewing is no part of it: Linux runs
/// `CLOCK_MONOTONIC` and `CLOCK_BOOTTIME` at the rate of `CLOCK_REALTIME`, slews included, so that
/// only a step, or an inserted leap second, moves one and not the others. What may differ is how
/// far apart the reads were, and [`width`](Self::width) says that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// `CLOCK_REALTIME`.
    pub real: HostTime,
    /// `CLOCK_MONOTONIC`: it stands still while the machine sleeps.
    pub monotonic: Duration,
    /// `CLOCK_BOOTTIME`: it counts that sleep.
    pub boot: Duration,
    /// All were read within so long.
    pub width: Duration,
}

/// What makes a measured offset worthless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// The clock was stepped; positive: forward.
    Stepped {
        /// By how much.
        by: Offset,
    },
    /// The machine slept, and its clock was then set by whatever kept the time meanwhile.
    Slept {
        /// How long.
        time: Duration,
    },
}

impl Moment {
    /// How far the clock was stepped from here to `later`, whoever did it: right to within the
    /// two widths.
    pub fn stepped_until(&self, later: &Self) -> Offset {
        (later.real - self.real) - between(self.boot, later.boot)
    }

    /// That nothing happened from here to `later` that matters by more than `slack`.
    ///
    /// # Errors
    /// The [`Disturbance`].
    pub fn undisturbed_until(&self, later: &Self, slack: Duration) -> Result<(), Disturbance> {
        let unsure = self.unsure_until(later).saturating_add(slack);
        let slept = between(self.boot, later.boot) - between(self.monotonic, later.monotonic);
        if slept.abs() > unsure {
            return Err(Disturbance::Slept { time: slept.abs() });
        }
        let by = self.stepped_until(later);
        if by.abs() > unsure {
            return Err(Disturbance::Stepped { by });
        }
        Ok(())
    }

    /// How far [`stepped_until`](Self::stepped_until) may be off.
    pub(crate) fn unsure_until(&self, later: &Self) -> Duration {
        self.width.saturating_add(later.width)
    }
}

fn between(earlier: Duration, later: Duration) -> Offset {
    let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    Offset::from_nanos(nanos(later).saturating_sub(nanos(earlier)))
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stepped { by } => write!(
                f,
                "something else stepped this clock by {by} after it was measured"
            ),
            Self::Slept { time } => {
                write!(
                    f,
                    "this machine slept for {} after its clock was measured",
                    Span(*time)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);
    const HOUR: Duration = Duration::from_secs(3600);

    fn moment(real_us: i64, monotonic: Duration, boot: Duration) -> Moment {
        Moment {
            real: HostTime::from_unix_nanos(1_795_000_000_000_000_000 + real_us * 1_000),
            monotonic,
            boot,
            width: US,
        }
    }

    #[test]
    fn step_shows_beyond_what_the_reads_leave_open_and_not_a_hair_before() {
        let start = moment(0, HOUR, HOUR);
        for sign in [1, -1] {
            // Two widths of 1 us and a slack of 1 us.
            let at = |step_us: i64| {
                moment(
                    3_000_000 + sign * step_us,
                    HOUR + 3_000_000 * US,
                    HOUR + 3_000_000 * US,
                )
            };
            assert_eq!(start.undisturbed_until(&at(3), US), Ok(()));
            let by = Offset::from_nanos(sign * 4_000);
            assert_eq!(
                start.undisturbed_until(&at(4), US),
                Err(Disturbance::Stepped { by })
            );
        }
    }

    /// The clock goes on while the machine sleeps, so that this is no step; but who knows how well.
    #[test]
    fn sleep_is_told_apart_from_a_step() {
        let start = moment(0, HOUR, HOUR);
        let woken = moment(60_000_000, HOUR, HOUR + 60_000_000 * US);
        let time = Duration::from_secs(60);
        assert_eq!(
            start.undisturbed_until(&woken, Duration::ZERO),
            Err(Disturbance::Slept { time })
        );
        assert_eq!(start.stepped_until(&woken), Offset::ZERO);
    }

    #[test]
    fn farthest_times_do_not_overflow() {
        let far = |nanos: i64, boot: Duration| Moment {
            real: HostTime::from_unix_nanos(nanos),
            monotonic: boot,
            boot,
            width: Duration::MAX,
        };
        let (low, high) = (far(i64::MIN, Duration::ZERO), far(i64::MAX, Duration::MAX));
        for (from, to) in [(low, high), (high, low)] {
            let _ = from.undisturbed_until(&to, Duration::MAX);
        }
    }
}
