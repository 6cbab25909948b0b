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

/// A civil time as the hardware clock has it, taken for UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    /// 1 to 12.
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
}

impl Civil {
    /// None if there is no such time, as a clock without power may show.
    pub(crate) fn to_unix(self) -> Option<i64> {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
        } = self;
        let plausible = (1900..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..=60).contains(&second);
        plausible.then(|| days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
    }

    pub(crate) fn of_unix(unix: i64) -> Self {
        let (day_number, rest) = (unix.div_euclid(86_400), unix.rem_euclid(86_400));
        // The year is found by steps of at most one from an estimate that is never too late.
        let mut year = 1970 + day_number.div_euclid(366);
        while days(year + 1, 1, 1) <= day_number {
            year += 1;
        }
        let month = (1..=12)
            .rev()
            .find(|&month| days(year, month, 1) <= day_number)
            .unwrap_or(1);
        Self {
            year,
            month,
            day: day_number - days(year, month, 1) + 1,
            hour: rest / 3_600,
            minute: rest / 60 % 60,
            second: rest % 60,
        }
    }
}

/// Days from 1970-01-01 to that day of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March have their leap day last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let before = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let into = (153 * month + 2) / 5;
    before + into + day - 1 - 719_468
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

    #[test]
    fn civil_time_is_converted_both_ways() {
        for (unix, civil) in [
            (0, (1970, 1, 1, 0, 0, 0)),
            (951_782_399, (2000, 2, 28, 23, 59, 59)),
            (951_782_400, (2000, 2, 29, 0, 0, 0)),
            (1_795_219_200, (2026, 11, 21, 0, 0, 0)),
            (2_085_978_496, (2036, 2, 7, 6, 28, 16)),
            (4_107_542_400, (2100, 3, 1, 0, 0, 0)),
        ] {
            let shown = Civil::of_unix(unix);
            let found = (
                shown.year,
                shown.month,
                shown.day,
                shown.hour,
                shown.minute,
                shown.second,
            );
            assert_eq!(found, civil);
            assert_eq!(shown.to_unix(), Some(unix));
        }
    }

    #[test]
    fn time_that_does_not_exist_is_none() {
        let midnight = Civil::of_unix(0);
        assert_eq!(
            Civil {
                month: 13,
                ..midnight
            }
            .to_unix(),
            None
        );
        assert_eq!(Civil { day: 0, ..midnight }.to_unix(), None);
        assert_eq!(
            Civil {
                hour: 45,
                ..midnight
            }
            .to_unix(),
            None
        );
    }
}
