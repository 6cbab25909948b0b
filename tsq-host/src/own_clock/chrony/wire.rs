//! The one question of chronyd's command protocol that we ask, and its answer.
//!
//! The protocol is written down only in chrony's headers; version 6 is that of chrony 2.2 (2015) and
//! all later releases so far. Numbers are in network order.
//!
//! ```text
//! request  0 version  1 type    4 command   6 attempt  8 sequence           20 zeros, to the answer's length
//! answer   0 version  1 type    4 command   6 reply    8 status    16 sequence
//!          28 reference id     52 stratum  54 leap    56 time of the last update
//!          76 rms offset       80 frequency           88 skew  92 root delay  96 root dispersion
//! ```

use std::io;
use std::time::Duration;

use tsq_clock::KernelLeap;

use super::Tracking;

/// Of an answer, and of a request too: chronyd gives nobody more than it got.
pub(super) const LENGTH: usize = 104;

/// What asks for the tracking report; `attempt` counts from 0.
pub(super) fn request(attempt: u16) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[0] = VERSION;
    bytes[1] = REQUEST;
    bytes[4..6].copy_from_slice(&TRACKING.to_be_bytes());
    bytes[6..8].copy_from_slice(&attempt.to_be_bytes());
    bytes[8..12].copy_from_slice(&SEQUENCE.to_be_bytes());
    bytes
}

/// Reads the answer.
///
/// # Errors
/// It is another version's, refuses, or is no such answer at all.
pub(super) fn parse(bytes: &[u8]) -> io::Result<Tracking> {
    let other = |what| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    if bytes.first().is_some_and(|version| *version != VERSION) {
        return other("it speaks another version of its command protocol than 6");
    }
    let Ok(bytes) = <&[u8; LENGTH]>::try_from(bytes) else {
        return other("its answer is of another length than a tracking report");
    };
    let head = (bytes[1], u16_at(bytes, 4), u32_at(bytes, 16));
    if head != (REPLY, TRACKING, SEQUENCE) {
        return other("it answers something else than was asked");
    }
    if (u16_at(bytes, 6), u16_at(bytes, 8)) != (TRACKING_REPORT, SUCCESS) {
        return other("it refuses to tell");
    }
    let (Some(rms_offset), Some(root_delay), Some(root_dispersion)) = (
        seconds_at(bytes, 76),
        seconds_at(bytes, 92),
        seconds_at(bytes, 96),
    ) else {
        return other("it tells of centuries");
    };
    let skew_ppm = float_at(bytes, 88);
    if skew_ppm < 0.0 {
        return other("it tells of a negative skew");
    }
    Ok(Tracking {
        reference_id: u32_at(bytes, 28),
        // 16 and more is not synchronised.
        stratum: u8::try_from(u16_at(bytes, 52)).unwrap_or(u8::MAX),
        root_delay,
        root_dispersion,
        skew_ppm,
        frequency_ppb: (float_at(bytes, 80) * 1000.0).round() as i64,
        rms_offset,
        leap: match u16_at(bytes, 54) {
            0 => Some(KernelLeap::None),
            1 => Some(KernelLeap::Insert),
            2 => Some(KernelLeap::Delete),
            _ => None,
        },
    })
}

fn u16_at(bytes: &[u8; LENGTH], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8; LENGTH], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// A signed exponent of 7 bits, then a signed fraction of 25: finite, whatever the bits.
fn float_at(bytes: &[u8; LENGTH], at: usize) -> f64 {
    let bits = u32_at(bytes, at).cast_signed();
    let (exponent, fraction) = (bits >> 25, (bits << 7) >> 7);
    f64::from(fraction) * f64::from(exponent - 25).exp2()
}

fn seconds_at(bytes: &[u8; LENGTH], at: usize) -> Option<Duration> {
    let seconds = float_at(bytes, at).abs();
    (seconds < CENTURY).then(|| Duration::from_secs_f64(seconds))
}

const VERSION: u8 = 6;
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const TRACKING: u16 = 33;
const TRACKING_REPORT: u16 = 5;
const SUCCESS: u16 = 0;

/// A socket asks once, and only chronyd can answer it.
const SEQUENCE: u32 = 0x7473_7101;

/// In seconds.
const CENTURY: f64 = 100.0 * 365.25 * 86_400.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer() -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..2].copy_from_slice(&[VERSION, REPLY]);
        bytes[5] = 33;
        bytes[7] = 5;
        bytes[16..20].copy_from_slice(&SEQUENCE.to_be_bytes());
        bytes[28..32].copy_from_slice(&[192, 0, 2, 1]);
        bytes[53] = 3;
        bytes[55] = 1;
        for (at, value) in [(76, 1.0), (80, -12.5), (88, 0.0625), (92, 0.5), (96, 0.25)] {
            bytes[at..at + 4].copy_from_slice(&float(value).to_be_bytes());
        }
        bytes
    }

    /// Of a value that is a small multiple of 1/16.
    fn float(value: f64) -> u32 {
        let fraction = (value * 16.0) as i32;
        ((25 - 4) << 25) | (fraction.cast_unsigned() & 0x01ff_ffff)
    }

    #[test]
    fn answer_is_read() {
        let tracking = parse(&answer()).unwrap();
        let expected = Tracking {
            reference_id: 0xC000_0201,
            stratum: 3,
            root_delay: Duration::from_millis(500),
            root_dispersion: Duration::from_millis(250),
            skew_ppm: 0.0625,
            frequency_ppb: -12_500,
            rms_offset: Duration::from_secs(1),
            leap: Some(KernelLeap::Insert),
        };
        assert_eq!(tracking, expected);
        let grown = tracking.dispersion_after(Duration::from_secs(16));
        assert_eq!(grown, Duration::from_micros(250_000 + 17));
    }

    #[test]
    fn daemon_without_a_source_is_not_synchronised() {
        let mut answer = answer();
        answer[55] = 3;
        assert_eq!(parse(&answer).unwrap().leap, None);
    }

    #[test]
    fn anything_else_is_no_answer() {
        for (at, value) in [(0, 7), (1, 1), (5, 34), (7, 1), (9, 2), (16, 0), (92, 0x7d)] {
            let mut answer = answer();
            answer[at] = value;
            assert!(parse(&answer).is_err(), "{at}");
        }
        assert!(parse(&[]).is_err());
        assert!(parse(&answer()[..103]).is_err());
        assert!(parse(&[&answer()[..], &[0]].concat()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), LENGTH)) {
            let mut answer = answer();
            answer[20..].copy_from_slice(&bytes[20..]);
            if let Ok(tracking) = parse(&answer) {
                prop_assert!(tracking.skew_ppm >= 0.0);
                let _ = tracking.dispersion_after(Duration::from_secs(86_400));
            }
        }
    }
}
