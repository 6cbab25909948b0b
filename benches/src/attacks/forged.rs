//! Packets that an attacker can make without any key.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// An NTP answer to `request` that is off by `lie`. With the origin timestamp of the request only who has seen that
/// can make it; without, anyone.
pub(super) fn ntp_answer(request: &[u8], lie: Duration, knows_request: bool) -> Option<Vec<u8>> {
    let transmit = request.get(NTP_TRANSMIT..NTP_LENGTH)?;
    let mut answer = vec![0; NTP_LENGTH];
    // No leap warning, version 4, server; stratum 2, precision 2^-20 s.
    answer[..4].copy_from_slice(&[0x24, 2, request[2], 0xec]);
    // Root delay and dispersion of 2^-10 s; a reference that could be anyone's.
    answer[4..16].copy_from_slice(&[0, 0, 0, 64, 0, 0, 0, 64, 192, 0, 2, 1]);
    let time = ntp_time(lie)?;
    for field in [16, 32, NTP_TRANSMIT] {
        answer[field..field + 8].copy_from_slice(&time);
    }
    let origin = match knows_request {
        true => transmit.to_vec(),
        false => vec![0x5a; 8],
    };
    answer[24..32].copy_from_slice(&origin);
    Some(answer)
}

/// An NTP server's word that it wants to hear no more of this client: "DENY"; to who asks by NTS that it has lost the
/// keys, "NTSN" (RFC 8915, section 5.7), with the request's own identifier.
pub(super) fn ntp_refusal(request: &[u8]) -> Option<Vec<u8>> {
    let mut answer = ntp_answer(request, Duration::ZERO, true)?;
    // Clock not synchronised, stratum 0: what follows is a code.
    answer[..2].copy_from_slice(&[0xe4, 0]);
    let identifier = nts_identifier(request);
    let code = if identifier.is_some() {
        b"NTSN"
    } else {
        b"DENY"
    };
    answer[12..16].copy_from_slice(code);
    answer.extend(identifier.unwrap_or_default());
    Some(answer)
}

fn nts_identifier(request: &[u8]) -> Option<&[u8]> {
    let field = request.get(NTP_LENGTH..)?;
    let length = usize::from(u16::from_be_bytes(field.get(2..4)?.try_into().ok()?));
    field
        .starts_with(&[0x01, 0x04])
        .then(|| field.get(..length))?
}

/// Seconds since 1900 and their fraction, of now and `lie` later.
fn ntp_time(lie: Duration) -> Option<[u8; 8]> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()? + lie;
    let seconds = (now.as_secs() + 2_208_988_800) & 0xffff_ffff;
    let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
    Some((seconds << 32 | fraction).to_be_bytes())
}

const NTP_LENGTH: usize = 48;
const NTP_TRANSMIT: usize = 40;

/// The connection IDs in a client's first packet.
pub(super) struct Ids<'p> {
    destination: &'p [u8],
    source: &'p [u8],
}

impl<'p> Ids<'p> {
    /// None unless it is an Initial packet of QUIC version 1.
    pub(super) fn of(packet: &'p [u8]) -> Option<Self> {
        let rest = match packet {
            [first, 0, 0, 0, 1, rest @ ..] if first & 0xf0 == 0xc0 => rest,
            _ => return None,
        };
        let (destination, rest) = id(rest)?;
        let (source, _) = id(rest)?;
        Some(Self {
            destination,
            source,
        })
    }

    /// A Version Negotiation packet (RFC 9000, section 17.2.1) of a server that speaks only what nobody does.
    pub(super) fn other_versions(&self) -> Vec<u8> {
        let mut packet = vec![0x80, 0, 0, 0, 0];
        self.answer_ids(self.destination, &mut packet);
        packet.extend([0x1a, 0x2a, 0x3a, 0x4a]);
        packet
    }

    /// A Retry packet (section 17.2.5), whose seal is made with a key that the specification prints.
    pub(super) fn retry(&self) -> Vec<u8> {
        let mut packet = vec![0xf0, 0, 0, 0, 1];
        self.answer_ids(&[0x5a; 8], &mut packet);
        packet.extend(b"a token that no server gave out");
        let seal = retry_seal(self.destination, &packet);
        packet.extend(seal);
        packet
    }

