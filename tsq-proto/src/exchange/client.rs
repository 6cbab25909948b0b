use core::time::Duration;

use super::refusal::{Reason, Refusal};
use crate::message::{Answer, Request, Response};
use crate::profile::Profile;
use crate::signing::{SignatureRefusal, Verifier};
use crate::time::{HostTime, Offset};
use crate::tlv::{ClockQuality, Nonce, SignatureAlgorithm};

/// A request under way: what the client must remember to judge the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    nonce: Nonce,
    t1: HostTime,
    request_len: usize,
}

impl Query {
    /// `nonce` is what the request carried and `t1` when it left, by this host's clock. The request was the nonce alone:
    /// for a longer one see [`with_request_len`](Self::with_request_len).
    // tsq: E1
    #[must_use]
    pub const fn new(nonce: Nonce, t1: HostTime) -> Self {
        Self {
            nonce,
            t1,
            request_len: Request::MIN_LEN,
        }
    }

    /// The request had `request_len` bytes: an answer that claims [precision mode](crate::Request::with_precision),
    /// asked for or not, must have as many. One that does not may have any length.
    // tsq: M6
    #[must_use]
    pub const fn with_request_len(mut self, request_len: usize) -> Self {
        self.request_len = request_len;
        self
    }

    /// The nonce the answer must echo.
    #[must_use]
    pub const fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// When the request left.
    #[must_use]
    pub const fn t1(&self) -> HostTime {
        self.t1
    }

    /// Accepts only an answer that one of `keys` signed; the request must have
    /// [asked for it](crate::Request::with_signature).
    // tsq: M5
    #[must_use]
    pub const fn requiring_signature(self, keys: &dyn Verifier) -> SignedQuery<'_> {
        SignedQuery { query: self, keys }
    }

    /// Judges `answer`, which came at `t4` by this host's clock; an offset of exactly `offset_limit` still passes.
    /// A signature is not looked at: see [`requiring_signature`](Self::requiring_signature).
    ///
    /// The server's timestamps are taken to be in the era nearest to T1.
    ///
    /// # Errors
    ///
    /// The first [`Refusal`] in this order: malformed, server error, nonce, length, T2 or T3 out of range, T4 before T1,
    /// T3 before T2, delay, offset.
    // tsq: E2 E3 E4 E5 M3
    pub fn finish(
        &self,
        answer: &[u8],
        t4: HostTime,
        offset_limit: Duration,
    ) -> Result<Sample, Refusal> {
        self.judge(answer, t4, offset_limit, None)
    }

    // One function for both kinds of query: a decoded response is large, and not moved about here.
    // tsq: E4 M3 M5
    fn judge(
        &self,
        answer: &[u8],
        t4: HostTime,
        offset_limit: Duration,
        keys: Option<&dyn Verifier>,
    ) -> Result<Sample, Refusal> {
        let response = match Answer::decode(answer)? {
            Answer::Response(response) => response,
            Answer::Error(error) => {
                return Err(Refusal::ServerError {
                    code: error.code,
                    reason: Reason::new(error.reason),
                });
            }
        };
        if response.nonce() != self.nonce {
            return Err(Refusal::NonceMismatch);
        }
        if let Some(keys) = keys {
            verify(&response, keys)?;
        }
        same_length(&response, self.request_len, answer.len())?;
        self.measure(&response, t4, offset_limit)
    }

    fn measure(
        &self,
        response: &Response<'_>,
        t4: HostTime,
        offset_limit: Duration,
    ) -> Result<Sample, Refusal> {
        let t1 = self.t1;
        // A time that was cut off at the end of the range would give a delay that is not the one there was.
        let [t2, t3] = [response.receive_timestamp(), response.send_timestamp()]
            .map(|time| time.checked_resolve(t1));
        let (t2, t3) = t2.zip(t3).ok_or(Refusal::TimeOutOfRange)?;
        if t4 < t1 {
            return Err(Refusal::ReceivedBeforeSent {
                by: (t1 - t4).abs(),
            });
        }
        if t3 < t2 {
            return Err(Refusal::SendBeforeReceive {
                by: (t2 - t3).abs(),
            });
        }
        let (offset, delay) = offset_and_delay([t1, t2, t3, t4]);
        let delay = delay?;
        if offset.abs() > offset_limit {
            return Err(Refusal::OffsetPastLimit {
                offset,
                limit: offset_limit,
            });
        }
        let profile = Profile::from_metadata(&response.metadata());
        Ok(Sample {
            t1,
            t2,
            t3,
            t4,
            offset,
            delay,
            time_source: response
                .time_source()
                .map(|source| (source.stratum, source.source.as_u8())),
            clock_quality: response
                .clock_quality()
                .map(|quality| ClockQuality { tag: "", ..quality }),
            root_delay: profile.root_delay,
            root_dispersion: profile.root_dispersion,
        })
    }
}

