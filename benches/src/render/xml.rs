//! Text between the marks of SVG and HTML.

use std::fmt::{self, Write};

/// Shown as it is, whatever it holds.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Appends to a string, which takes whatever it is given.
pub(super) fn append(text: &mut String, words: fmt::Arguments<'_>) {
    text.write_fmt(words)
        .expect("a string takes what it is given");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_text() {
        let shown = Escaped("a < b & \"c\" > d").to_string();
        assert_eq!(shown, "a &lt; b &amp; &quot;c&quot; &gt; d");
    }
}
