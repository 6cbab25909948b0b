use crate::error::Malformed;
use crate::tlv::kind;

/// Follows a message's elements after its mandatory ones and refuses what stands twice or in the wrong place.
pub(super) struct Order {
    skips: fn(u8) -> bool,
    last: u8,
    seen: u16,
}

impl Order {
    /// `mandatory` elements came already; `skips` tells which elements have no meaning in this message.
    pub(super) fn after(mandatory: &[u8], skips: fn(u8) -> bool) -> Self {
        let seen = mandatory.iter().fold(0, |seen, &kind| seen | bit(kind));
        Self {
            skips,
            last: *mandatory.last().unwrap_or(&kind::NONCE),
            seen,
        }
    }

    /// Whether the next element may be of this kind.
    // tsq: M11 T12 T13
    pub(super) fn accept(&mut self, kind: u8) -> Result<(), Malformed> {
        let out_of_order = Err(Malformed::OutOfOrder {
            kind,
            after: self.last,
        });
        if self.last == kind::SIGNATURE_BLOCK {
            return out_of_order;
        }
        if kind::is_reserved(kind) || (self.skips)(kind) {
            return Ok(());
        }
        if self.seen & bit(kind) != 0 && !is_repeatable(kind) {
            return Err(Malformed::DuplicateElement { kind });
        }
        if self.last == kind::PADDING && !matches!(kind, kind::PADDING | kind::SIGNATURE_BLOCK) {
            return out_of_order;
        }
        self.seen |= bit(kind);
        self.last = kind;
        Ok(())
    }
}

// tsq: T11
const fn is_repeatable(kind: u8) -> bool {
    matches!(kind, kind::METADATA | kind::PADDING)
}

/// A bit of its own for every kind that is not reserved: 1 to 3, and 7 to 15 for 247 to 255.
const fn bit(kind: u8) -> u16 {
    1 << (kind & 0x0f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_kind_has_a_bit_of_its_own() {
        let known = (0..=255).filter(|&number| !kind::is_reserved(number));
        let bits = known.clone().fold(0, |bits, number| bits | bit(number));
        assert_eq!(bits.count_ones() as usize, known.count());
    }

    // tsq: T13
    #[test]
    fn nothing_follows_the_signature_block() {
        for kind in 0..=255 {
            let mut order = Order::after(&[kind::NONCE], |_| false);
            order.accept(kind::SIGNATURE_BLOCK).unwrap();
            assert_eq!(
                order.accept(kind),
                Err(Malformed::OutOfOrder { kind, after: 255 })
            );
        }
    }

    // tsq: T12
    #[test]
    fn only_padding_and_the_signature_block_follow_padding() {
        let accepted = (247..=255).filter(|&kind| {
            let mut order = Order::after(&[kind::NONCE], |_| false);
            order.accept(kind::PADDING).unwrap();
            order.accept(kind).is_ok()
        });
        assert!(accepted.eq([kind::PADDING, kind::SIGNATURE_BLOCK]));
    }
}
