//! Extension fields after the header (RFC 7822): type, length with these four bytes, body padded to words.

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// What it is.
    pub kind: u16,
    /// Its body, padding included.
    pub body: &'a [u8],
    /// Where it begins, counted from the beginning of the bytes given.
    pub at: usize,
}

/// The bytes are no sequence of extension fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadExtension {
    /// Where the bad one begins.
    pub at: usize,
}

/// The fields in order; the first bad one ends them.
pub fn extensions(bytes: &[u8]) -> impl Iterator<Item = Result<Extension<'_>, BadExtension>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let begin = at;
        match split(rest) {
            Some((kind, body)) => {
                at += HEADER + body.len();
                Some(Ok(Extension {
                    kind,
                    body,
                    at: begin,
                }))
            }
            None => {
                at = bytes.len();
                Some(Err(BadExtension { at: begin }))
            }
        }
    })
}

/// Appends a field, padded with zeros to whole words.
///
/// # Panics
/// If the body is longer than 65,528 bytes: all bodies are made here or checked by the caller.
pub fn push(bytes: &mut Vec<u8>, kind: u16, body: &[u8]) {
    let padded = body.len().next_multiple_of(4);
    let length = u16::try_from(HEADER + padded).expect("bodies are at most 64 KiB minus a header");
    bytes.extend(kind.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(body);
    bytes.extend(std::iter::repeat_n(0, padded - body.len()));
}

const HEADER: usize = 4;

fn split(rest: &[u8]) -> Option<(u16, &[u8])> {
    let (header, _) = rest.split_first_chunk::<HEADER>()?;
    let [k0, k1, l0, l1] = *header;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    // RFC 7822, section 7.5: at least 16 bytes, in whole words.
    if length < MIN_LEN || !length.is_multiple_of(4) {
        return None;
    }
    Some((u16::from_be_bytes([k0, k1]), rest.get(HEADER..length)?))
}

const MIN_LEN: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_pushed_is_read_back_with_its_padding() {
        let mut bytes = Vec::new();
        push(&mut bytes, 0x0104, &[7; 32]);
        push(&mut bytes, 0x0204, &[8; 13]);
        let all: Vec<_> = extensions(&bytes).map(Result::unwrap).collect();
        assert_eq!(
            (all[0].kind, all[0].body, all[0].at),
            (0x0104, &[7; 32][..], 0)
        );
        assert_eq!(
            (all[1].kind, all[1].body.len(), all[1].at),
            (0x0204, 16, 36)
        );
    }

    #[test]
    fn lengths_that_lie_are_refused_where_they_stand() {
        let mut good = Vec::new();
        push(&mut good, 1, &[0; 12]);
        for bad in [
            &[0, 1, 0, 0][..],
            &[0, 1, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0, 1, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0, 1, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0, 1, 255, 252, 0],
            &[0, 1, 0],
        ] {
            let bytes = [&good[..], bad].concat();
            let all: Vec<_> = extensions(&bytes).collect();
            assert_eq!(all.len(), 2, "{bad:?}");
            assert_eq!(all[1], Err(BadExtension { at: 16 }), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes: Vec<u8>) {
            prop_assert!(extensions(&bytes).count() <= bytes.len() / 16 + 1);
        }
    }
}
