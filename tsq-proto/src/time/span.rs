use core::fmt::{self, Write as _};
use core::time::Duration;

use crate::text::FixedText;
use crate::words::Count;

/// A length of time as people read it: `6.3 us`, `112 us`, `28.0 ms`, `17.5 s`, `16 min 40 s`, `17 h 0 min`, `400 d 0 h`,
/// `3 years 5 d`; exact below a microsecond. The units are those of [`Offset`](super::Offset)'s own `Display`, so that both may
/// stand in one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// The least length that is not below it and is shown exactly: for bounds, which must not look smaller than they are.
    #[must_use]
    pub fn rounded_up(self) -> Self {
        let step: u64 = match self.0.as_nanos() {
            0..1_000 => 1,
            1_000..100_000 => 100,
            100_000..1_000_000 => 1_000,
            1_000_000..100_000_000 => 100_000,
            100_000_000..1_000_000_000 => 1_000_000,
            1_000_000_000..LONG => 100_000_000,
            _ => Long::of(self.0).step().as_nanos() as u64,
        };
        let over = self.0.as_nanos() % u128::from(step);
        // Below a step, so below 2^64.
        let missing = match u64::try_from(over) {
            Ok(over) if over > 0 => step - over,
            _ => 0,
        };
        Self(self.0.saturating_add(Duration::from_nanos(missing)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let (unit, per) = match nanos {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("us", 1_000),
            1_000_000..1_000_000_000 => ("ms", 1_000_000),
            _ => ("s", 1_000_000_000),
        };
        let tenths = (nanos * 10 + per / 2) / per;
        let mut text = FixedText::<32>::new();
        match tenths {
            _ if nanos >= LONG => write!(text, "{}", Long::of(self.0))?,
            _ if per == 1 => write!(text, "{nanos} ns")?,
            0..1_000 => write!(text, "{}.{} {unit}", tenths / 10, tenths % 10)?,
            _ => write!(text, "{} {unit}", (nanos + per / 2) / per)?,
        }
        f.pad(text.as_str())
    }
}

/// From here on, in nanoseconds, lengths are told in two units.
pub(super) const LONG: u128 = 100_000_000_000;

/// A length in the two units that people would use, rounded to the lesser of them.
pub(super) struct Long {
    seconds: u64,
    nanos: u32,
}

impl Long {
    pub(super) fn of(length: Duration) -> Self {
        Self {
            seconds: length.as_secs(),
            nanos: length.subsec_nanos(),
        }
    }

    /// The lesser of the two units.
    fn step(&self) -> Duration {
        Duration::from_secs(match self.seconds {
            0..HOUR => 1,
            HOUR..DAY => MINUTE,
            DAY..YEAR => HOUR,
            _ => DAY,
        })
    }
}

impl fmt::Display for Long {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = self.step().as_secs();
        let half = if step == 1 {
            u64::from(self.nanos >= 500_000_000)
        } else {
            step / 2
        };
        let all = self.seconds.saturating_add(half) / step * step;
        match all {
            0..HOUR => write!(f, "{} min {} s", all / MINUTE, all % MINUTE),
            HOUR..DAY => write!(f, "{} h {} min", all / HOUR, all % HOUR / MINUTE),
            DAY..YEAR => write!(f, "{} d {} h", all / DAY, all % DAY / HOUR),
            _ => write!(f, "{} {} d", Count(all / YEAR, "year"), all % YEAR / DAY),
        }
    }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;
/// Of 365 days: a round figure for people.
const YEAR: u64 = 365 * DAY;

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn bounds_never_look_smaller_than_they_are() {
        for (nanos, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_001, "1.1 us"),
            (1_100, "1.1 us"),
            (99_901, "100 us"),
            (112_001, "113 us"),
            (150_348_866, "151 ms"),
            (999_000_001, "1.0 s"),
            (99_900_000_001, "1 min 40 s"),
            (100_000_000_001, "1 min 41 s"),
            (3_600_000_000_001, "1 h 1 min"),
            (86_400_000_000_001, "1 d 1 h"),
            (31_536_000_000_000_001, "1 year 1 d"),
        ] {
            let bound = Span(Duration::from_nanos(nanos)).rounded_up();
            assert_eq!(bound.to_string(), text, "{nanos}");
        }
        assert_eq!(Span(Duration::MAX).rounded_up(), Span(Duration::MAX));
    }

    #[test]
    fn lengths_have_the_unit_people_expect() {
        for (nanos, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.0 us"),
            (56_400, "56.4 us"),
            (112_300, "112 us"),
            (28_000_000, "28.0 ms"),
            (99_800_000_000, "99.8 s"),
            (99_999_000_000, "100 s"),
            (100_499_999_999, "1 min 40 s"),
            (1_000_000_000_000, "16 min 40 s"),
            (3_599_500_000_000, "1 h 0 min"),
            (61_200_000_000_000, "17 h 0 min"),
            (86_400_000_000_000, "1 d 0 h"),
            (34_560_000_000_050_000, "1 year 35 d"),
            (94_608_000_000_000_000, "3 years 0 d"),
        ] {
            assert_eq!(Span(Duration::from_nanos(nanos)).to_string(), text);
        }
        assert!(!Span(Duration::MAX).to_string().is_empty());
    }
}
