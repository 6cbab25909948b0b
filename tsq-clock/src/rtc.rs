//! The hardware clock: what it shows, and what its error looks like.

use std::fmt;
use std::time::Duration;

use tsq_proto::{HostTime, Offset};

/// What the hardware clock's error looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcVerdict {
    /// Right, as far as a clock of whole seconds that drifts can be.
    Right,
    /// Off by a time zone: it shows local time, and is read as UTC (or the other way round).
    LocalTime {
        /// Minutes by which it is ahead of UTC.
        ahead_minutes: i64,
    },
    /// It shows a moment that is certainly past: it has lost its battery, or never had one.
    Reset,
    /// Wrong in no way that has a name.
    Wrong,
}

impl RtcVerdict {
    /// Judges what the hardware clock showed, `rtc`, when the time was `truth`; `floor` is certainly
    /// past.
    pub fn of(rtc: HostTime, truth: HostTime, floor: HostTime) -> Self {
        let ahead = rtc - truth;
        if ahead.abs() <= TOLERANCE {
            return Self::Right;
        }
        let ahead_s = ahead.as_nanos().div_euclid(1_000_000_000);
        let quarters = (ahead_s + QUARTER_S / 2).div_euclid(QUARTER_S);
        let off_s = (ahead_s - quarters * QUARTER_S).unsigned_abs();
        if ZONES.contains(&quarters) && off_s <= TOLERANCE.as_secs() {
            return Self::LocalTime {
                ahead_minutes: quarters * 15,
            };
        }
        if rtc < floor {
            Self::Reset
        } else {
            Self::Wrong
        }
    }

    /// A stable name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::LocalTime { .. } => "local_time",
            Self::Reset => "reset",
            Self::Wrong => "wrong",
        }
    }
}

impl fmt::Display for RtcVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Right => f.write_str("right"),
            Self::LocalTime { ahead_minutes } => {
                let (sign, minutes) = (
                    if *ahead_minutes < 0 { '-' } else { '+' },
                    ahead_minutes.abs(),
                );
                write!(
                    f,
                    "it shows local time (UTC{sign}{:02}:{:02}), as another operating system may have set it",
                    minutes / 60,
                    minutes % 60
                )
            }
            Self::Reset => f.write_str("it was reset: its battery is empty or missing"),
            Self::Wrong => f.write_str("it is wrong"),
        }
    }
}

/// A clock of whole seconds drifts by some seconds a month, and a host may be off for a year.
const TOLERANCE: Duration = Duration::from_secs(60);

const QUARTER_S: i64 = 900;

/// Quarters of an hour from UTC-12 to UTC+14.
const ZONES: std::ops::RangeInclusive<i64> = -48..=56;

/// How far a reading of whole seconds may be behind.
pub const RTC_RESOLUTION: Offset = Offset::from_nanos(1_000_000_000);

#[cfg(test)]
mod tests {
    use super::*;

    const TRUTH: i64 = 1_795_219_200;

    fn verdict(ahead_s: i64) -> RtcVerdict {
        let at = |unix| HostTime::from_unix(unix, 0);
        RtcVerdict::of(at(TRUTH + ahead_s), at(TRUTH), at(TRUTH - 20 * 86_400))
    }

    #[test]
    fn error_of_a_time_zone_is_local_time_and_its_size_is_told() {
        for (ahead_s, ahead_minutes) in [
            (3_600, 60),
            (-5 * 3_600 - 7, -300),
            (5 * 3_600 + 1_800 + 59, 330),
            (14 * 3_600, 840),
            (-12 * 3_600, -720),
        ] {
            let expected = RtcVerdict::LocalTime { ahead_minutes };
            assert_eq!(verdict(ahead_s), expected, "{ahead_s}");
        }
        assert!(verdict(-16_200).to_string().contains("UTC-04:30"));
    }

    #[test]
    fn whole_hours_that_are_no_time_zone_are_merely_wrong() {
        for ahead_s in [-17 * 3_600, 15 * 3_600, 3_600 + 61, -400] {
            assert_eq!(verdict(ahead_s), RtcVerdict::Wrong, "{ahead_s}");
        }
    }

    #[test]
    fn a_minute_is_right_and_a_moment_before_the_floor_a_reset() {
        assert_eq!(verdict(60), RtcVerdict::Right);
        assert_eq!(verdict(-60), RtcVerdict::Right);
        assert_eq!(verdict(-61), RtcVerdict::Wrong);
        assert_eq!(verdict(-21 * 86_400), RtcVerdict::Reset);
        assert_eq!(verdict(-TRUTH), RtcVerdict::Reset);
    }
}
