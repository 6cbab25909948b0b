//! The follow-up of our profile: when an earlier answer really left.
//!
//! T3 is read before an answer is signed, encrypted and handed to the kernel; the kernel tells the instant of
//! departure when the answer is gone. So it travels in a later answer on the same connection, in Metadata, under the
//! key `follow_up`: the nonce of the answer it is about in 32 hexadecimal digits, a blank, and the departure in 16, the
//! bits of an NTP timestamp. A request asks for it by the same key, with an empty value, beside its Metadata Query.

use core::fmt::Write as _;

use crate::error::EncodeError;
use crate::text::FixedText;
use crate::time::NtpTimestamp;
use crate::tlv::{Metadata, Nonce};

/// When the answer with this nonce left the server, by the server's clock.
///
/// ```
/// use tsq_proto::{FollowUp, HostTime, Nonce};
///
/// let departure = HostTime::from_unix(1_795_000_000, 42).to_ntp();
/// let told = [FollowUp { nonce: Nonce::new([7; 16]), departure }];
/// let mut storage = [0; FollowUp::MAX_LEN];
/// let metadata = FollowUp::to_metadata(&told, &mut storage)?;
/// assert!(FollowUp::all(&metadata).eq(told));
/// # Ok::<(), tsq_proto::EncodeError>(())
/// ```
// tsq: M10 T11
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowUp {
    /// Of the answer, and of the request it answered.
    pub nonce: Nonce,
    /// When its packet left.
    pub departure: NtpTimestamp,
}

impl FollowUp {
    /// The key, in requests and in answers.
    pub const KEY: &'static str = "follow_up";

    /// Follow-ups one answer tells at most: as many as one element holds.
    pub const MAX_TOLD: usize = 4;

    /// Length of [`MAX_TOLD`](Self::MAX_TOLD) follow-ups as Metadata, header included, in bytes.
    pub const MAX_LEN: usize = 2 + Self::MAX_TOLD * (1 + Self::KEY.len() + 1 + TEXT_LEN);

    /// What a request carries to ask for them.
    pub(crate) const QUESTION: Metadata<'static> =
        Metadata::from_checked(b"\xfd\x0b\x09follow_up\x00");

    /// Lays `follow_ups` out in `storage`, as on the wire.
    ///
    /// # Errors
    ///
    /// [`EncodeError::NoRoom`] when `storage` is too small; [`MAX_LEN`](Self::MAX_LEN) is enough for
    /// [`MAX_TOLD`](Self::MAX_TOLD).
    pub fn to_metadata<'s>(
        follow_ups: &[Self],
        storage: &'s mut [u8],
    ) -> Result<Metadata<'s>, EncodeError> {
        let mut texts = [FixedText::<TEXT_LEN>::new(); Self::MAX_TOLD];
        let mut told = 0;
        for (text, follow_up) in texts.iter_mut().zip(follow_ups) {
            *text = follow_up.text();
            told += 1;
        }
        let pairs = texts[..told].iter().map(|text| (Self::KEY, text.as_str()));
        Metadata::from_sorted(pairs, storage)
    }

    /// The follow-ups in an answer's metadata. A value that is not written as it should be is as good as missing.
    ///
    /// Only those of an answer that has passed every check, its signature included, are to be believed.
    pub fn all<'a>(metadata: &Metadata<'a>) -> impl Iterator<Item = Self> + use<'a> {
        metadata
            .pairs()
            .filter(|(key, _)| *key == Self::KEY)
            .filter_map(|(_, value)| Self::parse(value))
    }

    fn text(&self) -> FixedText<TEXT_LEN> {
        let mut text = FixedText::new();
        let nonce = u128::from_be_bytes(*self.nonce.as_bytes());
        let departure = self.departure.to_bits();
        write!(text, "{nonce:032x} {departure:016x}")
            .expect("a fixed text takes what fits, and this fits");
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let (nonce, departure) = text.split_once(' ')?;
        let digits = |text: &str, count| {
            let lower = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            text.len() == count && text.bytes().all(lower)
        };
        if !digits(nonce, 32) || !digits(departure, 16) {
            return None;
        }
        let nonce = u128::from_str_radix(nonce, 16).ok()?;
        let departure = u64::from_str_radix(departure, 16).ok()?;
        Some(Self {
            nonce: Nonce::new(nonce.to_be_bytes()),
            departure: NtpTimestamp::from_bits(departure),
        })
    }
}

