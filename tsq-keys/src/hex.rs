use std::fmt;

use crate::Problem;

/// The 32 bytes that 64 hexadecimal digits stand for. `field` is what an error says they are.
pub(crate) fn decode(field: &'static str, text: &str) -> Result<[u8; 32], Problem> {
    if let Some(at) = text.chars().position(|c| !c.is_ascii_hexdigit()) {
        return Err(Problem::NotHex { field, at: at + 1 });
    }
    let digits: &[u8; 64] = text
        .as_bytes()
        .try_into()
        .map_err(|_| Problem::WrongLength {
            field,
            len: text.len(),
        })?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0]) << 4 | nibble(pair[1]);
    }
    Ok(bytes)
}

/// Shows bytes as lower-case hexadecimal digits.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8; 32]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

const fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        // Both cases: the digits were checked, and only this bit tells them apart.
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "00010f10ff7f80a5c3e1000000000000000000000000000000000000000000ab";

    #[test]
    fn digits_of_either_case_are_read_and_lower_case_is_written() {
        let bytes = decode("secret", DIGITS).unwrap();
        assert_eq!(bytes[..10], [0, 1, 15, 16, 255, 127, 128, 165, 195, 225]);
        assert_eq!(decode("secret", &DIGITS.to_uppercase()).unwrap(), bytes);
        assert_eq!(Hex(&bytes).to_string(), DIGITS);
    }

    #[test]
    fn one_digit_more_or_less_is_refused_with_the_number() {
        for (text, expected) in [(&DIGITS[..63], 63), (&format!("{DIGITS}0"), 65), ("", 0)] {
            let refused = decode("secret", text);
            assert!(
                matches!(refused, Err(Problem::WrongLength { field: "secret", len }) if len == expected),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn other_characters_are_refused_with_their_place() {
        for other in ["g", "G", "+", " ", "é", ":", "/", "@", "`"] {
            let text = format!("{}{other}{}", &DIGITS[..20], &DIGITS[21..]);
            let refused = decode("public", &text);
            assert!(
                matches!(
                    refused,
                    Err(Problem::NotHex {
                        field: "public",
                        at: 21
                    })
                ),
                "{other}: {refused:?}"
            );
        }
    }
}
