//! Signatures and tags over a typical answer.

use std::hint::black_box;
use std::io::Write;

use tsq_keys::{Algorithm, SigningKey, SigningKeys, VerifyKeys};
use tsq_proto::{Signer, Verifier};

use crate::Pass;

pub(crate) fn sign_hmac() -> Pass {
    sign(Algorithm::HmacSha256)
}

pub(crate) fn sign_ed25519() -> Pass {
    sign(Algorithm::Ed25519)
}

pub(crate) fn verify_hmac() -> Pass {
    verify(Algorithm::HmacSha256)
}

pub(crate) fn verify_ed25519() -> Pass {
    verify(Algorithm::Ed25519)
}

fn sign(algorithm: Algorithm) -> Pass {
    let (key, _) = pair(algorithm);
    let mut signature = vec![0; key.signature_len()];
    Box::new(move || key.sign(black_box(&MESSAGE), black_box(&mut signature)))
}

fn verify(algorithm: Algorithm) -> Pass {
    let (key, keys) = pair(algorithm);
    let mut signature = vec![0; key.signature_len()];
    key.sign(&MESSAGE, &mut signature);
    Box::new(move || {
        let verdict = keys.verify(
            algorithm.into(),
            key.key_id(),
            black_box(&MESSAGE),
            black_box(&signature),
        );
        black_box(verdict).expect("the key's own signature");
    })
}

/// A key to sign with and those who verify it. Always the same key: how long it takes to verify depends on its bits.
/// It lives as long as the program.
pub(crate) fn pair(algorithm: Algorithm) -> (&'static SigningKey, VerifyKeys) {
    // Key files are the only way to a key that is not random; a temporary one is its owner's alone, as they must be.
    let mut file = tempfile::NamedTempFile::new().expect("a folder for temporary files");
    let (name, secret) = (algorithm.name(), "5a".repeat(32));
    write!(
        file,
        "id = 7\nalgorithm = \"{name}\"\nsecret = \"{secret}\"\n"
    )
    .expect("room for it");
    let keys = Box::leak(Box::new(
        SigningKeys::load(&[file.path()]).expect("a key file"),
    ));
    (keys.iter().next().expect("the one key"), keys.verify_keys())
}

/// 38 mandatory bytes, the clock's state and some metadata.
const MESSAGE: [u8; 160] = [0x5a; 160];
