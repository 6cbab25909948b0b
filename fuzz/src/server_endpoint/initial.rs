use rustls::Side;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::quic::Version;

/// A client's Initial packet (RFC 9000, section 17.2.2), encrypted with the keys that anyone can derive.
pub(crate) fn packet(connection: u8, number: u8, frames: &[u8]) -> Vec<u8> {
    let id = [connection; 8];
    let suite = TLS13_AES_128_GCM_SHA256
        .tls13()
        .and_then(rustls::Tls13CipherSuite::quic_suite)
        .expect("QUIC has this suite");
    let keys = suite.keys(&id, Side::Client, Version::V1);
    let mut header = vec![0xc0 | (NUMBER_LEN - 1) as u8, 0, 0, 0, 1, id.len() as u8];
    header.extend_from_slice(&id);
    header.extend_from_slice(&[4, connection, 1, 2, 3]); // the client's own id
    header.push(0); // no token
    let number_at = header.len() + 2;
    let payload_len = frames
        .len()
        .min(MAX_FRAMES)
        .max(FILLED - number_at - NUMBER_LEN - TAG_LEN);
    let length = (NUMBER_LEN + payload_len + TAG_LEN) as u16 | 0x4000;
    header.extend_from_slice(&length.to_be_bytes());
    header.extend_from_slice(&u32::from(number).to_be_bytes());
    let mut payload = frames[..frames.len().min(MAX_FRAMES)].to_vec();
    payload.resize(payload_len, 0); // PADDING frames
    let tag = keys
        .local
        .packet
        .encrypt_in_place(number.into(), &header, &mut payload)
        .expect("this many packets may be encrypted");
    let mut packet = [&header, &payload, tag.as_ref()].concat();
    protect(&mut packet, number_at, &*keys.local.header);
    packet
}

/// Header protection: RFC 9001, section 5.4.
fn protect(packet: &mut [u8], number_at: usize, key: &dyn rustls::quic::HeaderProtectionKey) {
    let (head, sampled) = packet.split_at_mut(number_at + 4);
    let (first, rest) = head.split_first_mut().expect("a header is not empty");
    let number = &mut rest[number_at - 1..][..NUMBER_LEN];
    key.encrypt_in_place(&sampled[..key.sample_len()], first, number)
        .expect("the sample has the length it must have");
}

const NUMBER_LEN: usize = 4;
const TAG_LEN: usize = 16;
const FILLED: usize = 1200;
const MAX_FRAMES: usize = 1400;
