//! Keys as their files have them: 64 hexadecimal digits.

use data_encoding::HEXLOWER_PERMISSIVE;

use crate::Problem;

/// The 32 bytes that 64 hexadecimal digits stand for. `field` is what an error says they are.
pub(crate) fn decode(field: &'static str, text: &str) -> Result<[u8; 32], Problem> {
    if let Some(at) = text.chars().position(|c| !c.is_ascii_hexdigit()) {
        return Err(Problem::NotHex { field, at: at + 1 });
    }
    let wrong_length = Problem::WrongLength {
        field,
        len: text.len(),
    };
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() {
        return Err(wrong_length);
    }
    // Into place: a secret leaves no copy on the heap.
    match HEXLOWER_PERMISSIVE.decode_mut(text.as_bytes(), &mut bytes) {
        Ok(_) => Ok(bytes),
        Err(_) => Err(wrong_length),
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    const DIGITS: &str = "00010f10ff7f80a5c3e1000000000000000000000000000000000000000000ab";

    #[test]
    fn digits_of_either_case_are_read_and_lower_case_is_written() {
        let bytes = decode("secret", DIGITS).unwrap();
        assert_eq!(bytes[..10], [0, 1, 15, 16, 255, 127, 128, 165, 195, 225]);
        assert_eq!(decode("secret", &DIGITS.to_uppercase()).unwrap(), bytes);
        assert_eq!(HEXLOWER.encode(&bytes), DIGITS);
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
