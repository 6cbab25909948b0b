use std::time::{Duration, SystemTime};

/// When a certificate ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Seconds since 1970.
    pub(super) at: i64,
    /// As people write it.
    pub text: String,
}

impl Expiry {
    /// What the operator must know at `now`, if anything.
    pub fn warning(&self, now: SystemTime) -> Option<String> {
        let left = self.at.saturating_sub(unix(now));
        let soon = i64::try_from(SOON.as_secs()).unwrap_or(i64::MAX);
        if left < 0 {
            Some(format!(
                "the certificate expired on {}: clients refuse it",
                self.text
            ))
        } else if left <= soon {
            Some(format!(
                "the certificate expires in {} days, on {}: renew it",
                left / 86_400,
                self.text
            ))
        } else {
            None
        }
    }
}

/// How long before its end a certificate is warned of.
pub const SOON: Duration = Duration::from_secs(14 * 86_400);

/// Seconds since 1970; 0 before.
pub(super) fn unix(now: SystemTime) -> i64 {
    let seconds = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warning_begins_fourteen_days_before_the_end() {
        let expiry = Expiry {
            at: 100 * 86_400,
            text: "then".into(),
        };
        let after =
            |seconds: u64| expiry.warning(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(after(86 * 86_400 - 1), None);
        assert!(after(86 * 86_400).unwrap().contains("in 14 days"));
        assert!(after(100 * 86_400).unwrap().contains("in 0 days"));
        assert!(after(100 * 86_400 + 1).unwrap().contains("expired"));
    }
}
