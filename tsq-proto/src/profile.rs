//! Our profile of the Metadata element: the keys that tell what NTP tells and TSQ has no element for.
//!
//! | key | value |
//! |---|---|
//! | `era` | NTP era of T2 and T3 |
//! | `follow_up` | when an earlier answer left, see [`FollowUp`] |
//! | `leap` | 0 no warning, 1 a second will be inserted, 2 one will be deleted, 3 not known |
//! | `refid` | what the server follows, as chrony prints it: 8 hexadecimal digits, or a name |
//! | `root_delay_ns` | delay to the reference clock and back, in nanoseconds |
//! | `root_dispersion_ns` | greatest error on top of half of that, in nanoseconds |
//! | `server` | the program, as name/version |
//! | `smear` | `none`, `unknown`, or how leap seconds are smeared |
//! | `tai` | TAI minus UTC, in seconds |
//!
//! Numbers are decimal, without a plus sign or leading zeros; texts are printable ASCII, so that they can go to a
//! terminal. Every key may be missing. Other keys, such as `site` and `region`, are the operator's annotations.

use core::fmt::{Display, Write as _};
use core::iter::successors;
use core::str::FromStr;
use core::time::Duration;

use crate::error::EncodeError;
use crate::follow_up::FollowUp;
use crate::text::FixedText;
use crate::tlv::Metadata;

/// What a server tells in metadata about its clock. What it does not tell is None.
///
/// ```
/// use core::time::Duration;
/// use tsq_proto::Profile;
///
/// let told = Profile { root_delay: Some(Duration::from_millis(1)), smear: Some("none"), ..Profile::default() };
/// let mut storage = [0; 200];
/// let metadata = told.to_metadata(&[("site", "us-east")], &mut storage)?;
/// assert_eq!(metadata.get("root_delay_ns"), Some("1000000"));
/// assert_eq!(Profile::from_metadata(&metadata), told);
/// # Ok::<(), tsq_proto::EncodeError>(())
/// ```
// tsq: M10 T11
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Profile<'a> {
    /// Whether a leap second is coming.
    pub leap: Option<Leap>,
    /// TAI minus UTC, in seconds.
    pub tai_offset: Option<i16>,
    /// How leap seconds are smeared: `none`, `unknown` or a name such as `google-24h`.
    pub smear: Option<&'a str>,
    /// Delay to the reference clock and back (RFC 5905, section 7.3), to the nanosecond, at most 584 years.
    pub root_delay: Option<Duration>,
    /// Greatest error on top of half the root delay (RFC 5905, section 7.3), to the nanosecond, at most 584 years.
    pub root_dispersion: Option<Duration>,
    /// What the server follows, as chrony prints it: 8 hexadecimal digits, or a name.
    pub reference_id: Option<&'a str>,
    /// NTP era of T2 and T3, see [`HostTime::ntp_era`](crate::HostTime::ntp_era).
    pub era: Option<u8>,
    /// The server program, as name/version.
    pub server: Option<&'a str>,
}

impl<'a> Profile<'a> {
    /// The keys of the profile, sorted. Annotations must use others.
    pub const KEYS: [&'static str; 9] = [
        ERA,
        FollowUp::KEY,
        LEAP,
        REFERENCE_ID,
        ROOT_DELAY,
        ROOT_DISPERSION,
        SERVER,
        SMEAR,
        TAI,
    ];

    /// Reads what `metadata` tells; the first pair of a key counts. A value that is not what the profile says is as
    /// good as missing.
    #[must_use]
    pub fn from_metadata(metadata: &Metadata<'a>) -> Self {
        // So that an answer without metadata costs nothing here.
        if metadata.is_empty() {
            return Self::default();
        }
        let mut values = [None; Self::KEYS.len()];
        for (key, value) in metadata.pairs() {
            if let Ok(index) = Self::KEYS.binary_search(&key) {
                values[index].get_or_insert(value);
            }
        }
        let [
            era,
            _,
            leap,
            reference_id,
            root_delay,
            root_dispersion,
            server,
            smear,
            tai,
        ] = values;
        Self {
            leap: leap.and_then(number).and_then(Leap::from_u8),
            tai_offset: tai.and_then(number),
            smear: smear.filter(is_plain),
            root_delay: root_delay.and_then(number).map(Duration::from_nanos),
            root_dispersion: root_dispersion.and_then(number).map(Duration::from_nanos),
            reference_id: reference_id.filter(is_plain),
            era: era.and_then(number),
            server: server.filter(is_plain),
        }
    }

