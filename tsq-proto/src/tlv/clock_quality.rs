use super::{HEADER_LEN, Writer, fixed_part, kind, text};
use crate::error::{EncodeError, Malformed};

/// What the server says about its own clock. Advisory: it may weigh a source, it proves nothing.
// tsq: T6 M7
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClockQuality<'a> {
    /// What drives the clock.
    pub class: ClockClass,
    /// Estimated error in microseconds.
    pub error_us: u16,
    /// Drift in parts per billion.
    pub drift_ppb: u16,
    /// Free text.
    pub tag: &'a str,
}

impl<'a> ClockQuality<'a> {
    /// From an element's value; the reserved byte is ignored.
    ///
    /// # Errors
    ///
    /// [`Malformed::ElementLength`] under 6 bytes, [`Malformed::BadUtf8`].
    pub fn decode(value: &'a [u8]) -> Result<Self, Malformed> {
        let (&[class, _reserved, e1, e0, d1, d0], tag) =
            fixed_part::<FIXED_LEN>(kind::CLOCK_QUALITY, value)?;
        Ok(Self {
            class: ClockClass::from_u8(class),
            error_us: u16::from_be_bytes([e1, e0]),
            drift_ppb: u16::from_be_bytes([d1, d0]),
            tag: text(kind::CLOCK_QUALITY, tag)?,
        })
    }

    /// Writes the element.
    ///
    /// # Errors
    ///
    /// [`EncodeError::ValueTooLong`] when the tag is over 249 bytes, [`EncodeError::NoRoom`].
    pub fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        let head = [self.class.as_u8(), 0];
        let (error, drift) = (self.error_us.to_be_bytes(), self.drift_ppb.to_be_bytes());
        writer.element(
            kind::CLOCK_QUALITY,
            &[&head, &error, &drift, self.tag.as_bytes()],
        )
    }

    pub(crate) const fn encoded_len(&self) -> usize {
        HEADER_LEN + FIXED_LEN + self.tag.len()
    }
}

/// What drives a server's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClockClass {
    /// 0: not known.
    Unknown,
    /// 1: a satellite receiver.
    Gnss,
    /// 2: IEEE 1588.
    Ptp,
    /// 3: NTP.
    Ntp,
    /// 4: an oven-controlled oscillator of its own.
    LocalOcxo,
    /// 5: unstable, or running on without its reference.
    Holdover,
    /// A class this version does not know.
    Other(u8),
}

impl ClockClass {
    /// From the number on the wire.
    #[must_use]
    pub const fn from_u8(class: u8) -> Self {
        match class {
            0 => Self::Unknown,
            1 => Self::Gnss,
            2 => Self::Ptp,
            3 => Self::Ntp,
            4 => Self::LocalOcxo,
            5 => Self::Holdover,
            other => Self::Other(other),
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Gnss => 1,
            Self::Ptp => 2,
            Self::Ntp => 3,
            Self::LocalOcxo => 4,
            Self::Holdover => 5,
            Self::Other(class) => class,
        }
    }
}

const FIXED_LEN: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    // tsq: T6
    #[test]
    fn fields_stand_where_the_draft_puts_them() {
        let quality = ClockQuality {
            class: ClockClass::Gnss,
            error_us: 0x0102,
            drift_ppb: 0x0304,
            tag: "gps",
        };
        let mut buffer = [9; 11];
        quality.encode(&mut Writer::new(&mut buffer)).unwrap();
        assert_eq!(buffer, [248, 9, 1, 0, 1, 2, 3, 4, b'g', b'p', b's']);
        assert_eq!(ClockQuality::decode(&buffer[2..]), Ok(quality));
        assert_eq!(quality.encoded_len(), buffer.len());
    }

    // tsq: T6
    #[test]
    fn value_without_its_fixed_part_is_malformed() {
        let refused = Err(Malformed::ElementLength {
            kind: 248,
            len: 5,
            expected: 6,
        });
        assert_eq!(ClockQuality::decode(&[0; 5]), refused);
        assert!(ClockQuality::decode(&[0; 6]).is_ok());
    }

    // tsq: T6
    #[test]
    fn reserved_byte_is_ignored() {
        assert_eq!(
            ClockQuality::decode(&[1, 77, 0, 0, 0, 0]),
            ClockQuality::decode(&[1, 0, 0, 0, 0, 0])
        );
    }

    // tsq: T6
    #[test]
    fn tag_that_is_not_utf8_is_malformed() {
        assert_eq!(
            ClockQuality::decode(&[0, 0, 0, 0, 0, 0, 0xff]),
            Err(Malformed::BadUtf8 { kind: 248 })
        );
    }

    #[test]
    fn classes_keep_their_numbers() {
        for class in 0..=255 {
            assert_eq!(ClockClass::from_u8(class).as_u8(), class);
        }
    }
}
