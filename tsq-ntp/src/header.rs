//! The 48 bytes every NTP packet begins with (RFC 5905, section 7.3).

use std::time::Duration;

use tsq_proto::{Leap, NtpTimestamp};

/// A server's header, every field as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether a leap second is coming, or the clock is not synchronised.
    pub leap: Leap,
    /// The protocol's version.
    pub version: u8,
    /// 3 client, 4 server.
    pub mode: u8,
    /// 0 a kiss of death, 1 a reference clock, up to 15; 16 not synchronised.
    pub stratum: u8,
    /// Base-2 logarithm of the clock's precision in seconds.
    pub precision: i8,
    /// Delay to the reference clock and back, in units of 2^-16 s.
    pub root_delay: Short,
    /// Greatest error on top of half of that, in units of 2^-16 s.
    pub root_dispersion: Short,
    /// What the server follows, or the code of a kiss of death.
    pub reference_id: [u8; 4],
    /// When the server's clock was last set.
    pub reference: NtpTimestamp,
    /// The request's transmit timestamp.
    pub origin: NtpTimestamp,
    /// T2.
    pub receive: NtpTimestamp,
    /// T3.
    pub transmit: NtpTimestamp,
}

/// A duration of at most 18 hours in units of 2^-16 s, about 15 us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short(pub u32);

impl Header {
    /// Bytes of a header.
    pub const LEN: usize = 48;

    /// Reads the first 48 bytes; None if there are fewer.
    #[must_use]
    pub fn decode(packet: &[u8]) -> Option<Self> {
        let bytes = packet.first_chunk::<{ Self::LEN }>()?;
        let long = |at: usize| NtpTimestamp::from_be_bytes(array(bytes, at));
        Some(Self {
            leap: Leap::from_u8(bytes[0] >> 6).unwrap_or(Leap::Unknown),
            version: bytes[0] >> 3 & 7,
            mode: bytes[0] & 7,
            stratum: bytes[1],
            precision: bytes[3].cast_signed(),
            root_delay: Short(u32::from_be_bytes(array(bytes, 4))),
            root_dispersion: Short(u32::from_be_bytes(array(bytes, 8))),
            reference_id: array(bytes, 12),
            reference: long(16),
            origin: long(24),
            receive: long(32),
            transmit: long(40),
        })
    }

    /// A client's request that tells nothing but its transmit timestamp.
    #[must_use]
    pub fn request(transmit: NtpTimestamp) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0] = VERSION << 3 | MODE_CLIENT;
        bytes[40..].copy_from_slice(&transmit.to_be_bytes());
        bytes
    }

    /// The precision as a duration: at least 1 ns, at most 1 s.
    #[must_use]
    pub fn precision(&self) -> Duration {
        let exponent = i32::from(self.precision).clamp(-30, 0);
        Duration::from_secs_f64(2_f64.powi(exponent)).max(Duration::from_nanos(1))
    }
}

impl Short {
    /// Rounded up to the nanosecond.
    #[must_use]
    pub fn to_duration(self) -> Duration {
        Duration::from_nanos((u64::from(self.0) * 1_000_000_000).div_ceil(1 << 16))
    }
}

/// What we speak.
pub const VERSION: u8 = 4;

/// A server's answer to a client.
pub const MODE_SERVER: u8 = 4;

const MODE_CLIENT: u8 = 3;

fn array<const N: usize>(bytes: &[u8; Header::LEN], at: usize) -> [u8; N] {
    let mut taken = [0; N];
    taken.copy_from_slice(&bytes[at..at + N]);
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_tells_version_mode_and_nonce_only() {
        let request = Header::request(NtpTimestamp::from_bits(0x0102_0304_0506_0708));
        assert_eq!(request[0], 0x23);
        assert!(request[1..40].iter().all(|byte| *byte == 0));
        assert_eq!(request[40..], [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn every_field_is_where_the_rfc_has_it() {
        let mut packet: Vec<u8> = (0..48).collect();
        packet[0] = 0b01_100_100;
        packet.extend([9; 20]);
        let header = Header::decode(&packet).unwrap();
        assert_eq!(
            (header.leap, header.version, header.mode, header.stratum),
            (Leap::Insert, 4, 4, 1)
        );
        assert_eq!(
            (header.precision, header.root_delay),
            (3, Short(0x0405_0607))
        );
        assert_eq!(header.root_dispersion, Short(0x0809_0a0b));
        assert_eq!(header.reference_id, [12, 13, 14, 15]);
        assert_eq!(header.reference.to_be_bytes()[0], 16);
        assert_eq!(header.origin.to_be_bytes()[0], 24);
        assert_eq!(header.receive.to_be_bytes()[0], 32);
        assert_eq!(header.transmit.to_be_bytes()[7], 47);
        assert_eq!(Header::decode(&packet[..47]), None);
    }

    #[test]
    fn short_durations_are_rounded_up_and_do_not_overflow() {
        assert_eq!(Short(0).to_duration(), Duration::ZERO);
        assert_eq!(Short(1).to_duration(), Duration::from_nanos(15_259));
        assert_eq!(Short(1 << 16).to_duration(), Duration::from_secs(1));
        assert_eq!(Short(u32::MAX).to_duration().as_secs(), 65_535);
    }

    #[test]
    fn precision_of_any_server_is_a_sane_duration() {
        let with = |precision| {
            let mut packet = [0; 48];
            packet[3] = precision;
            Header::decode(&packet).unwrap().precision()
        };
        assert_eq!(with(0), Duration::from_secs(1));
        assert_eq!(with(127), Duration::from_secs(1));
        assert_eq!(with(0x80), Duration::from_nanos(1));
        // -20, a microsecond.
        assert_eq!(with(0xec), Duration::from_nanos(954));
    }
}