    /// Writes what is told, and the operator's `annotations` in any order, sorted by key into `storage`. Annotations
    /// of one key stay in the order given. Durations past the range saturate.
    ///
    /// Quadratic in the number of pairs, as nothing is allocated: for once per change, not once per answer.
    ///
    /// # Errors
    ///
    /// [`EncodeError::ProfileKey`], [`EncodeError::ProfileText`]; [`EncodeError::ValueTooLong`] when one pair has
    /// more than 253 bytes of text; [`EncodeError::NoRoom`] when `storage` is too small.
    pub fn to_metadata<'s>(
        &self,
        annotations: &[(&str, &str)],
        storage: &'s mut [u8],
    ) -> Result<Metadata<'s>, EncodeError> {
        for (annotation, _) in annotations {
            if let Ok(index) = Self::KEYS.binary_search(annotation) {
                let key = Self::KEYS[index];
                return Err(EncodeError::ProfileKey { key });
            }
        }
        let era = self.era.map(decimal);
        let leap = self.leap.map(|leap| decimal(leap.as_u8()));
        let root_delay = self.root_delay.map(|delay| decimal(nanos(delay)));
        let root_dispersion = self.root_dispersion.map(|error| decimal(nanos(error)));
        let tai = self.tai_offset.map(decimal);
        let own: [(&'static str, Option<&str>); 8] = [
            (ERA, era.as_ref().map(FixedText::as_str)),
            (LEAP, leap.as_ref().map(FixedText::as_str)),
            (REFERENCE_ID, self.reference_id),
            (ROOT_DELAY, root_delay.as_ref().map(FixedText::as_str)),
            (
                ROOT_DISPERSION,
                root_dispersion.as_ref().map(FixedText::as_str),
            ),
            (SERVER, self.server),
            (SMEAR, self.smear),
            (TAI, tai.as_ref().map(FixedText::as_str)),
        ];
        let bad = own
            .iter()
            .find(|(_, text)| text.is_some_and(|text| !is_plain(&text)));
        if let Some(&(key, _)) = bad {
            return Err(EncodeError::ProfileText { key });
        }
        let told = own.iter().filter_map(|&(key, value)| Some((key, value?)));
        Metadata::from_sorted(sorted(told.chain(annotations.iter().copied())), storage)
    }
}

/// The leap indicator (RFC 5905, section 7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leap {
    /// 0: no leap second is coming.
    NoWarning,
    /// 1: the last minute of the month has 61 seconds.
    Insert,
    /// 2: the last minute of the month has 59 seconds.
    Delete,
    /// 3: not known, for the clock is not synchronised.
    Unknown,
}

impl Leap {
    /// From its number.
    #[must_use]
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::NoWarning),
            1 => Some(Self::Insert),
            2 => Some(Self::Delete),
            3 => Some(Self::Unknown),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        match self {
            Self::NoWarning => 0,
            Self::Insert => 1,
            Self::Delete => 2,
            Self::Unknown => 3,
        }
    }
}

const ERA: &str = "era";
const LEAP: &str = "leap";
const REFERENCE_ID: &str = "refid";
const ROOT_DELAY: &str = "root_delay_ns";
const ROOT_DISPERSION: &str = "root_dispersion_ns";
const SERVER: &str = "server";
const SMEAR: &str = "smear";
const TAI: &str = "tai";

