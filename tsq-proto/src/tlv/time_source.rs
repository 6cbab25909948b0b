use super::{HEADER_LEN, Writer, fixed_part, kind, text};
use crate::error::{EncodeError, Malformed};

/// Where the server says its time comes from. Advisory: it may weigh a source, it proves nothing.
// tsq: T9 M7
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeSource<'a> {
    /// 0 unsynchronised, 1 a reference clock, 2 and more as in NTP.
    pub stratum: u8,
    /// What kind of source.
    pub source: SourceType,
    /// Free text.
    pub info: &'a str,
}

impl<'a> TimeSource<'a> {
    /// From an element's value.
    ///
    /// # Errors
    ///
    /// [`Malformed::ElementLength`] under 2 bytes, [`Malformed::BadUtf8`].
    pub fn decode(value: &'a [u8]) -> Result<Self, Malformed> {
        let (&[stratum, source], info) = fixed_part::<FIXED_LEN>(kind::TIME_SOURCE, value)?;
        Ok(Self {
            stratum,
            source: SourceType::from_u8(source),
            info: text(kind::TIME_SOURCE, info)?,
        })
    }

    /// Writes the element.
    ///
    /// # Errors
    ///
    /// [`EncodeError::ValueTooLong`] when the text is over 253 bytes, [`EncodeError::NoRoom`].
    pub fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.element(
            kind::TIME_SOURCE,
            &[&[self.stratum, self.source.as_u8()], self.info.as_bytes()],
        )
    }

    pub(crate) const fn encoded_len(&self) -> usize {
        HEADER_LEN + FIXED_LEN + self.info.len()
    }
}

/// The kind of a time source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceType {
    /// 1: a satellite receiver.
    Gps,
    /// 2: IEEE 1588.
    Ptp,
    /// 3: NTP.
    Ntp,
    /// 4: set by hand.
    Manual,
    /// 5: not known.
    Unknown,
    /// A type this version does not know.
    Other(u8),
}

impl SourceType {
    /// From the number on the wire.
    #[must_use]
    pub const fn from_u8(source: u8) -> Self {
        match source {
            1 => Self::Gps,
            2 => Self::Ptp,
            3 => Self::Ntp,
            4 => Self::Manual,
            5 => Self::Unknown,
            other => Self::Other(other),
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        match self {
            Self::Gps => 1,
            Self::Ptp => 2,
            Self::Ntp => 3,
            Self::Manual => 4,
            Self::Unknown => 5,
            Self::Other(source) => source,
        }
    }
}

const FIXED_LEN: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    // tsq: T9
    #[test]
    fn fields_stand_where_the_draft_puts_them() {
        let source = TimeSource {
            stratum: 2,
            source: SourceType::Ntp,
            info: "ab",
        };
        let mut buffer = [9; 6];
        source.encode(&mut Writer::new(&mut buffer)).unwrap();
        assert_eq!(buffer, [251, 4, 2, 3, b'a', b'b']);
        assert_eq!(TimeSource::decode(&buffer[2..]), Ok(source));
        assert_eq!(source.encoded_len(), buffer.len());
    }

    // tsq: T9
    #[test]
    fn value_without_its_fixed_part_is_malformed() {
        let refused = Err(Malformed::ElementLength {
            kind: 251,
            len: 1,
            expected: 2,
        });
        assert_eq!(TimeSource::decode(&[1]), refused);
    }

    // tsq: T9
    #[test]
    fn info_that_is_not_utf8_is_malformed() {
        assert_eq!(
            TimeSource::decode(&[1, 1, 0xc3]),
            Err(Malformed::BadUtf8 { kind: 251 })
        );
    }

    #[test]
    fn types_keep_their_numbers() {
        for source in 0..=255 {
            assert_eq!(SourceType::from_u8(source).as_u8(), source);
        }
    }
}