    /// A packet of the connection that cannot be read, and ends as a stateless reset would (section 10.3).
    pub(super) fn unreadable(&self) -> Vec<u8> {
        let mut packet = vec![0x43];
        packet.extend(self.source);
        packet.extend([0xa5; 40]);
        packet
    }

    /// To the client, from a server with this ID.
    fn answer_ids(&self, from: &[u8], packet: &mut Vec<u8>) {
        for id in [self.source, from] {
            packet.push(length_of(id));
            packet.extend(id);
        }
    }
}

/// RFC 9001, section 5.8: over the client's first destination ID and the packet, with an empty message.
fn retry_seal(original: &[u8], packet: &[u8]) -> Vec<u8> {
    let mut sealed = vec![length_of(original)];
    sealed.extend(original);
    sealed.extend(packet);
    let key = UnboundKey::new(&AES_128_GCM, &RETRY_KEY).expect("16 bytes are a key");
    let nonce = Nonce::assume_unique_for_key(RETRY_NONCE);
    LessSafeKey::new(key)
        .seal_in_place_separate_tag(nonce, Aad::from(&sealed), &mut [])
        .expect("nothing is not too long")
        .as_ref()
        .into()
}

fn id(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

fn length_of(id: &[u8]) -> u8 {
    u8::try_from(id.len()).expect("its length was a byte of the packet")
}

const RETRY_KEY: [u8; 16] = [
    0xbe, 0x0c, 0x69, 0x0b, 0x9f, 0x66, 0x57, 0x5a, 0x1d, 0x76, 0x6b, 0x54, 0xe3, 0x68, 0xc8, 0x4e,
];
const RETRY_NONCE: [u8; 12] = [
    0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9001, appendix A.4: the Retry to the client hello of the same appendix, but for its token.
    #[test]
    fn seal_of_a_retry_is_as_in_the_specification() {
        let original = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
        let packet = [
            &[
                0xff, 0, 0, 0, 1, 0, 8, 0xf0, 0x67, 0xa5, 0x50, 0x2a, 0x42, 0x62, 0xb5,
            ][..],
            b"token",
        ]
        .concat();
        let expected = [
            0x04, 0xa2, 0x65, 0xba, 0x2e, 0xff, 0x4d, 0x82, 0x90, 0x58, 0xfb, 0x3f, 0x0f, 0x24,
            0x96, 0xba,
        ];
        assert_eq!(retry_seal(&original, &packet), expected);
    }

    #[test]
    fn connection_ids_are_read_from_a_first_packet_only() {
        let packet = [0xc3, 0, 0, 0, 1, 2, 7, 8, 1, 9, 0, 0];
        let ids = Ids::of(&packet).unwrap();
        assert_eq!((ids.destination, ids.source), (&[7, 8][..], &[9][..]));
        assert_eq!(
            ids.other_versions(),
            [0x80, 0, 0, 0, 0, 1, 9, 2, 7, 8, 0x1a, 0x2a, 0x3a, 0x4a]
        );
        assert!(
            Ids::of(&[0xe3, 0, 0, 0, 1, 0, 0]).is_none(),
            "a handshake packet"
        );
        assert!(Ids::of(&packet[..6]).is_none());
    }

    #[test]
    fn forged_answer_has_the_origin_only_of_a_request_that_was_seen() {
        let mut request = vec![0x23; 48];
        request[40..].copy_from_slice(b"transmit");
        let seen = ntp_answer(&request, Duration::from_secs(10), true).unwrap();
        assert_eq!(&seen[24..32], b"transmit");
        let blind = ntp_answer(&request, Duration::from_secs(10), false).unwrap();
        assert_ne!(&blind[24..32], b"transmit");
        assert!(ntp_answer(&request[..47], Duration::ZERO, true).is_none());
    }

    #[test]
    fn refusal_is_in_the_words_of_the_protocol_that_was_spoken() {
        let plain = vec![0x23; 48];
        assert_eq!(&ntp_refusal(&plain).unwrap()[12..16], b"DENY");
        let identifier = [0x01, 0x04, 0, 8, 1, 2, 3, 4];
        let nts = [&plain[..], &identifier, &[0x02, 0x04, 0, 4]].concat();
        let refusal = ntp_refusal(&nts).unwrap();
        assert_eq!(&refusal[12..16], b"NTSN");
        assert_eq!(refusal[48..], identifier);
    }
}