/// Whether a text can be a value: some printable ASCII.
fn is_plain(text: &&str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// A number, if it is written the one way the profile allows.
fn number<T: FromStr + Display>(text: &str) -> Option<T> {
    let number: T = text.parse().ok()?;
    (decimal(&number).as_str() == text).then_some(number)
}

/// A number of at most 64 bits in decimal.
fn decimal(number: impl Display) -> FixedText<20> {
    let mut text = FixedText::new();
    write!(text, "{number}").expect("a fixed text takes what fits, and this fits");
    text
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// `pairs` by the bytes of their keys, those of one key in the order given.
fn sorted<'p>(
    pairs: impl Iterator<Item = (&'p str, &'p str)> + Clone,
) -> impl Iterator<Item = (&'p str, &'p str)> + Clone {
    let numbered = pairs
        .enumerate()
        .map(|(index, (key, value))| (key, index, value));
    successors(numbered.clone().min(), move |last| {
        numbered.clone().filter(|pair| pair > last).min()
    })
    .map(|(key, _, value)| (key, value))
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    const FULL: Profile<'_> = Profile {
        leap: Some(Leap::Insert),
        tai_offset: Some(37),
        smear: Some("none"),
        root_delay: Some(Duration::from_nanos(1_500_000)),
        root_dispersion: Some(Duration::from_nanos(600_000)),
        reference_id: Some("C0000201"),
        era: Some(0),
        server: Some("tsqd/0.1.0"),
    };

    fn read(pairs: &[(&str, &str)]) -> Profile<'static> {
        let storage = std::vec![0; 600].leak();
        Profile::from_metadata(&Metadata::new(pairs, storage).unwrap())
    }

    // tsq: M10 T11
    #[test]
    fn everything_told_is_written_in_the_order_of_the_keys() {
        let mut storage = [0; 300];
        let annotations = [("site", "us-east"), ("Rack", "7"), ("region", "us")];
        let metadata = FULL.to_metadata(&annotations, &mut storage).unwrap();
        let expected = [
            ("Rack", "7"),
            ("era", "0"),
            ("leap", "1"),
            ("refid", "C0000201"),
            ("region", "us"),
            ("root_delay_ns", "1500000"),
            ("root_dispersion_ns", "600000"),
            ("server", "tsqd/0.1.0"),
            ("site", "us-east"),
            ("smear", "none"),
            ("tai", "37"),
        ];
        assert_eq!(metadata.pairs().collect::<Vec<_>>(), expected);
        assert_eq!(Profile::from_metadata(&metadata), FULL);
    }

    // tsq: M10
    #[test]
    fn what_is_not_told_is_not_written() {
        let mut storage = [0; 8];
        let metadata = Profile::default().to_metadata(&[], &mut storage).unwrap();
        assert!(metadata.is_empty());
        assert_eq!(Profile::from_metadata(&metadata), Profile::default());
    }

    // tsq: M10
    #[test]
    fn ends_of_every_range_come_back() {
        let longest = Some(Duration::from_nanos(u64::MAX));
        for (tai_offset, era, delay) in [
            (i16::MIN, 0, Some(Duration::ZERO)),
            (i16::MAX, u8::MAX, longest),
        ] {
            let told = Profile {
                tai_offset: Some(tai_offset),
                era: Some(era),
                root_delay: delay,
                ..Profile::default()
            };
            let mut storage = [0; 100];
            let metadata = told.to_metadata(&[], &mut storage).unwrap();
            assert_eq!(Profile::from_metadata(&metadata), told);
        }
        let past = Profile {
            root_dispersion: Some(Duration::MAX),
            ..Profile::default()
        };
        let mut storage = [0; 100];
        let metadata = past.to_metadata(&[], &mut storage).unwrap();
        assert_eq!(Profile::from_metadata(&metadata).root_dispersion, longest);
    }

    // tsq: M10
    #[test]
    fn number_written_any_other_way_is_as_good_as_missing() {
        for text in ["", " 1", "1 ", "+1", "01", "-0", "1.0", "0x1", "one", "1e0"] {
            let told = read(&[("era", text), ("leap", text), ("root_delay_ns", text)]);
            assert_eq!(told, Profile::default(), "{text:?}");
        }
    }

    // tsq: M10
    #[test]
    fn number_out_of_its_range_is_as_good_as_missing() {
        let told = read(&[
            ("era", "256"),
            ("leap", "4"),
            ("root_delay_ns", "18446744073709551616"),
            ("root_dispersion_ns", "-1"),
            ("tai", "32768"),
        ]);
        assert_eq!(told, Profile::default());
        let told = read(&[("era", "255"), ("leap", "3"), ("tai", "-32768")]);
        assert_eq!((told.era, told.leap), (Some(255), Some(Leap::Unknown)));
        assert_eq!(told.tai_offset, Some(i16::MIN));
    }

    // tsq: M10
    #[test]
    fn text_that_could_upset_a_terminal_is_as_good_as_missing() {
        for text in ["", "\x1b[2J", "tsqd\n", "caf\u{e9}", "\x7f"] {
            let told = read(&[("refid", text), ("server", text), ("smear", text)]);
            assert_eq!(told, Profile::default(), "{text:?}");
        }
    }

    // tsq: M10
    #[test]
    fn first_pair_of_a_key_counts() {
        assert_eq!(read(&[("tai", "37"), ("tai", "38")]).tai_offset, Some(37));
        assert_eq!(read(&[("tai", "x"), ("tai", "38")]).tai_offset, None);
    }

    // tsq: M10
    #[test]
    fn unknown_keys_are_ignored() {
        let told = read(&[("Leap", "1"), ("lea", "1"), ("leap", "0"), ("leap2", "1")]);
        assert_eq!(told.leap, Some(Leap::NoWarning));
    }

    // tsq: M10
    #[test]
    fn annotation_with_a_key_of_the_profile_is_refused() {
        for key in Profile::KEYS {
            let refused = FULL
                .to_metadata(&[("site", "a"), (key, "1")], &mut [0; 300])
                .unwrap_err();
            assert_eq!(refused, EncodeError::ProfileKey { key });
        }
    }

    // tsq: M10
    #[test]
    fn text_the_reader_would_not_take_is_not_written() {
        for text in ["", "caf\u{e9}"] {
            let told = Profile {
                server: Some(text),
                ..Profile::default()
            };
            let refused = told.to_metadata(&[], &mut [0; 300]).unwrap_err();
            assert_eq!(refused, EncodeError::ProfileText { key: "server" });
        }
    }

    // tsq: T11
    #[test]
    fn annotation_past_one_element_is_refused_by_its_length() {
        let text: String = "v".repeat(250);
        let write = |value: &str| {
            let mut storage = [0; 600];
            let metadata = FULL.to_metadata(&[("site", value)], &mut storage);
            metadata.map(|metadata| metadata.encoded_len())
        };
        assert!(write(&text[..249]).is_ok());
        let refused = EncodeError::ValueTooLong {
            kind: 253,
            len: 256,
        };
        assert_eq!(write(&text), Err(refused));
    }

    // tsq: T11
    #[test]
    fn annotations_of_one_key_stay_in_the_order_given() {
        let mut storage = [0; 100];
        let annotations = [("b", "2"), ("a", "9"), ("b", "1"), ("b", "2")];
        let metadata = Profile::default()
            .to_metadata(&annotations, &mut storage)
            .unwrap();
        assert_eq!(
            metadata.pairs().collect::<Vec<_>>(),
            [("a", "9"), ("b", "2"), ("b", "1"), ("b", "2")]
        );
    }

    #[test]
    fn storage_one_byte_short_is_no_room() {
        let one = Profile {
            leap: Some(Leap::Delete),
            ..Profile::default()
        };
        let needed = 2 + 1 + 4 + 1 + 1;
        assert!(one.to_metadata(&[], &mut [0; 9]).is_ok());
        assert_eq!(
            one.to_metadata(&[], &mut [0; 8]),
            Err(EncodeError::NoRoom { needed, have: 8 })
        );
    }

    #[test]
    fn keys_are_sorted_for_the_search() {
        assert!(Profile::KEYS.is_sorted());
    }

    #[test]
    fn leap_keeps_its_numbers() {
        for number in 0..=255 {
            let leap = Leap::from_u8(number).map(Leap::as_u8);
            assert_eq!(leap, (number < 4).then_some(number));
        }
    }
}
