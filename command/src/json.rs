//! JSON that is safe to look at.

use std::fmt::Write;

/// The same JSON with nothing in it but printable ASCII and spaces: what a server or a file says may stand in its strings, and
/// somebody may look at it on a terminal. Programs read the same values.
pub fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            ' '..='~' => text.push(character),
            // Characters beyond ASCII stand in strings only, where they may be escaped.
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a string does not fail.
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_keep_their_value_and_steer_no_terminal() {
        let said = "a\u{7f}\u{9b}2J\u{202e}\u{2028}\u{e9}\u{1f600}";
        let json = format!("{{\"x\": \"{said}\"}}");
        let text = ascii(&json);
        assert_eq!(
            text,
            r#"{"x": "a\u007f\u009b2J\u202e\u2028\u00e9\ud83d\ude00"}"#
        );
        assert_eq!(ascii(&text), text);
    }
}
