use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tsq_proto::HostTime;

use crate::Problem;

/// The moment an RFC 3339 text stands for, to the nanosecond.
pub(crate) fn parse(text: &str) -> Result<HostTime, Problem> {
    OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .and_then(|moment| i64::try_from(moment.unix_timestamp_nanos()).ok())
        .map(HostTime::from_unix_nanos)
        .ok_or_else(|| Problem::BadValidFrom { text: text.into() })
}

/// The moment in RFC 3339, in UTC.
pub(crate) fn format(moment: HostTime) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(moment.as_unix_nanos().into())
        .expect("64 bits of nanoseconds span the years 1677 to 2262")
        .format(&Rfc3339)
        .expect("these years have four digits")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moment_is_read_in_any_zone() {
        let noon = HostTime::from_unix(1_795_176_000, 0);
        for text in [
            "2026-11-20T12:00:00Z",
            "2026-11-20T13:00:00+01:00",
            "2026-11-20T12:00:00.000Z",
        ] {
            assert_eq!(parse(text).unwrap(), noon, "{text}");
        }
        assert_eq!(format(noon), "2026-11-20T12:00:00Z");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "2026-11-20",
            "2026-11-20T12:00:00",
            "2026-02-30T12:00:00Z",
            "2262-04-12T00:00:00Z",
            "1677-09-21T00:00:00Z",
            "tomorrow",
        ] {
            let refused = parse(text);
            assert!(
                matches!(&refused, Err(Problem::BadValidFrom { text: told }) if told == text),
                "{refused:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_moment_is_read_back(nanos: i64) {
            let moment = HostTime::from_unix_nanos(nanos);
            prop_assert_eq!(parse(&format(moment)).unwrap(), moment);
        }
    }
}
