use std::time::{Duration, SystemTime};

use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    not_before: ASN1Time,
    not_after: ASN1Time,
}

/// Where a moment lies in a certificate's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dates {
    /// Before it.
    NotBegun,
    /// In it, with more than [`SOON`] left.
    Good,
    /// In it, but not for long.
    EndSoon,
    /// Behind it.
    Ended,
}

impl Validity {
    /// Of a certificate, DER.
    ///
    /// # Errors
    /// In words: it is no certificate.
    pub fn of(certificate: &[u8]) -> Result<Self, String> {
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
        let dates = parsed.validity();
        Ok(Self {
            not_before: dates.not_before,
            not_after: dates.not_after,
        })
    }

    /// The last second, counted from 1970.
    pub fn end(&self) -> i64 {
        self.not_after.timestamp()
    }

    /// The same as people write it.
    pub fn end_text(&self) -> String {
        self.not_after.to_string()
    }

    /// What `now` is to it.
    pub fn dates(&self, now: SystemTime) -> Dates {
        let now = unix(now);
        let soon = i64::try_from(SOON.as_secs()).unwrap_or(i64::MAX);
        if now < self.not_before.timestamp() {
            Dates::NotBegun
        } else if now > self.end() {
            Dates::Ended
        } else if self.end() - now <= soon {
            Dates::EndSoon
        } else {
            Dates::Good
        }
    }

    /// Whether clients with the right time take it at `now`.
    pub fn holds(&self, now: SystemTime) -> bool {
        matches!(self.dates(now), Dates::Good | Dates::EndSoon)
    }

    /// What the operator must know at `now`, if anything.
    pub fn warning(&self, now: SystemTime) -> Option<String> {
        let ours = ASN1Time::from_timestamp(unix(now))
            .map_or_else(|_| "something else".into(), |time| time.to_string());
        match self.dates(now) {
            Dates::Good => None,
            Dates::EndSoon => Some(format!(
                "the certificate expires in {} days, on {}: renew it",
                (self.end() - unix(now)) / 86_400,
                self.not_after
            )),
            Dates::Ended => Some(format!(
                "the certificate expired on {}, and this host's clock says {ours}: clients refuse it (if that is \
                 wrong, the clock is fast)",
                self.not_after
            )),
            Dates::NotBegun => Some(format!(
                "the certificate is not valid before {}, and this host's clock says {ours}: clients refuse it until \
                 then (if that is wrong, the clock is slow)",
                self.not_before
            )),
        }
    }
}

/// How long before its end a certificate is warned of.
pub const SOON: Duration = Duration::from_secs(14 * 86_400);

/// Seconds since 1970; 0 before.
fn unix(now: SystemTime) -> i64 {
    let seconds = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn from_day_ten_to_day_hundred() -> Validity {
        let at = |day: i64| ASN1Time::from_timestamp(day * 86_400).unwrap();
        Validity {
            not_before: at(10),
            not_after: at(100),
        }
    }

    fn second(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    #[test]
    fn warning_begins_fourteen_days_before_the_end() {
        let validity = from_day_ten_to_day_hundred();
        let after = |seconds| validity.warning(second(seconds));
        assert_eq!(after(86 * DAY - 1), None);
        assert!(after(86 * DAY).unwrap().contains("in 14 days"));
        assert!(after(100 * DAY).unwrap().contains("in 0 days"));
        assert!(after(100 * DAY + 1).unwrap().contains("expired"));
    }

    #[test]
    fn dates_hold_from_the_first_second_to_the_last() {
        let validity = from_day_ten_to_day_hundred();
        for (seconds, dates, holds) in [
            (10 * DAY - 1, Dates::NotBegun, false),
            (10 * DAY, Dates::Good, true),
            (100 * DAY, Dates::EndSoon, true),
            (100 * DAY + 1, Dates::Ended, false),
        ] {
            assert_eq!(validity.dates(second(seconds)), dates);
            assert_eq!(validity.holds(second(seconds)), holds);
        }
        let early = validity.warning(second(0)).unwrap();
        assert!(
            early.contains("the clock is slow") && early.contains("1970"),
            "{early}"
        );
    }
}
