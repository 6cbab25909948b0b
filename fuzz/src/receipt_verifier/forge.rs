use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use tsq_sync::receipt::{Hash, Line, START};

use crate::input::Input;

/// A change to what a receipt says. The receipt and the byte are taken modulo what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgery {
    /// Which receipt.
    pub receipt: u8,
    /// What of it: see [`apply`](Self::apply).
    pub field: u8,
    /// Which byte of it.
    pub at: u8,
    /// By how much.
    pub by: i64,
}

impl Forgery {
    /// The next forgery of `input`.
    pub fn read(input: &mut Input<'_>) -> Self {
        Self {
            receipt: input.byte(),
            field: input.byte(),
            at: input.byte(),
            by: i64::from_be_bytes(input.array()),
        }
    }

    /// The counterpart of [`read`](Self::read).
    pub fn put(self, seed: &mut Vec<u8>) {
        seed.extend_from_slice(&[self.receipt, self.field, self.at]);
        seed.extend_from_slice(&self.by.to_be_bytes());
    }

    /// Changes one receipt, or the list of them.
    pub fn apply(self, receipts: &mut Vec<Line>) {
        let Some(last) = receipts.len().checked_sub(1) else {
            return;
        };
        let index = |number: u8| usize::from(number) % (last + 1);
        let (this, other) = (index(self.receipt), index(self.at));
        let receipt = &mut receipts[this];
        match self.field % 15 {
            0 => self.flip(&mut receipt.request.0),
            1 => self.flip(&mut receipt.response.0),
            2 => receipt.request.0.truncate(self.at.into()),
            3 => receipt.response.0.truncate(self.at.into()),
            4 => receipt.t1_ns = receipt.t1_ns.wrapping_add(self.by),
            5 => receipt.t4_ns = receipt.t4_ns.wrapping_add(self.by),
            6 => receipt.key_id ^= self.number(),
            7 => {
                receipt.algorithm = if self.at == 0 {
                    "ed25519"
                } else {
                    "hmac-sha256"
                }
                .into()
            }
            8 => receipt.server = char::from(self.at).to_string(),
            9 => receipt.offset_ns = (self.by != 0).then_some(self.by),
            10 => receipts.swap(this, other),
            11 => drop(receipts.remove(this)),
            12 => receipt.seq = self.at.into(),
            13 => receipt.prev = Hash::of("a line of another file"),
            _ => {
                // A good answer beside another's request.
                let response = receipts[other].response.clone();
                receipts[this].response = response;
            }
        }
    }

    fn number(self) -> u32 {
        u32::from_be_bytes(
            self.by.to_be_bytes()[4..]
                .try_into()
                .expect("four of eight"),
        )
    }

    fn flip(self, bytes: &mut [u8]) {
        let len = bytes.len();
        if let Some(byte) = bytes.get_mut(usize::from(self.at) % len.max(1)) {
            *byte ^= self.by.to_be_bytes()[7];
        }
    }
}

/// The file of these receipts, its hashes made here; what a receipt has for its number is added to the
/// right one, and what it has for the hash before it stands.
pub(super) fn chained(receipts: &[Line]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut prev = "0".repeat(64);
    for (seq, receipt) in receipts.iter().enumerate() {
        let mut object = serde_json::to_value(receipt).expect("strings and integers");
        object["seq"] = receipt.seq.wrapping_add(seq as u64).into();
        if receipt.prev == START {
            object["prev"] = prev.into();
        }
        let receipt: Line = serde_json::from_value(object).expect("a receipt with two changes");
        // In the order of the fields, which a `Value` does not keep.
        let object = serde_json::to_string(&receipt).expect("strings and integers");
        let open = object.strip_suffix('}').expect("an object");
        let line = format!("{open},\"check\":\"{}\"}}", sha256(open.as_bytes()));
        prev = sha256(line.as_bytes());
        file.extend_from_slice(line.as_bytes());
        file.push(b'\n');
    }
    file
}

/// In hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}
