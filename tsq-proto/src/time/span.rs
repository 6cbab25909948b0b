use core::fmt::{self, Write as _};
use core::time::Duration;

use crate::text::FixedText;

/// A length of time as people read it: `6.3 us`, `112 us`, `28.0 ms`, `17.5 s`; exact below a microsecond. The unit is
/// that of [`Offset`](super::Offset)'s own `Display`, so that both may stand in one line.
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
            1_000_000_000..100_000_000_000 => 100_000_000,
            _ => 1_000_000_000,
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
            _ if per == 1 => write!(text, "{nanos} ns")?,
            0..1_000 => write!(text, "{}.{} {unit}", tenths / 10, tenths % 10)?,
            _ => write!(text, "{} {unit}", (nanos + per / 2) / per)?,
        }
        f.pad(text.as_str())
    }
}

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
            (99_900_000_001, "100 s"),
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
            (86_400_000_000_000, "86400 s"),
        ] {
            assert_eq!(Span(Duration::from_nanos(nanos)).to_string(), text);
        }
        assert!(!Span(Duration::MAX).to_string().is_empty());
    }
}
