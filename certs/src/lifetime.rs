use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tsq_proto::HostTime;

use crate::Error;

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    pub(crate) not_before: OffsetDateTime,
    pub(crate) not_after: OffsetDateTime,
}

impl Lifetime {
    /// From one day ago until `days` days from now, by this host's clock.
    ///
    /// It begins in the past because a client whose clock is a little slow must not find the
    /// certificate of its time server "not yet valid".
    ///
    /// # Errors
    /// [`Error::BadLifetime`] when it would end after the year 9999, or the clock is before 1970.
    pub fn days(days: u32) -> Result<Self, Error> {
        Self::between(When::DEFAULT_START, When::FromNow(i64::from(days) * DAY))
    }

    /// Between two moments, by this host's clock where they are relative.
    ///
    /// # Errors
    /// [`Error::BadLifetime`] when it ends before it begins, or lies outside the years 1970 to 9999.
    pub fn between(not_before: When, not_after: When) -> Result<Self, Error> {
        let now = unix_now()?;
        let (begin, end) = (not_before.resolve(now)?, not_after.resolve(now)?);
        if end <= begin {
            return Err(Error::BadLifetime("it ends before it begins"));
        }
        Ok(Self {
            not_before: begin,
            not_after: end,
        })
    }
}

/// A moment as an operator writes it: `2027-01-31`, `2027-01-31T12:00:00Z`, or from now: `+10d`,
/// `-2h`, `+30m`, `-5s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Seconds since 1970-01-01 UTC.
    At(i64),
    /// Seconds from now; negative: in the past.
    FromNow(i64),
}

impl When {
    /// Where a validity begins unless told otherwise: one day ago (see [`Lifetime::days`]).
    pub const DEFAULT_START: Self = Self::FromNow(-DAY);

    /// This moment, by this host's clock where it is relative.
    ///
    /// # Errors
    /// [`Error::BadLifetime`] before 1970, after 2262-04-11, which host time ends with, or when the clock is before
    /// 1970.
    pub fn host_time(self) -> Result<HostTime, Error> {
        let moment = self.resolve(unix_now()?)?.unix_timestamp_nanos();
        i64::try_from(moment)
            .map(HostTime::from_unix_nanos)
            .map_err(|_| Error::BadLifetime("a signing key's must begin before 2262-04-11"))
    }

    fn resolve(self, now: i64) -> Result<OffsetDateTime, Error> {
        let unix = match self {
            Self::At(unix) => Some(unix),
            Self::FromNow(seconds) => now.checked_add(seconds),
        };
        unix.filter(|&unix| unix >= 0)
            .and_then(|unix| OffsetDateTime::from_unix_timestamp(unix).ok())
            .ok_or(OUT_OF_RANGE)
    }
}

impl FromStr for When {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.starts_with(['+', '-']) {
            return relative(text).map(Self::FromNow);
        }
        let full = if text.contains(['T', 't', ' ']) {
            text.to_owned()
        } else {
            format!("{text}T00:00:00Z")
        };
        OffsetDateTime::parse(&full, &Rfc3339)
            .map(|moment| Self::At(moment.unix_timestamp()))
            .map_err(|_| NOT_A_MOMENT)
    }
}

const DAY: i64 = 86_400;

const OUT_OF_RANGE: Error = Error::BadLifetime("it must lie in the years 1970 to 9999");

const NOT_A_MOMENT: Error =
    Error::BadLifetime("write 2027-01-31, 2027-01-31T12:00:00Z, or from now: +10d, -2h, +30m, -5s");

fn relative(text: &str) -> Result<i64, Error> {
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or(NOT_A_MOMENT)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => DAY,
        _ => return Err(NOT_A_MOMENT),
    };
    let number: i64 = number.parse().map_err(|_| NOT_A_MOMENT)?;
    number.checked_mul(seconds).ok_or(OUT_OF_RANGE)
}

fn unix_now() -> Result<i64, Error> {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(|_| Error::BadLifetime("this host's clock is before 1970"))?;
    i64::try_from(since_1970.as_secs()).map_err(|_| OUT_OF_RANGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_every_form() {
        for (text, expected) in [
            ("1970-01-02", When::At(DAY)),
            ("1970-01-02T00:00:01Z", When::At(DAY + 1)),
            ("1970-01-02T01:00:00+01:00", When::At(DAY)),
            ("+10d", When::FromNow(10 * DAY)),
            ("-2h", When::FromNow(-7_200)),
            ("+30m", When::FromNow(1_800)),
            ("-5s", When::FromNow(-5)),
        ] {
            assert_eq!(text.parse::<When>().unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn malformed_moments_are_refused() {
        for bad in [
            "",
            "+",
            "-",
            "10d",
            "+d",
            "+1w",
            "+é",
            "--1d",
            "2027-02-30",
            "tomorrow",
            "+9223372036854775807d",
        ] {
            assert!(
                matches!(bad.parse::<When>(), Err(Error::BadLifetime(_))),
                "{bad}"
            );
        }
    }

    #[test]
    fn moments_beyond_host_time_are_refused() {
        let last = 9_223_372_036;
        let host_time = |unix| When::At(unix).host_time();
        assert_eq!(host_time(0).unwrap(), HostTime::from_unix(0, 0));
        assert_eq!(host_time(last).unwrap(), HostTime::from_unix(last, 0));
        for unix in [last + 1, -1, i64::MAX] {
            assert!(
                matches!(host_time(unix), Err(Error::BadLifetime(_))),
                "{unix}"
            );
        }
    }

    #[test]
    fn default_lifetime_began_a_day_ago() {
        let lifetime = Lifetime::days(30).unwrap();
        let whole = lifetime.not_after - lifetime.not_before;
        assert_eq!(whole.whole_days(), 31);
        let age = unix_now().unwrap() - lifetime.not_before.unix_timestamp();
        assert!((DAY..DAY + 60).contains(&age), "began {age} s ago");
    }

    #[test]
    fn impossible_lifetimes_are_refused() {
        let now = When::FromNow(0);
        for (begin, end) in [
            (now, now),
            (now, When::FromNow(-1)),
            (When::At(-1), now),
            (now, When::FromNow(i64::MAX)),
            (now, When::At(i64::MAX)),
        ] {
            assert!(matches!(
                Lifetime::between(begin, end),
                Err(Error::BadLifetime(_))
            ));
        }
        assert!(Lifetime::days(u32::MAX).is_err());
    }
}
