use core::fmt;
use core::time::Duration;

use super::client::{Sample, offset_and_delay};
use super::refusal::Refusal;
use crate::time::{NtpTimestamp, Offset, Span};

impl Sample {
    /// The sample with the departure that a [follow-up](crate::FollowUp) tells in T3's place: the time between the
    /// reading of T3 and the departure no longer counts as time on the way.
    ///
    /// Of a departure that seems earlier than T3 by no more than the [noise](FollowUpRefusal::NOISE), T3 stays.
    ///
    /// # Errors
    ///
    /// [`FollowUpRefusal`]; the sample stays what it is then.
    // tsq: E2 E4 M10
    pub fn with_departure(
        &self,
        departure: NtpTimestamp,
        offset_limit: Duration,
    ) -> Result<Self, FollowUpRefusal> {
        let departure = departure
            .checked_resolve(self.t3)
            .ok_or(FollowUpRefusal::NoSample(Refusal::TimeOutOfRange))?;
        let after = departure - self.t3;
        if after < Offset::ZERO && after.abs() > FollowUpRefusal::NOISE {
            return Err(FollowUpRefusal::BeforeSend { by: after.abs() });
        }
        if after.abs() > FollowUpRefusal::LATEST {
            return Err(FollowUpRefusal::TooLate { by: after.abs() });
        }
        let t3 = departure.max(self.t3);
        let (offset, delay) = offset_and_delay([self.t1, self.t2, t3, self.t4]);
        let delay = delay.map_err(FollowUpRefusal::NoSample)?;
        if offset.abs() > offset_limit {
            return Err(FollowUpRefusal::NoSample(Refusal::OffsetPastLimit {
                offset,
                limit: offset_limit,
            }));
        }
        Ok(Self {
            t3,
            offset,
            delay,
            ..*self
        })
    }
}

/// Why a follow-up does not count. The sample it is about, if there is one, stays as it was.
// tsq: M10
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FollowUpRefusal {
    /// It is about an answer to none of our requests. Found by the caller, who knows the requests.
    UnknownNonce,
    /// The departure of that answer was told before. Found by the caller.
    Repeated,
    /// The answer is said to have left before the server read T3, by more than the [noise](Self::NOISE).
    BeforeSend {
        /// By how much.
        by: Duration,
    },
    /// The answer is said to have left more than [`LATEST`](Self::LATEST) after the server read T3.
    TooLate {
        /// How long after.
        by: Duration,
    },
    /// With it, the sample would be refused.
    NoSample(Refusal),
}

impl FollowUpRefusal {
    /// A server reads T3 and the departure from one clock; their roundings on the way are far below this.
    pub const NOISE: Duration = Duration::from_micros(1);

    /// No answer waits longer in a server that is still of use.
    pub const LATEST: Duration = Duration::from_secs(1);

    /// The reason as a stable name for programs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::UnknownNonce => "unknown_nonce",
            Self::Repeated => "repeated",
            Self::BeforeSend { .. } => "before_send",
            Self::TooLate { .. } => "too_late",
            Self::NoSample(refusal) => refusal.name(),
        }
    }
}

impl fmt::Display for FollowUpRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownNonce => write!(f, "the follow-up is about no answer of ours"),
            Self::Repeated => write!(f, "the follow-up was told before"),
            Self::BeforeSend { by } => {
                write!(
                    f,
                    "the follow-up says the answer left {} before it was stamped",
                    Span(*by)
                )
            }
            Self::TooLate { by } => {
                write!(
                    f,
                    "the follow-up says the answer left {} after it was stamped",
                    Span(*by)
                )
            }
            Self::NoSample(refusal) => write!(f, "with the follow-up, {refusal}"),
        }
    }
}

