//! Roughtime requests as the drafts have them, whose answers name the nonce (the classic ones do not).

use super::plain::Protocol;

/// Version draft 14, whose answers are not verified here: that costs the generator, not the server.
pub(crate) struct Roughtime;

impl Protocol for Roughtime {
    fn request(&self, token: u64, packet: &mut Vec<u8>) {
        let mut nonce = [0; NONCE];
        nonce[..8].copy_from_slice(&token.to_be_bytes());
        let fields: [(&[u8; 4], &[u8]); 4] = [
            (b"VER\0", &VERSION),
            (b"NONC", &nonce),
            (b"TYPE", &[0; 4]),
            (b"ZZZZ", &[0; PADDING]),
        ];
        packet.clear();
        packet.extend(MAGIC);
        packet.extend(u32::try_from(REQUEST - FRAME).unwrap_or(0).to_le_bytes());
        packet.extend(4_u32.to_le_bytes());
        let mut offset = 0;
        for (_, value) in &fields[..3] {
            offset += u32::try_from(value.len()).unwrap_or(0);
            packet.extend(offset.to_le_bytes());
        }
        for (tag, _) in fields {
            packet.extend(tag);
        }
        for (_, value) in fields {
            packet.extend(value);
        }
    }

    fn check(&self, answer: &[u8]) -> Option<u64> {
        let message = answer.strip_prefix(MAGIC)?.get(4..)?;
        let number = |at: usize| {
            let bytes = message.get(at..at + 4)?.first_chunk::<4>()?;
            usize::try_from(u32::from_le_bytes(*bytes)).ok()
        };
        let count = number(0)?;
        let values = message.get(8_usize.checked_mul(count)?..)?;
        let tag = |index: usize| message.get(4 * count + 4 * index..)?.first_chunk::<4>();
        let index = (0..count.min(MOST_TAGS)).find(|index| tag(*index) == Some(b"NONC"))?;
        let start = if index == 0 { 0 } else { number(4 * index)? };
        let nonce = values.get(start..)?.first_chunk::<8>()?;
        Some(u64::from_be_bytes(*nonce))
    }
}

const MAGIC: &[u8; 8] = b"ROUGHTIM";
const VERSION: [u8; 4] = [0x0c, 0, 0, 0x80];
const NONCE: usize = 32;
/// Bytes of the least request there may be, and of the frame around its message.
const REQUEST: usize = 1024;
const FRAME: usize = 12;
/// Number of tags, three offsets, four tags.
const HEADER: usize = 4 + 3 * 4 + 4 * 4;
const PADDING: usize = REQUEST - FRAME - HEADER - 4 - NONCE - 4;
const MOST_TAGS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_has_the_least_length_and_its_nonce() {
        let mut packet = Vec::new();
        Roughtime.request(77, &mut packet);
        assert_eq!(packet.len(), REQUEST);
        // An answer has the nonce where its tags say, as a request has.
        assert_eq!(Roughtime.check(&packet), Some(77));
    }

    #[test]
    fn answer_that_ends_early_is_wrong() {
        let mut packet = Vec::new();
        Roughtime.request(77, &mut packet);
        for length in 0..48 {
            assert_eq!(Roughtime.check(&packet[..length]), None, "{length}");
        }
        packet[12..16].fill(0xff);
        assert_eq!(Roughtime.check(&packet), None);
    }
}
