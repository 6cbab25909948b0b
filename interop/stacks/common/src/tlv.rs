//! Elements: type, length, value.

pub(crate) const NONCE: u8 = 1;
pub(crate) const RECEIVE_TIME: u8 = 2;
pub(crate) const SEND_TIME: u8 = 3;
pub(crate) const METADATA_QUERY: u8 = 247;
pub(crate) const CLOCK_QUALITY: u8 = 248;
pub(crate) const ERROR: u8 = 249;
pub(crate) const PRECISION: u8 = 250;
pub(crate) const TIME_SOURCE: u8 = 251;
pub(crate) const SIGNATURE_REQUEST: u8 = 252;
pub(crate) const METADATA: u8 = 253;
pub(crate) const PADDING: u8 = 254;
pub(crate) const SIGNATURE: u8 = 255;

/// Types that mean nothing, one at each end of the reserved range.
pub(crate) const UNKNOWN: [u8; 2] = [4, 246];

/// One element of a message and where it begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tlv<'a> {
    pub(crate) kind: u8,
    pub(crate) value: &'a [u8],
    pub(crate) start: usize,
}

/// All elements of a message, in order.
// tsq: M1
pub(crate) fn parse(message: &[u8]) -> Result<Vec<Tlv<'_>>, String> {
    let mut tlvs = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let start = message.len() - rest.len();
        let whole = rest
            .split_at_checked(2)
            .and_then(|(head, tail)| Some((head[0], tail.split_at_checked(usize::from(head[1]))?)));
        let Some((kind, (value, tail))) = whole else {
            return Err(format!("an element is cut off at byte {start}"));
        };
        tlvs.push(Tlv { kind, value, start });
        rest = tail;
    }
    Ok(tlvs)
}

/// Appends an element.
///
/// # Panics
/// When the value is longer than 255 bytes.
pub(crate) fn put(message: &mut Vec<u8>, kind: u8, value: &[u8]) {
    let length = u8::try_from(value.len()).expect("no peer writes more than 255 bytes");
    message.extend([kind, length]);
    message.extend(value);
}

/// Appends Padding up to `length` bytes; false where that cannot be.
// tsq: M6 T12
pub(crate) fn pad(message: &mut Vec<u8>, length: usize) -> bool {
    loop {
        match length.checked_sub(message.len()) {
            Some(0) => return true,
            None | Some(1) => return false,
            // Never a single byte left: no element is that short.
            Some(258) => put(message, PADDING, &[0; 254]),
            Some(left) => put(message, PADDING, &vec![0; (left - 2).min(255)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_but_one_byte_more_can_be_padded_to() {
        for more in (0..1200).filter(|more| *more != 1) {
            let mut message = vec![1, 0];
            assert!(pad(&mut message, 2 + more), "{more}");
            assert_eq!(message.len(), 2 + more);
            assert!(parse(&message).is_ok());
        }
        assert!(!pad(&mut vec![1, 0], 3));
    }

    #[test]
    fn cut_element_is_refused() {
        assert!(parse(&[1, 2, 0]).is_err());
        assert!(parse(&[1]).is_err());
    }
}