/// What four timestamps say; the delay only if it is positive.
// tsq: E2 E4
pub(super) fn offset_and_delay(times: [HostTime; 4]) -> (Offset, Result<Duration, Refusal>) {
    // T2 and T3 are the peer's word: the sums must not overflow whatever they are.
    let [n1, n2, n3, n4] = times.map(|time| i128::from(time.as_unix_nanos()));
    let delay = (n4 - n1) - (n3 - n2);
    let offset = Offset::saturating_from_i128(((n2 - n1) + (n3 - n4)) / 2);
    let positive = if delay > 0 {
        Ok(Duration::from_nanos(
            u64::try_from(delay).unwrap_or(u64::MAX),
        ))
    } else {
        Err(Refusal::DelayNotPositive {
            delay: Offset::saturating_from_i128(delay),
        })
    };
    (offset, positive)
}

/// A [`Query`] whose answer must be signed.
// tsq: M5
#[derive(Clone, Copy, Debug)]
pub struct SignedQuery<'v> {
    query: Query,
    keys: &'v dyn Verifier,
}

impl SignedQuery<'_> {
    /// Judges `answer` as [`Query::finish`] does, and its signature after its nonce: no timestamp is looked at that
    /// is not signed.
    ///
    /// # Errors
    ///
    /// The first [`Refusal`] in this order: malformed, server error, nonce, no signature, no valid one, length, T2 or T3
    /// out of range, T4 before T1, T3 before T2, delay, offset.
    // tsq: M4 M5
    pub fn finish(
        &self,
        answer: &[u8],
        t4: HostTime,
        offset_limit: Duration,
    ) -> Result<Sample, Refusal> {
        self.query.judge(answer, t4, offset_limit, Some(self.keys))
    }
}

// tsq: M4 M5
fn verify(response: &Response<'_>, keys: &dyn Verifier) -> Result<(), Refusal> {
    let block = response.signature().ok_or(Refusal::SignatureMissing)?;
    if let SignatureAlgorithm::Other(number) = block.algorithm {
        return Err(SignatureRefusal::UnknownAlgorithm { number }.into());
    }
    let signed = response.signed_bytes();
    keys.verify(block.algorithm, block.key_id, signed, block.signature)
        .map_err(Refusal::SignatureInvalid)
}

// tsq: M6
fn same_length(response: &Response<'_>, request: usize, answer: usize) -> Result<(), Refusal> {
    if response.precision() && request != answer {
        return Err(Refusal::PrecisionLength { request, answer });
    }
    Ok(())
}

/// One accepted measurement. All four timestamps went through every check.
// tsq: E2 E5
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When the request left, by this host's clock.
    pub t1: HostTime,
    /// When the server received it, by the server's clock.
    pub t2: HostTime,
    /// When the server sent its answer, by the server's clock.
    pub t3: HostTime,
    /// When the answer came, by this host's clock.
    pub t4: HostTime,
    /// How far our clock is behind the server's, `((T2-T1) + (T3-T4)) / 2`. Positive: our clock is behind. Wrong by
    /// at most half the delay.
    pub offset: Offset,
    /// Time on the way, both directions, `(T4-T1) - (T3-T2)`. Never zero.
    pub delay: Duration,
    /// Stratum and source type, if the server told them (see [`TimeSource`](crate::tlv::TimeSource)).
    pub time_source: Option<(u8, u8)>,
    /// How good the server says its clock is, if it told; without the tag.
    pub clock_quality: Option<ClockQuality<'static>>,
    /// The server's delay to its reference clock and back, if told (see [`Profile`]).
    pub root_delay: Option<Duration>,
    /// The greatest error of the server's clock, its root delay aside, if told (see [`Profile`]).
    pub root_dispersion: Option<Duration>,
}

