//! Why a certificate was not accepted, said the right way round.

use std::fmt;
use std::net::IpAddr;

use rustls::CertificateError;
use rustls::pki_types::UnixTime;
use tsq_proto::words::Foreign;
use tsq_x509::Pin;
use x509_parser::time::ASN1Time;

/// Why a certificate was not accepted. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustRefusal {
    /// It ended before now.
    Expired {
        /// When it ended.
        not_after: u64,
        /// Now.
        now: u64,
        /// Who says so.
        by: By,
    },
    /// It begins after now.
    NotYetValid {
        /// When it begins.
        not_before: u64,
        /// Now.
        now: u64,
        /// Who says so.
        by: By,
    },
    /// The time it stands for is certainly past.
    BelowFloor {
        /// That time.
        agreed: u64,
        /// What is certainly past.
        floor: u64,
    },
    /// Nobody we trust has signed it.
    UnknownIssuer {
        /// Who issued the last certificate that could be followed, if that one's own was not sent and is none of
        /// ours: a server with half a chain, or an authority we do not know. None where somebody signed with his own
        /// key, be it in the name of one whom we trust.
        missing: Option<String>,
    },
    /// It is another host's.
    WrongName {
        /// The name asked for.
        expected: String,
        /// The names it carries.
        presented: Vec<String>,
    },
    /// Its public key is none of those pinned.
    WrongPin {
        /// The key's pin.
        presented: Pin,
    },
    /// Anything else.
    Other {
        /// In words.
        problem: String,
    },
}

/// By whose time a certificate's dates were judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// This host's clock.
    OurClock,
    /// The time that the servers agree on.
    Servers,
}

impl TrustRefusal {
    /// A stable name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "certificate_expired",
            Self::NotYetValid { .. } => "certificate_not_yet_valid",
            Self::BelowFloor { .. } => "below_floor",
            Self::UnknownIssuer { .. } => "certificate_unknown_issuer",
            Self::WrongName { .. } => "certificate_wrong_name",
            Self::WrongPin { .. } => "certificate_wrong_pin",
            Self::Other { .. } => "certificate_refused",
        }
    }

    /// Whether it is the dates that are wrong, as far as was looked.
    pub fn is_about_dates(&self) -> bool {
        matches!(self, Self::Expired { .. } | Self::NotYetValid { .. })
    }

    pub(super) fn of(error: &rustls::Error, expected: &str, now: UnixTime, by: By) -> Self {
        let now = now.as_secs();
        let rustls::Error::InvalidCertificate(error) = error else {
            return Self::Other {
                problem: error.to_string(),
            };
        };
        match error {
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired {
                not_after: not_after.as_secs(),
                now,
                by,
            },
            CertificateError::NotValidYetContext { not_before, .. } => Self::NotYetValid {
                not_before: not_before.as_secs(),
                now,
                by,
            },
            // A bad signature: an authority of the name we trust, but of another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Self::UnknownIssuer { missing: None }
            }
            CertificateError::NotValidForNameContext { presented, .. } => Self::WrongName {
                expected: expected.into(),
                presented: presented.iter().map(|name| bare_name(name)).collect(),
            },
            CertificateError::NotValidForName => Self::WrongName {
                expected: expected.into(),
                presented: Vec::new(),
            },
            other => Self::Other {
                problem: other.to_string(),
            },
        }
    }
}

impl fmt::Display for TrustRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A fast clock makes certificates look expired, a slow one not yet valid.
            Self::Expired {
                not_after,
                now,
                by: By::OurClock,
            } => write!(
                f,
                "the certificate expired on {}, and this host's clock says {} (if that is wrong, the clock is fast)",
                date(*not_after),
                date(*now)
            ),
            Self::NotYetValid {
                not_before,
                now,
                by: By::OurClock,
            } => write!(
                f,
                "the certificate is not yet valid: it begins on {}, and this host's clock says {} (if that is wrong, the clock is slow)",
                date(*not_before),
                date(*now)
            ),
            Self::Expired {
                not_after,
                now,
                by: By::Servers,
            } => write!(
                f,
                "the certificate expired on {}, and by the time that the servers agree on it is {}",
                date(*not_after),
                date(*now)
            ),
            Self::NotYetValid {
                not_before,
                now,
                by: By::Servers,
            } => write!(
                f,
                "the certificate is not yet valid: it begins on {}, and by the time that the servers agree on it is {}",
                date(*not_before),
                date(*now)
            ),
            Self::BelowFloor { agreed, floor } => write!(
                f,
                "its time, {}, is before {}, which is certainly past",
                date(*agreed),
                date(*floor)
            ),
            // Shown as Debug shows it: a name may hold anything.
            Self::UnknownIssuer {
                missing: Some(issuer),
            } => write!(
                f,
                "the certificate is issued by {issuer:?}, whose own the server does not send and we do not trust: the \
                 server should send its whole chain (fullchain.pem)"
            ),
            Self::UnknownIssuer { missing: None } => {
                f.write_str("the certificate is signed by nobody we trust")
            }
            Self::WrongName {
                expected,
                presented,
            } => wrong_name(expected, presented, f),
            Self::WrongPin { presented } => {
                write!(
                    f,
                    "the public key's pin is {presented}, none of those given"
                )
            }
            Self::Other { problem } => {
                write!(f, "the certificate was refused: {}", Foreign(problem))
            }
        }
    }
}

