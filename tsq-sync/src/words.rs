//! Offsets, bounds and lengths of time as people read them.

use std::time::Duration;

use tsq_proto::time::Span;
use tsq_proto::{HostTime, Offset};

/// An offset with its sign; whole microseconds even where it is seconds, up to 100 s.
pub fn offset_text(offset: Offset) -> String {
    let size = offset.abs();
    if !(Duration::from_secs(1)..LONG).contains(&size) {
        return offset.to_string();
    }
    let sign = if offset < Offset::ZERO { '-' } else { '+' };
    format!("{sign}{}.{:06} s", size.as_secs(), size.subsec_micros())
}

/// What is longer is told in minutes, hours, days or years: nobody reads seconds then, and programs read nanoseconds.
const LONG: Duration = Duration::from_secs(100);

/// A duration in a unit people read.
pub fn length(duration: Duration) -> String {
    Span(duration).to_string()
}

/// A bound, rounded up.
pub fn bound_text(bound: Duration) -> String {
    Span(bound).rounded_up().to_string()
}

/// Whole seconds since 1970, as certificates count them; 0 before.
pub fn seconds(time: HostTime) -> u64 {
    u64::try_from(time.as_unix_nanos().div_euclid(1_000_000_000)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_of_seconds_keep_their_microseconds() {
        for (nanos, text) in [
            (1_444_208_000, "+1.444208 s"),
            (-99_999_999_000, "-99.999999 s"),
            (-61_200_000_000_000, "-17 h 0 min"),
            (-34_560_000_000_050_000, "-1 year 35 d"),
            (50_123_000, "+50.123 ms"),
            (-1_500, "-1.5 us"),
        ] {
            assert_eq!(offset_text(Offset::from_nanos(nanos)), text);
        }
    }
}
