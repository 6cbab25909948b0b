//! Numbers that docs/operate/serve.md gives are those of the program.

/// Fails unless the page says so, in these words.
#[track_caller]
pub(crate) fn in_words(words: &str) {
    let page = include_str!("../../docs/operate/serve.md");
    let page: Vec<&str> = page.split_whitespace().collect();
    assert!(
        page.join(" ").contains(words),
        "docs/operate/serve.md: {words}"
    );
}
