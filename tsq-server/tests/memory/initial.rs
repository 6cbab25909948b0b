//! Initial packets of nobody in particular, with any frames (RFC 9000, section 17.2.2).

use rustls::Side;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::quic::{Keys, Version};

/// Who sends them, to a connection of which only this is known.
pub(crate) struct Stranger {
    id: [u8; 8],
    keys: Keys,
    number: u32,
}

impl Stranger {
    pub(crate) fn new(number: u64) -> Self {
        let id = number.to_be_bytes();
        let suite = TLS13_AES_128_GCM_SHA256
            .tls13()
            .and_then(rustls::Tls13CipherSuite::quic_suite);
        let keys = suite.unwrap().keys(&id, Side::Client, Version::V1);
        Self {
            id,
            keys,
            number: 0,
        }
    }

    /// The next packet with these frames, filled with PADDING up to `len` bytes.
    pub(crate) fn packet(&mut self, frames: &[u8], len: usize) -> Vec<u8> {
        let mut header = vec![0xc0 | (NUMBER_LEN - 1) as u8, 0, 0, 0, 1, 8];
        header.extend_from_slice(&self.id);
        // Its own id, and no token.
        header.extend_from_slice(&[4, 1, 2, 3, 4, 0]);
        let number_at = header.len() + 2;
        let least = len.saturating_sub(number_at + NUMBER_LEN + TAG_LEN);
        let mut payload = frames.to_vec();
        payload.resize(frames.len().max(least).max(4), 0);
        let length = (NUMBER_LEN + payload.len() + TAG_LEN) as u16 | 0x4000;
        header.extend_from_slice(&length.to_be_bytes());
        header.extend_from_slice(&self.number.to_be_bytes());
        let number = self.number.into();
        let local = &self.keys.local;
        let tag = local.packet.encrypt_in_place(number, &header, &mut payload);
        self.number += 1;
        let mut packet = [&header, &payload, tag.unwrap().as_ref()].concat();
        let (head, sampled) = packet.split_at_mut(number_at + 4);
        let (first, rest) = head.split_first_mut().unwrap();
        let sample = &sampled[..local.header.sample_len()];
        let number = &mut rest[number_at - 1..][..NUMBER_LEN];
        local
            .header
            .encrypt_in_place(sample, first, number)
            .unwrap();
        packet
    }
}

const NUMBER_LEN: usize = 4;
const TAG_LEN: usize = 16;
