//! No receipt file is accepted in which anything was changed.
//!
//! An input is a byte that says how, then the file: its bytes, or what happens to a good one of four receipts, with
//! or without the hashes made anew.
//!
//! [`judge`] reads a file by itself: JSON, SHA-256 and signatures are those of `serde_json` and `ring`, and nothing is
//! taken from the code under test.

mod base;
mod edit;
mod forge;
mod judge;

use std::io::Cursor;

use tsq_proto::{SignatureAlgorithm, SignatureRefusal, Verifier};
use tsq_sync::receipt::{Checked, Flaw, Hash, Proof, verify};

pub use base::file as good_file;
pub use edit::Edit;
pub use forge::Forgery;

use crate::input::Input;
use crate::keys::{ed25519, hmac_sha256};

/// Judges the file.
///
/// # Panics
///
/// When the property does not hold.
pub fn check(input: &[u8]) {
    let mut input = Input::new(input);
    match input.byte() % 3 {
        0 => sound(input.rest()),
        1 => edited(&mut input),
        _ => forged(&mut input),
    }
}

/// What is accepted holds by other code too, and with the last hash kept elsewhere only the good file is.
fn sound(file: &[u8]) {
    if let (Ok(checked), proofs) = verdict(file, None) {
        let head = judge::holds(file, &proofs);
        assert_eq!(checked.lines, proofs.len() as u64);
        assert_eq!(checked.head.to_string(), head);
    }
    let head = Hash::of(last_line(good_file()));
    let expected = verdict(file, Some(head)).0.is_ok();
    assert_eq!(expected, file == good_file(), "against the hash kept");
}

/// Whoever cannot make hashes changes nothing unseen; the file alone does not show that whole lines are missing at
/// its end.
fn edited(input: &mut Input<'_>) {
    let mut file = good_file().to_vec();
    for _ in 0..MOST {
        if input.is_empty() || file.len() > LONGEST {
            break;
        }
        Edit::read(input).apply(&mut file);
    }
    sound(&file);
    let (result, proofs) = verdict(&file, None);
    let (good, changed) = (lines(good_file()), lines(&file));
    let same = good.iter().zip(&changed).take_while(|(a, b)| a == b);
    let same = same.count();
    assert_eq!(proofs.len(), same, "every line before the first changed");
    match result {
        Ok(_) => assert!(same == changed.len() && same > 0, "a change was not seen"),
        Err(flaw) => {
            assert!(same < changed.len() || changed.is_empty(), "{flaw}");
            assert_eq!(flaw.line, same as u64 + 1, "{flaw}");
        }
    }
}

/// Whoever makes all hashes anew still cannot sign: what is accepted holds, whatever was forged.
fn forged(input: &mut Input<'_>) {
    let mut receipts = base::receipts().to_vec();
    for _ in 0..MOST {
        if input.is_empty() {
            break;
        }
        Forgery::read(input).apply(&mut receipts);
    }
    sound(&forge::chained(&receipts));
}

/// Edits or forgeries of one input: more teach nothing new.
const MOST: usize = 24;

/// A file this long grows no further. Lines that come twice, again and again, would fill the memory; and a line may
/// still pass the 64 KiB that the verifier reads of one.
const LONGEST: usize = 100_000;

fn verdict(file: &[u8], head: Option<Hash>) -> (Result<Checked, Flaw>, Vec<Proof>) {
    let mut proofs = Vec::new();
    let result = verify(&mut Cursor::new(file), &Both, head, &mut |proof| {
        proofs.push(proof.clone());
    });
    (result, proofs)
}

fn lines(file: &[u8]) -> Vec<&[u8]> {
    file.split_inclusive(|byte| *byte == b'\n').collect()
}

fn last_line(file: &[u8]) -> &str {
    let text = std::str::from_utf8(file).expect("receipts are text");
    text.lines().next_back().expect("there are four receipts")
}

/// Both keys that sign here.
struct Both;

impl Verifier for Both {
    fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        id: u32,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureRefusal> {
        let by = |keys: &dyn Verifier| keys.verify(algorithm, id, message, signature);
        match by(&ed25519().verify) {
            Err(SignatureRefusal::UnknownKey { .. }) => by(&hmac_sha256().verify),
            result => result,
        }
    }
}