fn wrong_name(expected: &str, presented: &[String], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let asked = Foreign(expected);
    if is_there_as_a_name(expected, presented) {
        return write!(
            f,
            "the certificate has {asked} as a DNS name, where no client looks for an address: have one made with it as an IP address (subjectAltName IP:{asked})"
        );
    }
    if presented.is_empty() {
        return write!(f, "the certificate is not for {asked}");
    }
    let names: Vec<String> = presented
        .iter()
        .take(5)
        .map(|name| Foreign(name).to_string())
        .collect();
    write!(
        f,
        "the certificate is for {}, not for {asked}",
        names.join(", ")
    )
}

/// An address that stands among the names and was not found among the addresses.
fn is_there_as_a_name(expected: &str, presented: &[String]) -> bool {
    let address = |text: &str| text.parse::<IpAddr>().ok();
    address(expected).is_some_and(|asked| {
        let same = |name: &String| address(name) == Some(asked);
        presented.iter().any(same)
    })
}

/// `2026-11-20 13:21:42 UTC`, from seconds since 1970.
pub fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| ASN1Time::from_timestamp(seconds).ok());
    let Some(time) = time.map(|time| time.to_datetime()) else {
        return format!("{seconds} s after 1970");
    };
    let (day, clock) = (time.date(), time.time());
    format!(
        "{day} {:02}:{:02}:{:02} UTC",
        clock.hour(),
        clock.minute(),
        clock.second()
    )
}

/// The TLS library hands names over as `DnsName("a.example")` or `IpAddress(...)`.
fn bare_name(presented: &str) -> String {
    let inside = presented
        .split_once('(')
        .map_or(presented, |(_, rest)| rest.trim_end_matches(')'));
    inside.trim_matches('"').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_clock_is_called_slow_and_a_fast_one_fast() {
        let early = TrustRefusal::NotYetValid {
            not_before: 1_800_000_000,
            now: 946_684_800,
            by: By::OurClock,
        };
        assert!(early.to_string().contains("clock is slow"), "{early}");
        assert!(
            early.to_string().contains("2000-01-01 00:00:00 UTC"),
            "{early}"
        );
        let late = TrustRefusal::Expired {
            not_after: 1_800_000_000,
            now: 4_000_000_000,
            by: By::OurClock,
        };
        assert!(late.to_string().contains("clock is fast"), "{late}");
        assert!(
            late.to_string().contains("2027-01-15 08:00:00 UTC"),
            "{late}"
        );
    }

    /// It is not our clock then that is to be suspected.
    #[test]
    fn time_that_the_servers_agree_on_is_not_called_ours() {
        let (not_after, now, by) = (1_800_000_000, 1_900_000_000, By::Servers);
        let late = TrustRefusal::Expired { not_after, now, by }.to_string();
        assert!(late.contains("the servers agree"), "{late}");
        assert!(!late.contains("this host's clock"), "{late}");
    }

    #[test]
    fn names_in_a_certificate_cannot_write_to_the_terminal() {
        let hostile = "a\u{1b}]0;x\u{7}\u{9b}2J\u{202e}\u{2028}\r\n".to_string();
        for refusal in [
            TrustRefusal::WrongName {
                expected: "time.example".into(),
                presented: vec![hostile.clone(), "x".repeat(10_000)],
            },
            TrustRefusal::UnknownIssuer {
                missing: Some(hostile.clone()),
            },
            TrustRefusal::Other { problem: hostile },
        ] {
            let words = refusal.to_string();
            assert!(
                words.contains("a\\u{1b}]0;x\\u{7}\\u{9b}2J\\u{202e}"),
                "{words}"
            );
            assert!(
                words.is_ascii() && !words.contains(char::is_control),
                "{words}"
            );
            assert!(words.len() < 1000, "{words}");
        }
    }

    #[test]
    fn address_written_as_a_name_is_told_from_another_name() {
        let words = |expected: &str, presented: &str| {
            let (expected, presented) = (expected.into(), vec![presented.into()]);
            TrustRefusal::WrongName {
                expected,
                presented,
            }
            .to_string()
        };
        for (asked, has) in [("127.0.0.1", "127.0.0.1"), ("::1", "0:0:0:0:0:0:0:1")] {
            let told = words(asked, has);
            assert!(told.contains("as a DNS name"), "{told}");
            assert!(!told.contains("not for"), "{told}");
        }
        assert!(words("127.0.0.1", "127.0.0.2").contains("is for 127.0.0.2, not for 127.0.0.1"));
    }

    #[test]
    fn names_are_shown_as_people_write_them() {
        for (given, shown) in [
            ("DnsName(\"a.example\")", "a.example"),
            ("IpAddress(::1)", "::1"),
            ("x", "x"),
        ] {
            assert_eq!(bare_name(given), shown);
        }
    }
}