impl Sample {
    /// The most by which the server's own clock can be wrong, by its own word: half its root delay plus its root
    /// dispersion, the root distance of RFC 5905, section 11.2. None unless the server told both.
    ///
    /// The true offset of our clock is then within [`offset`](Self::offset) ± ([`delay`](Self::delay) / 2 + this).
    /// Without it, that bound excludes the server's own error.
    // tsq: M7 M10
    #[must_use]
    pub fn server_error(&self) -> Option<Duration> {
        let (delay, dispersion) = self.root_delay.zip(self.root_dispersion)?;
        Some((delay / 2).saturating_add(dispersion))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::NtpTimestamp;
    use crate::tlv::{ClockClass, Metadata, SourceType, TimeSource};
    use crate::{ErrorCode, error_answer};

    const NONCE: Nonce = Nonce::new([7; 16]);
    const DAY: Duration = Duration::from_secs(86_400);
    /// 2036-02-07 06:28:16 UTC.
    const ERA_1: i64 = (1 << 32) - 2_208_988_800;

    /// The outcome for timestamps in nanoseconds after `base` seconds.
    fn outcome(base: i64, t: [i64; 4], limit: Duration) -> Result<Sample, Refusal> {
        let [t1, t2, t3, t4] =
            t.map(|nanos| HostTime::from_unix(base, 0) + Offset::from_nanos(nanos));
        finish(t1, t2.to_ntp(), t3.to_ntp(), t4, limit)
    }

    fn finish(
        t1: HostTime,
        t2: NtpTimestamp,
        t3: NtpTimestamp,
        t4: HostTime,
        limit: Duration,
    ) -> Result<Sample, Refusal> {
        let mut answer = [0; Response::MIN_LEN];
        Response::new(NONCE, t2, t3).encode(&mut answer).unwrap();
        Query::new(NONCE, t1).finish(&answer, t4, limit)
    }

    // tsq: E2
    #[test]
    fn client_behind_gives_a_positive_offset() {
        let sample = outcome(
            1_795_000_000,
            [0, 1_444_208_000, 1_444_218_000, 20_000],
            DAY,
        )
        .unwrap();
        assert_eq!(sample.offset, Offset::from_nanos(1_444_203_000));
        assert_eq!(sample.delay, Duration::from_nanos(10_000));
    }

    // tsq: E2
    #[test]
    fn client_ahead_gives_a_negative_offset() {
        let sample = outcome(1_795_000_000, [0, -999_500, -999_400, 1_100], DAY).unwrap();
        assert_eq!(sample.offset, Offset::from_nanos(-1_000_000));
        assert_eq!(sample.delay, Duration::from_nanos(1_000));
    }

    // tsq: E3
    #[test]
    fn exchange_across_the_2036_roll_over_is_measured_right() {
        let client_before = outcome(ERA_1, [-5_000, 20_000, 21_000, -3_000], DAY).unwrap();
        assert_eq!(client_before.offset, Offset::from_nanos(24_500));
        let client_after = outcome(ERA_1, [5_000, -20_000, -19_000, 7_000], DAY).unwrap();
        assert_eq!(client_after.offset, Offset::from_nanos(-25_500));
    }

    // tsq: E4
    #[test]
    fn offset_at_the_limit_passes_and_a_nanosecond_more_does_not() {
        let limit = Duration::from_nanos(1_000);
        assert!(outcome(0, [0, 1_005, 1_005, 10], limit).is_ok());
        let refused = Refusal::OffsetPastLimit {
            offset: Offset::from_nanos(1_001),
            limit,
        };
        assert_eq!(outcome(0, [0, 1_006, 1_006, 10], limit), Err(refused));
        let refused = Refusal::OffsetPastLimit {
            offset: Offset::from_nanos(-1_001),
            limit,
        };
        assert_eq!(outcome(0, [0, -996, -996, 10], limit), Err(refused));
    }

    // tsq: E4
    #[test]
    fn send_before_receive_is_refused_by_its_size() {
        let refused = Refusal::SendBeforeReceive {
            by: Duration::from_nanos(3),
        };
        assert_eq!(outcome(0, [0, 103, 100, 200], DAY), Err(refused));
        assert!(outcome(0, [0, 100, 100, 200], DAY).is_ok());
    }

    // tsq: E4
    #[test]
    fn answer_before_the_request_is_refused_by_its_size() {
        let refused = Refusal::ReceivedBeforeSent {
            by: Duration::from_nanos(7),
        };
        assert_eq!(outcome(0, [10, 100, 200, 3], DAY), Err(refused));
    }

    // tsq: E4
    #[test]
    fn delay_of_zero_is_refused_and_of_a_nanosecond_is_not() {
        let refused = Refusal::DelayNotPositive {
            delay: Offset::ZERO,
        };
        assert_eq!(outcome(0, [0, 100, 150, 50], DAY), Err(refused));
        let refused = Refusal::DelayNotPositive {
            delay: Offset::from_nanos(-50),
        };
        assert_eq!(outcome(0, [0, 100, 200, 50], DAY), Err(refused));
        assert_eq!(
            outcome(0, [0, 100, 149, 50], DAY).unwrap().delay,
            Duration::from_nanos(1)
        );
    }

    // tsq: E4
    #[test]
    fn another_nonce_is_refused() {
        let mut answer = [0; Response::MIN_LEN];
        let zero = NtpTimestamp::from_bits(0);
        Response::new(Nonce::new([8; 16]), zero, zero)
            .encode(&mut answer)
            .unwrap();
        let query = Query::new(NONCE, HostTime::from_unix(0, 0));
        assert_eq!(
            query.finish(&answer, HostTime::from_unix(0, 1), DAY),
            Err(Refusal::NonceMismatch)
        );
    }

    /// The outcome of an answer of 60 bytes to a request of `request_len` bytes in precision mode.
    fn precise(request_len: usize, acknowledged: bool) -> Result<Sample, Refusal> {
        let mut answer = [0; 60];
        let response = if acknowledged {
            response().with_precision()
        } else {
            response()
        };
        response.padded_to(60).encode(&mut answer).unwrap();
        let t1 = HostTime::from_unix(1_795_000_000, 0);
        let query = Query::new(NONCE, t1).with_request_len(request_len);
        query.finish(&answer, t1 + Offset::from_nanos(20), DAY)
    }

    // tsq: M6
    #[test]
    fn precision_acknowledged_at_another_length_is_refused() {
        assert!(precise(60, true).is_ok());
        for request in [59, 61] {
            let refused = Refusal::PrecisionLength {
                request,
                answer: 60,
            };
            assert_eq!(precise(request, true), Err(refused));
            assert!(precise(request, false).is_ok(), "not acknowledged");
        }
    }

    // tsq: M6
    #[test]
    fn precision_claimed_for_the_shortest_request_is_refused() {
        let mut answer = [0; 60];
        let claiming = response().with_precision().padded_to(60);
        claiming.encode(&mut answer).unwrap();
        let t1 = HostTime::from_unix(1_795_000_000, 0);
        let refused = Query::new(NONCE, t1).finish(&answer, t1 + Offset::from_nanos(20), DAY);
        let (request, answer) = (18, 60);
        assert_eq!(refused, Err(Refusal::PrecisionLength { request, answer }));
    }

    // tsq: M3
    #[test]
    fn server_error_is_refused_with_its_code_and_reason() {
        let mut answer = [0; 64];
        let len = error_answer(
            ErrorCode::AuthenticationRequired,
            "members only",
            &mut answer,
        );
        let query = Query::new(NONCE, HostTime::from_unix(0, 0));
        let refused = query.finish(&answer[..len], HostTime::from_unix(0, 1), DAY);
        let expected = Refusal::ServerError {
            code: ErrorCode::AuthenticationRequired,
            reason: Reason::new("members only"),
        };
        assert_eq!(refused, Err(expected));
    }

    fn sample_with(response: Response<'_>) -> Sample {
        let mut answer = [0; 300];
        let len = response.encode(&mut answer).unwrap();
        let t1 = HostTime::from_unix(1_795_000_000, 0);
        Query::new(NONCE, t1)
            .finish(&answer[..len], t1 + Offset::from_nanos(20), DAY)
            .unwrap()
    }

    fn response() -> Response<'static> {
        let [t2, t3] =
            [5, 6].map(|nanos| HostTime::from_unix_nanos(1_795_000_000_000_000_000 + nanos));
        Response::new(NONCE, t2.to_ntp(), t3.to_ntp())
    }

