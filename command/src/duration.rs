//! A length of time as people write it: `500ms`, `10s`, `2m`, `1.5h`; the same in every program, option and file.

use std::fmt;
use std::time::Duration;

/// What a number without a unit counts, as the option's help says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bare {
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
}

/// Not a length of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadDuration {
    /// There is no number.
    NoNumber,
    /// It is below zero.
    Negative,
    /// The unit is not one of those read.
    Unit(String),
    /// It is outside the option's range.
    Range {
        /// The least.
        least: Duration,
        /// The most.
        most: Duration,
    },
}

/// Reads a decimal number and its unit, with nothing between them; exact to the nanosecond, what is beyond that is cut off.
///
/// # Errors
/// [`BadDuration`] says what is wrong; [`BadDuration::Range`] beyond 584 years.
pub fn parse(text: &str, bare: Bare) -> Result<Duration, BadDuration> {
    if text.starts_with('-') {
        return Err(BadDuration::Negative);
    }
    let end = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = match unit {
        "" => bare.nanos(),
        unit => {
            UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .ok_or_else(|| BadDuration::Unit(unit.into()))?
                .1
        }
    };
    let nanos = nanos(number, unit).ok_or(BadDuration::NoNumber)?;
    u64::try_from(nanos)
        .map(Duration::from_nanos)
        .map_err(|_| BadDuration::Range {
            least: Duration::ZERO,
            most: Duration::from_nanos(u64::MAX),
        })
}

/// The same, from `least` to `most`.
///
/// # Errors
/// As [`parse`], and [`BadDuration::Range`].
pub fn within(
    text: &str,
    bare: Bare,
    least: Duration,
    most: Duration,
) -> Result<Duration, BadDuration> {
    match parse(text, bare) {
        Ok(duration) if (least..=most).contains(&duration) => Ok(duration),
        Ok(_) | Err(BadDuration::Range { .. }) => Err(BadDuration::Range { least, most }),
        Err(bad) => Err(bad),
    }
}

/// A length of time in the largest unit that gives a whole number: `1h`, `90s`, `1500ms`; [`parse`] reads it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written(pub Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let fits = |unit: &&(&str, u64)| nanos.is_multiple_of(u128::from(unit.1));
        match UNITS.iter().rev().find(fits) {
            Some((name, unit)) if nanos > 0 => write!(f, "{}{name}", nanos / u128::from(*unit)),
            _ => f.write_str("0s"),
        }
    }
}

/// Units with their nanoseconds, from the least; `min` is another word for `m`.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

impl Bare {
    fn nanos(self) -> u64 {
        match self {
            Self::Milliseconds => 1_000_000,
            Self::Seconds => 1_000_000_000,
        }
    }
}

/// None if `number` is no decimal number, or beyond all reason.
fn nanos(number: &str, unit: u64) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let unit = u128::from(unit);
    let whole = match whole.trim_start_matches('0') {
        "" => 0,
        // Past u64 whatever the unit: the range is what is wrong with it then, not the number.
        digits if digits.len() > 20 => u128::from(u64::MAX) + 1,
        digits => digits.parse().ok()?,
    };
    // No unit has more than 14 digits of nanoseconds.
    let fraction = &fraction[..fraction.len().min(18)];
    let part = match fraction {
        "" => 0,
        digits => {
            digits.parse::<u128>().ok()? * unit / 10_u128.pow(u32::try_from(digits.len()).ok()?)
        }
    };
    Some(whole * unit + part)
}

impl fmt::Display for BadDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNumber => f.write_str("not a time such as 500ms, 10s, 2m or 1h"),
            Self::Negative => f.write_str("a time is not negative"),
            Self::Unit(unit) => write!(
                f,
                "the unit \"{}\" is none of ns, us, ms, s, m, h and d",
                unit.escape_debug()
            ),
            Self::Range { least, most } => {
                write!(f, "not between {} and {}", Written(*least), Written(*most))
            }
        }
    }
}

impl std::error::Error for BadDuration {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_a_bare_number_keeps_its_own() {
        for (text, nanos) in [
            ("7ns", 7),
            ("500us", 500_000),
            ("500ms", 500_000_000),
            ("10s", 10_000_000_000),
            ("2m", 120_000_000_000),
            ("2min", 120_000_000_000),
            ("1h", 3_600_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("1d", 86_400_000_000_000),
            ("0", 0),
            (".5s", 500_000_000),
            ("0001444.208ms", 1_444_208_000),
        ] {
            let expected = Ok(Duration::from_nanos(nanos));
            assert_eq!(parse(text, Bare::Seconds), expected, "{text}");
        }
        assert_eq!(
            parse("250", Bare::Milliseconds),
            Ok(Duration::from_millis(250))
        );
        assert_eq!(parse("2.5", Bare::Seconds), Ok(Duration::from_millis(2500)));
    }

    #[test]
    fn everything_else_is_refused_with_what_is_wrong() {
        for (text, words) in [
            ("", "such as"),
            ("ms", "such as"),
            (".", "such as"),
            ("1.2.3s", "such as"),
            ("-1s", "negative"),
            ("10 ms", "\" ms\" is none of"),
            ("1e9s", "\"e9s\""),
            ("NaN", "\"NaN\""),
            ("+5s", "\"+5s\""),
            ("1w", "\"w\""),
            ("5\u{1b}[2J", "\\u{1b}"),
            ("18446744074s", "between 0s and"),
            ("99999999999999999999999999999999999999999s", "between"),
        ] {
            let error = parse(text, Bare::Seconds).expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn range_is_told_in_the_same_spelling() {
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(3600));
        let read = |text| within(text, Bare::Milliseconds, least, most);
        assert_eq!((read("1"), read("1h")), (Ok(least), Ok(most)));
        for beyond in ["0.9", "3601s", "99999999999d"] {
            let error = read(beyond).unwrap_err().to_string();
            assert_eq!(error, "not between 1ms and 1h");
        }
    }

    #[test]
    fn written_times_are_read_back() {
        for nanos in [
            0,
            1,
            1_500_000_000,
            90_000_000_000,
            7_200_000_000_000,
            u64::MAX,
        ] {
            let duration = Duration::from_nanos(nanos);
            let text = Written(duration).to_string();
            assert_eq!(parse(&text, Bare::Seconds), Ok(duration), "{text}");
        }
        let written = |seconds| Written(Duration::from_secs(seconds)).to_string();
        assert_eq!(
            [written(90), written(120), written(86_400)],
            ["90s", "2m", "1d"]
        );
    }
}