/// 32 digits, a blank, 16 digits.
const TEXT_LEN: usize = 32 + 1 + 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Request;

    fn follow_up(number: u8) -> FollowUp {
        FollowUp {
            nonce: Nonce::new([number; 16]),
            departure: NtpTimestamp::from_bits(u64::from(number) << 56 | 5),
        }
    }

    // tsq: M10 T11
    #[test]
    fn follow_up_is_written_as_the_profile_says() {
        let mut storage = [0; FollowUp::MAX_LEN];
        let metadata = FollowUp::to_metadata(&[follow_up(0xa1)], &mut storage).unwrap();
        let value = "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1 a100000000000005";
        assert!(metadata.pairs().eq([("follow_up", value)]));
        assert!(FollowUp::all(&metadata).eq([follow_up(0xa1)]));
    }

    // tsq: M9
    #[test]
    fn the_most_that_is_told_fits_one_element_and_no_more_is_told() {
        let all = [0, 1, 2, 3, 4].map(follow_up);
        let mut storage = [0; FollowUp::MAX_LEN];
        let metadata = FollowUp::to_metadata(&all, &mut storage).unwrap();
        assert_eq!(metadata.encoded_len(), FollowUp::MAX_LEN);
        assert!(FollowUp::all(&metadata).eq(all[..FollowUp::MAX_TOLD].iter().copied()));
        assert!(FollowUp::to_metadata(&all, &mut [0; FollowUp::MAX_LEN - 1]).is_err());
        let none = FollowUp::to_metadata(&[], &mut []).unwrap();
        assert!(none.is_empty() && none.encoded_len() == 0);
    }

    // tsq: M10
    #[test]
    fn follow_up_written_any_other_way_is_as_good_as_missing() {
        let right = "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1 a100000000000005";
        assert!(FollowUp::parse(right).is_some());
        for wrong in [
            "",
            " ",
            &right[1..],
            &right[..48],
            &right.to_uppercase(),
            &right.replace(' ', ":"),
            &right.replace(' ', "  "),
            &right.replace("a1a", "+1a"),
            &right.replace("005", "0\u{e9}"),
        ] {
            assert_eq!(FollowUp::parse(wrong), None, "{wrong:?}");
        }
    }

    // tsq: M9 M10 T5
    #[test]
    fn request_asks_for_follow_ups_with_a_metadata_query_only() {
        let nonce = Nonce::new([7; 16]);
        let mut buffer = [0; 64];
        let mut decoded = |request: Request<'_>| {
            let len = request.encode(&mut buffer).unwrap();
            Request::decode(&buffer[..len]).unwrap().asks_follow_up()
        };
        assert!(decoded(Request::new(nonce).with_follow_up()));
        assert!(!decoded(Request::new(nonce).with_metadata_query()));
        let unasked = Request::new(nonce).with_metadata(FollowUp::QUESTION);
        assert!(!decoded(unasked));
        for pairs in [
            &[(FollowUp::KEY, "x")][..],
            &[(FollowUp::KEY, "x"), (FollowUp::KEY, "")],
        ] {
            let mut storage = [0; 64];
            let told = Metadata::new(pairs, &mut storage).unwrap();
            let request = Request::new(nonce)
                .with_metadata_query()
                .with_metadata(told);
            assert!(!decoded(request), "{pairs:?}");
        }
    }
}
