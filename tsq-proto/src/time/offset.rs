use core::fmt::{self, Write as _};
use core::ops::{Add, Neg, Sub};
use core::time::Duration;

use super::span::{LONG, Long};
use crate::text::FixedText;

/// A signed difference of two host times, in nanoseconds, at most 292 years either way.
///
/// As a measured clock offset, positive means: our clock is behind. Arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(i64);

impl Offset {
    /// No difference.
    pub const ZERO: Self = Self(0);

    /// From signed nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Signed nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The size of the difference, without its sign.
    #[must_use]
    pub const fn abs(self) -> Duration {
        Duration::from_nanos(self.0.unsigned_abs())
    }

    /// Half the difference, rounded towards zero.
    #[must_use]
    pub const fn half(self) -> Self {
        Self(self.0 / 2)
    }

    pub(crate) fn saturating_from_i128(nanos: i128) -> Self {
        Self(saturate(nanos))
    }
}

impl Neg for Offset {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl Add for Offset {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Offset {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// With its sign, in the unit that suits its size: `+412 ns`, `+3.1 us`, `-0.412 ms`, `-17.000 s`, `-17 h 0 min`.
impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        let nanos = self.0.unsigned_abs();
        let mut text = FixedText::<32>::new();
        // The limits are where rounding would reach the next unit's first value.
        match nanos {
            0..1_000 => write!(text, "{sign}{nanos} ns")?,
            1_000..99_950 => {
                let tenths = (nanos + 50) / 100;
                write!(text, "{sign}{}.{} us", tenths / 10, tenths % 10)?;
            }
            99_950..999_999_500 => {
                let micros = (nanos + 500) / 1_000;
                write!(text, "{sign}{}.{:03} ms", micros / 1_000, micros % 1_000)?;
            }
            _ if u128::from(nanos) >= LONG => write!(text, "{sign}{}", Long::of(self.abs()))?,
            _ => {
                let millis = (nanos + 500_000) / 1_000_000;
                write!(text, "{sign}{}.{:03} s", millis / 1_000, millis % 1_000)?;
            }
        }
        f.pad(text.as_str())
    }
}

pub(super) fn saturate(nanos: i128) -> i64 {
    nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::ToString;

    use super::*;

    #[test]
    fn display_picks_a_unit_that_suits_the_size() {
        for (nanos, text) in [
            (0, "+0 ns"),
            (-999, "-999 ns"),
            (1_000, "+1.0 us"),
            (3_140, "+3.1 us"),
            (-99_949, "-99.9 us"),
            (99_950, "+0.100 ms"),
            (412_000, "+0.412 ms"),
            (-128_000_000, "-128.000 ms"),
            (999_999_499, "+999.999 ms"),
            (999_999_500, "+1.000 s"),
            (-17_000_000_000, "-17.000 s"),
            (99_999_999_999, "+100.000 s"),
            (-100_000_000_000, "-1 min 40 s"),
            (-61_200_000_000_000, "-17 h 0 min"),
            (i64::MIN, "-292 years 172 d"),
        ] {
            assert_eq!(Offset::from_nanos(nanos).to_string(), text);
        }
    }

    #[test]
    fn display_keeps_to_the_width_asked_for() {
        assert_eq!(
            format!("{:>11}|", Offset::from_nanos(412_000)),
            "  +0.412 ms|"
        );
    }

    #[test]
    fn arithmetic_at_the_ends_saturates() {
        let (least, most) = (Offset::from_nanos(i64::MIN), Offset::from_nanos(i64::MAX));
        assert_eq!(-least, most);
        assert_eq!(most + Offset::from_nanos(1), most);
        assert_eq!(least - Offset::from_nanos(1), least);
        assert_eq!(least.abs(), Duration::from_nanos(1 << 63));
    }

    #[test]
    fn half_keeps_the_sign_and_rounds_towards_zero() {
        assert_eq!(Offset::from_nanos(-3).half(), Offset::from_nanos(-1));
        assert_eq!(Offset::from_nanos(4).half(), Offset::from_nanos(2));
    }
}