    // tsq: T6 T9 M7
    #[test]
    fn sample_tells_what_the_server_says_of_its_clock() {
        let quality = ClockQuality {
            class: ClockClass::Ntp,
            error_us: 20,
            drift_ppb: 300,
            tag: "chrony",
        };
        let told = response()
            .with_time_source(TimeSource {
                stratum: 2,
                source: SourceType::Ntp,
                info: "pool",
            })
            .with_clock_quality(quality);
        let sample = sample_with(told);
        assert_eq!(sample.time_source, Some((2, 3)));
        assert_eq!(
            sample.clock_quality,
            Some(ClockQuality { tag: "", ..quality })
        );
    }

    // tsq: M10
    #[test]
    fn servers_own_error_is_half_its_root_delay_plus_its_dispersion() {
        let mut storage = [0; 100];
        let pairs = [("root_delay_ns", "1000"), ("root_dispersion_ns", "30")];
        let metadata = Metadata::new(&pairs, &mut storage).unwrap();
        let sample = sample_with(response().with_metadata(metadata));
        assert_eq!(sample.root_delay, Some(Duration::from_nanos(1000)));
        assert_eq!(sample.server_error(), Some(Duration::from_nanos(530)));
    }

    // tsq: M10
    #[test]
    fn servers_own_error_is_not_known_from_half_of_what_it_takes() {
        assert_eq!(sample_with(response()).server_error(), None);
        for pair in [("root_delay_ns", "1000"), ("root_dispersion_ns", "30")] {
            let mut storage = [0; 100];
            let metadata = Metadata::new(&[pair], &mut storage).unwrap();
            let sample = sample_with(response().with_metadata(metadata));
            assert_eq!(sample.server_error(), None);
        }
    }

