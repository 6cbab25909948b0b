//! Words for people: what strangers say, made safe to show, and numbers with their nouns.

use core::fmt::{self, Write as _};

/// What a peer, a file or the network says, as it may be shown to people: on a terminal, in a log, in a reason.
///
/// Its `Display` is one line and changes nothing but what it is: control characters (ESC and the rest of C0, DEL, C1),
/// line separators, marks that turn the direction of text round (U+202E and its kind) and whatever else cannot be seen
/// are written as escapes (`\u{1b}`), a backslash as two; after [`MAX_CHARS`](Self::MAX_CHARS) characters follow `...`
/// and the length. Quotation marks stay: they harm no terminal, and who prints JSON escapes them again.
///
/// Whoever builds a sentence puts strangers' words into it through this, once, where the sentence is made; what
/// is kept for programs stays as it was said.
///
/// ```
/// use tsq_proto::words::Foreign;
/// assert_eq!(Foreign("a\u{1b}[2Jb\u{202e}").to_string(), "a\\u{1b}[2Jb\\u{202e}");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign<'a>(pub &'a str);

impl Foreign<'_> {
    /// Characters shown: more than any DNS name has.
    pub const MAX_CHARS: usize = 256;
}

impl fmt::Display for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, character) in self.0.chars().enumerate() {
            if index == Self::MAX_CHARS {
                return write!(f, "... ({} bytes)", self.0.len());
            }
            match character {
                '\'' | '"' => f.write_char(character)?,
                _ => character.escape_debug().fmt(f)?,
            }
        }
        Ok(())
    }
}

/// A number and what it counts: `1 server`, `3 servers`, `0 queries`.
///
/// ```
/// use tsq_proto::words::Count;
/// assert_eq!(Count(1, "query").to_string(), "1 query");
/// assert_eq!(Count(2, "query").to_string(), "2 queries");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count<'a, N>(pub N, pub &'a str);

impl<N: fmt::Display + PartialEq + From<u8>> fmt::Display for Count<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, noun) = self;
        if *number == N::from(1) {
            return write!(f, "{number} {noun}");
        }
        match noun.strip_suffix('y') {
            // "day" keeps its y.
            Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => {
                write!(f, "{number} {stem}ies")
            }
            _ => write!(f, "{number} {noun}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};

    use super::*;

    /// Everything that could write to a terminal, begin a line, or show text in another order than it has.
    const HARMFUL: [core::ops::RangeInclusive<char>; 9] = [
        '\0'..='\u{1f}',
        '\u{7f}'..='\u{9f}',
        '\u{ad}'..='\u{ad}',
        '\u{61c}'..='\u{61c}',
        '\u{200b}'..='\u{200f}',
        '\u{2028}'..='\u{202e}',
        '\u{2060}'..='\u{206f}',
        '\u{feff}'..='\u{feff}',
        '\u{e0001}'..='\u{e007f}',
    ];

    #[test]
    fn nothing_that_steers_a_terminal_or_turns_text_round_is_shown_raw() {
        for character in HARMFUL.into_iter().flatten() {
            let mut said = String::from("a");
            said.push(character);
            let shown = Foreign(&said).to_string();
            assert!(shown.starts_with("a\\"), "{:x}: {shown}", character as u32);
            assert!(shown.is_ascii(), "{:x}: {shown}", character as u32);
        }
    }

    #[test]
    fn plain_words_stay_as_they_are_and_escapes_cannot_be_imitated() {
        let plain = "zeit.example, \u{fc}ber 'x' \"y\" (1)";
        assert_eq!(Foreign(plain).to_string(), plain);
        assert_eq!(Foreign("\\u{1b}").to_string(), "\\\\u{1b}");
    }

    #[test]
    fn words_without_end_are_cut() {
        let longest = "x".repeat(Foreign::MAX_CHARS);
        assert_eq!(Foreign(&longest).to_string(), longest);
        let longer = longest.clone() + "y";
        assert_eq!(Foreign(&longer).to_string(), longest + "... (257 bytes)");
    }

    #[test]
    fn one_is_singular_and_all_else_plural() {
        for (count, words) in [
            (Count(0, "server"), "0 servers"),
            (Count(1, "server"), "1 server"),
            (Count(21, "server"), "21 servers"),
            (Count(1, "query"), "1 query"),
            (Count(0, "query"), "0 queries"),
            (Count(2, "day"), "2 days"),
        ] {
            assert_eq!(count.to_string(), words);
        }
        assert_eq!(Count(1_u64, "key").to_string(), "1 key");
        assert_eq!(Count(2_usize, "key").to_string(), "2 keys");
    }
}