impl core::error::Error for FollowUpRefusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Response;
    use crate::time::HostTime;
    use crate::tlv::Nonce;
    use crate::{Prepared, Query, Request};

    const DAY: Duration = Duration::from_secs(86_400);
    const BASE: i64 = 1_795_000_000_000_000_000;

    fn at(nanos: i64) -> HostTime {
        HostTime::from_unix_nanos(BASE + nanos)
    }

    /// A server that needs 10 us before and 4 us after reading T3, 50 us away in each direction.
    fn sample() -> Sample {
        let nonce = Nonce::new([7; 16]);
        let mut out = [0; Response::MIN_LEN];
        let prepared = Prepared::answer(&Request::new(nonce), at(50_000), &mut out).unwrap();
        let answer = prepared.stamp(at(60_000));
        Query::new(nonce, at(0))
            .finish(answer, at(114_000), DAY)
            .unwrap()
    }

    // tsq: E2
    #[test]
    fn departure_takes_the_servers_own_time_out_of_the_sample() {
        let before = sample();
        assert_eq!(before.offset, Offset::from_nanos(-2_000));
        assert_eq!(before.delay, Duration::from_nanos(104_000));
        let corrected = before.with_departure(at(64_000).to_ntp(), DAY).unwrap();
        assert_eq!(corrected.offset, Offset::ZERO);
        assert_eq!(corrected.delay, Duration::from_nanos(100_000));
        assert_eq!(
            (corrected.t2, corrected.t3, corrected.t4),
            (before.t2, at(64_000), before.t4)
        );
    }

    #[test]
    fn departure_before_t3_is_refused_beyond_the_noise() {
        let departed = |nanos: i64| sample().with_departure(at(60_000 + nanos).to_ntp(), DAY);
        assert_eq!(departed(0), Ok(sample()));
        assert_eq!(departed(-1_000), Ok(sample()));
        let by = Duration::from_nanos(1_001);
        assert_eq!(departed(-1_001), Err(FollowUpRefusal::BeforeSend { by }));
        let by = Duration::from_secs(2);
        assert_eq!(
            departed(-2_000_000_000),
            Err(FollowUpRefusal::BeforeSend { by })
        );
    }

    #[test]
    fn departure_long_after_t3_is_refused() {
        let slow = Sample {
            t4: at(3_000_000_000),
            ..sample()
        };
        let departed = |nanos: i64| slow.with_departure(at(60_000 + nanos).to_ntp(), DAY);
        assert!(departed(1_000_000_000).is_ok());
        let by = Duration::from_nanos(1_000_000_001);
        assert_eq!(
            departed(1_000_000_001),
            Err(FollowUpRefusal::TooLate { by })
        );
    }

    // tsq: E4
    #[test]
    fn departure_that_leaves_no_time_on_the_way_is_refused() {
        let departed = |nanos: i64| sample().with_departure(at(nanos).to_ntp(), DAY);
        assert!(departed(163_999).is_ok());
        assert_eq!(departed(164_000).unwrap_err().name(), "delay_not_positive");
    }

    // tsq: E4
    #[test]
    fn departure_that_moves_the_offset_past_its_limit_is_refused() {
        let limit = Duration::from_nanos(2_000);
        let departed = |nanos: i64| sample().with_departure(at(nanos).to_ntp(), limit);
        assert!(departed(68_000).is_ok());
        assert_eq!(departed(68_002).unwrap_err().name(), "offset_past_limit");
    }

    // tsq: E3
    #[test]
    fn era_that_ends_between_t3_and_the_departure_is_found() {
        let end = HostTime::from_unix((1 << 32) - 2_208_988_800, 0);
        let t3 = end - Offset::from_nanos(2_000);
        let last = Sample {
            t1: t3 - Offset::from_nanos(60_000),
            t2: t3 - Offset::from_nanos(10_000),
            t3,
            t4: t3 + Offset::from_nanos(54_000),
            ..sample()
        };
        let departure = end + Offset::from_nanos(2_000);
        let corrected = last.with_departure(departure.to_ntp(), DAY).unwrap();
        assert_eq!(corrected.t3, departure);
    }

    #[test]
    fn extreme_departures_never_overflow() {
        for bits in [0, 1, 1 << 31, 1 << 63, (1 << 63) - 1, u64::MAX] {
            let departure = NtpTimestamp::from_bits(bits);
            for t3 in [i64::MIN, -1, 0, i64::MAX].map(HostTime::from_unix_nanos) {
                let sample = Sample { t3, ..sample() };
                let _ = sample.with_departure(departure, Duration::MAX);
            }
        }
    }
}
