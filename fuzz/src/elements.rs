/// Type and value of each whole element. Shares nothing with the code under test.
pub(crate) fn elements(mut message: &[u8]) -> Vec<(u8, &[u8])> {
    let mut found = Vec::new();
    while let [kind, len, rest @ ..] = message {
        let Some((value, after)) = rest.split_at_checked(usize::from(*len)) else {
            break;
        };
        found.push((*kind, value));
        message = after;
    }
    found
}
