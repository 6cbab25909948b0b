//! What a signed answer costs: one signature or tag over a typical answer, and its verification.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tsq_keys::{Algorithm, PrivateKey, SigningKey, SigningKeys};
use tsq_proto::{Signer, Verifier};

fn ed25519(c: &mut Criterion) {
    sign_and_verify(c, Algorithm::Ed25519);
}

fn hmac_sha256(c: &mut Criterion) {
    sign_and_verify(c, Algorithm::HmacSha256);
}

fn sign_and_verify(c: &mut Criterion, algorithm: Algorithm) {
    // 38 mandatory bytes, the clock's state and some metadata.
    let message = [0x5a; 160];
    let key = PrivateKey::generate(7, algorithm, None).expect("there is randomness");
    let key = SigningKey::new(&key);
    let (stated, id) = (Signer::algorithm(&key), key.key_id());
    let mut signature = vec![0; key.signature_len()];
    c.bench_function(&format!("sign {}", algorithm.name()), |b| {
        b.iter(|| key.sign(black_box(&message), black_box(&mut signature)));
    });
    let keys = SigningKeys::from(key).verify_keys();
    c.bench_function(&format!("verify {}", algorithm.name()), |b| {
        b.iter(|| keys.verify(stated, id, black_box(&message), black_box(&signature)));
    });
}

criterion_group!(benches, ed25519, hmac_sha256);
criterion_main!(benches);