    // tsq: E3 E4
    #[test]
    fn server_time_that_no_host_time_can_be_is_refused_and_not_cut_off() {
        let last = i64::MAX - 10;
        let t1 = HostTime::from_unix_nanos(last);
        let t4 = HostTime::from_unix_nanos(i64::MAX);
        // 15 ns after T1, which is past the end, held for 15 ns more.
        let out = |nanos: i64| {
            let before = HostTime::from_unix_nanos(last - 1_000_000_000).to_ntp();
            NtpTimestamp::from_bits(
                before.to_bits() + (1 << 32) + (nanos.unsigned_abs() << 32) / 1_000_000_000 + 1,
            )
        };
        let refused = finish(t1, out(15), out(30), t4, Duration::MAX);
        assert_eq!(refused, Err(Refusal::TimeOutOfRange));
        let inside = finish(t1, out(2), out(4), t4, Duration::MAX).unwrap();
        assert!(inside.delay < Duration::from_nanos(10) && inside.t3 < t4);
    }

    #[test]
    fn extreme_times_never_overflow() {
        let ends = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX]
            .map(HostTime::from_unix_nanos);
        let bits = [0, 1, 1 << 31, 1 << 63, (1 << 63) - 1, u64::MAX].map(NtpTimestamp::from_bits);
        for (t1, t4) in ends.iter().flat_map(|&t1| ends.map(|t4| (t1, t4))) {
            for (t2, t3) in bits.iter().flat_map(|&t2| bits.map(|t3| (t2, t3))) {
                if let Ok(sample) = finish(t1, t2, t3, t4, Duration::MAX) {
                    assert!(
                        sample.t1 <= sample.t4 && sample.t2 <= sample.t3 && !sample.delay.is_zero()
                    );
                }
            }
        }
    }
}
