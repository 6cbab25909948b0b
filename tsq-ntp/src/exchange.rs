//! One request, and the judgement of what comes back. Times are handed in.

use std::time::Duration;

use tsq_proto::{HostTime, Leap, NtpTimestamp, Offset, Sample};

use crate::Refusal;
use crate::header::{Header, MODE_SERVER, VERSION};

/// A request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    nonce: NtpTimestamp,
}

impl Query {
    /// `nonce` is random, and not a time: the answer must repeat it, and nobody learns our clock from it.
    #[must_use]
    pub const fn new(nonce: u64) -> Self {
        Self {
            nonce: NtpTimestamp::from_bits(nonce),
        }
    }

    /// The request's bytes.
    #[must_use]
    pub fn request(&self) -> [u8; Header::LEN] {
        Header::request(self.nonce)
    }

    /// Looks at what anybody could have sent: is it an NTP server's answer to this request?
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::Version`], [`Refusal::Mode`] or [`Refusal::OriginMismatch`].
    pub fn recognise(&self, packet: &[u8]) -> Result<Header, Refusal> {
        let header = Header::decode(packet).ok_or(Refusal::Malformed)?;
        if header.origin != self.nonce {
            return Err(Refusal::OriginMismatch);
        }
        if header.version != VERSION {
            return Err(Refusal::Version {
                version: header.version,
            });
        }
        if header.mode != MODE_SERVER {
            return Err(Refusal::Mode { mode: header.mode });
        }
        Ok(header)
    }
}

/// The sample of a recognised answer: `t1` when the request left and `t4` when the answer came, by this host's clock.
///
/// The root dispersion of the sample includes the server's precision.
///
/// # Errors
/// The first [`Refusal`] in this order: kiss of death, synchronisation, missing times, root distance, order of the times.
pub fn judge(header: &Header, t1: HostTime, t4: HostTime) -> Result<Sample, Refusal> {
    // Stratum 0 without a code is what a server sends that has never been set.
    if header.stratum == 0 && header.reference_id.iter().all(u8::is_ascii_alphanumeric) {
        return Err(Refusal::Kiss {
            code: header.reference_id,
        });
    }
    let stratum_known = (1..STRATUM_UNSYNCHRONISED).contains(&header.stratum);
    if header.leap == Leap::Unknown || !stratum_known {
        return Err(Refusal::Unsynchronised {
            stratum: header.stratum,
        });
    }
    let zero = NtpTimestamp::from_bits(0);
    if header.receive == zero || header.transmit == zero {
        return Err(Refusal::NoTime);
    }
    let (t2, t3) = (header.receive.resolve(t1), header.transmit.resolve(t1));
    if header.reference != zero && header.reference.resolve(t3) > t3 {
        return Err(Refusal::NoTime);
    }
    let root_delay = header.root_delay.to_duration();
    let root_dispersion = header.root_dispersion.to_duration() + header.precision();
    let distance = root_delay / 2 + root_dispersion;
    if distance > MAX_ROOT_DISTANCE {
        return Err(Refusal::RootDistance {
            distance,
            limit: MAX_ROOT_DISTANCE,
        });
    }
    let (offset, delay) = offset_and_delay([t1, t2, t3, t4]).map_err(Refusal::Times)?;
    Ok(Sample {
        t1,
        t2,
        t3,
        t4,
        offset,
        delay,
        time_source: Some((header.stratum, SOURCE_NTP)),
        clock_quality: None,
        root_delay: Some(root_delay),
        root_dispersion: Some(root_dispersion),
    })
}

/// RFC 5905, section 8, with the refusals of TSQ (E4).
fn offset_and_delay(times: [HostTime; 4]) -> Result<(Offset, Duration), tsq_proto::Refusal> {
    let [t1, t2, t3, t4] = times;
    if t4 < t1 {
        return Err(tsq_proto::Refusal::ReceivedBeforeSent {
            by: (t1 - t4).abs(),
        });
    }
    if t3 < t2 {
        return Err(tsq_proto::Refusal::SendBeforeReceive {
            by: (t2 - t3).abs(),
        });
    }
    let [n1, n2, n3, n4] = times.map(|time| i128::from(time.as_unix_nanos()));
    let offset = saturated(((n2 - n1) + (n3 - n4)) / 2);
    let delay = saturated((n4 - n1) - (n3 - n2));
    if delay <= Offset::ZERO {
        return Err(tsq_proto::Refusal::DelayNotPositive { delay });
    }
    Ok((offset, delay.abs()))
}

fn saturated(nanos: i128) -> Offset {
    let bounded = nanos.clamp(i64::MIN.into(), i64::MAX.into());
    Offset::from_nanos(i64::try_from(bounded).expect("clamped to the range of i64"))
}

/// From this stratum on a server is not synchronised.
const STRATUM_UNSYNCHRONISED: u8 = 16;

/// `MAXDISP` of RFC 5905.
const MAX_ROOT_DISTANCE: Duration = Duration::from_secs(16);

/// The source type that TSQ's Time Source element has for NTP (T9).
const SOURCE_NTP: u8 = 3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONCE: u64 = 0x0123_4567_89ab_cdef;

    fn at(micros: i64) -> HostTime {
        HostTime::from_unix_nanos(1_795_000_000_000_000_000 + micros * 1_000)
    }

    /// A server 5 ms ahead of us, on the way for 100 us each way, answering in 20 us.
    fn answer(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut packet = vec![0; 48];
        packet[0] = 0x24;
        (packet[1], packet[3]) = (2, 0xe8);
        packet[16..24].copy_from_slice(&at(-9_000_000).to_ntp().to_be_bytes());
        packet[24..32].copy_from_slice(&NONCE.to_be_bytes());
        packet[32..40].copy_from_slice(&at(5_100).to_ntp().to_be_bytes());
        packet[40..48].copy_from_slice(&at(5_120).to_ntp().to_be_bytes());
        change(&mut packet);
        packet
    }

    fn judged(packet: &[u8]) -> Result<Sample, Refusal> {
        let header = Query::new(NONCE).recognise(packet)?;
        judge(&header, at(0), at(220))
    }

    #[test]
    fn good_answer_gives_offset_delay_and_the_servers_error() {
        let sample = judged(&answer(|packet| {
            packet[4..8].copy_from_slice(&[0, 0, 0x80, 0]);
            packet[8..12].copy_from_slice(&[0, 0, 0x40, 0]);
        }))
        .unwrap();
        let within = |found: Duration, wanted: u64| {
            found.abs_diff(Duration::from_nanos(wanted)) < Duration::from_nanos(5)
        };
        assert!(within(sample.offset.abs(), 5_000_000), "{sample:?}");
        assert!(within(sample.delay, 200_000), "{sample:?}");
        assert!(sample.server_error() > Some(Duration::from_millis(500)));
        assert_eq!(sample.time_source, Some((2, 3)));
    }

    #[test]
    fn every_check_has_a_name() {
        let set = |at: usize, bytes: &'static [u8]| {
            answer(|packet| packet[at..at + bytes.len()].copy_from_slice(bytes))
        };
        for (packet, name) in [
            (answer(|packet| packet.truncate(47)), "malformed"),
            (set(0, &[0x1c]), "version"),
            (set(0, &[0x23]), "mode"),
            (set(0, &[0x25]), "mode"),
            (set(31, &[0]), "nonce_mismatch"),
            (set(24, &[0; 8]), "nonce_mismatch"),
            (set(1, b"\0\0\0\0\0\0\0\0\0\0\0RATE"), "kiss_of_death"),
            (set(1, &[0]), "unsynchronised"),
            (set(1, &[16]), "unsynchronised"),
            (set(1, &[255]), "unsynchronised"),
            (set(0, &[0xe4]), "unsynchronised"),
            (set(32, &[0; 8]), "no_time"),
            (set(40, &[0; 8]), "no_time"),
            (set(16, &[0xff; 2]), "no_time"),
            (set(4, &[0, 32, 0, 0]), "root_distance"),
            (set(8, &[0, 16, 0, 0]), "root_distance"),
        ] {
            assert_eq!(judged(&packet).unwrap_err().name(), name, "{packet:x?}");
        }
    }

    #[test]
    fn times_that_cannot_be_are_refused_as_in_tsq() {
        let swapped = answer(|packet| {
            packet[32..40].copy_from_slice(&at(5_121).to_ntp().to_be_bytes());
        });
        assert_eq!(judged(&swapped).unwrap_err().name(), "send_before_receive");
        let header = Query::new(NONCE).recognise(&answer(|_| ())).unwrap();
        let name = |t4| judge(&header, at(0), at(t4)).unwrap_err().name();
        assert_eq!(name(-1), "received_before_sent");
        assert_eq!(name(19), "delay_not_positive");
        assert!(judge(&header, at(0), at(21)).is_ok());
    }

    #[test]
    fn era_that_begins_in_2036_is_understood() {
        let after = HostTime::from_unix(2_085_978_496 + 10, 0);
        let header = Header {
            receive: after.to_ntp(),
            transmit: after.to_ntp(),
            reference: NtpTimestamp::from_bits(0),
            ..Query::new(NONCE).recognise(&answer(|_| ())).unwrap()
        };
        let ours = HostTime::from_unix(2_085_978_496 - 10, 0);
        let sample = judge(
            &header,
            ours,
            HostTime::from_unix(2_085_978_496 - 10, 1_000),
        )
        .unwrap();
        assert_eq!(sample.offset.abs().as_secs(), 19);
        assert!(sample.offset > Offset::from_nanos(19_900_000_000));
    }

    proptest! {
        #[test]
        fn any_answer_is_judged_without_a_panic(mut packet in proptest::collection::vec(any::<u8>(), 48..80), echo: bool, t1: i64, t4: i64) {
            if echo {
                packet[24..32].copy_from_slice(&NONCE.to_be_bytes());
                packet[0] = packet[0] & 0xc0 | 0x24;
            }
            if let Ok(header) = Query::new(NONCE).recognise(&packet)
                && let Ok(sample) = judge(&header, HostTime::from_unix_nanos(t1), HostTime::from_unix_nanos(t4))
            {
                prop_assert!(sample.delay > Duration::ZERO);
                prop_assert!(sample.server_error().is_some_and(|error| error <= MAX_ROOT_DISTANCE));
            }
        }
    }
}
