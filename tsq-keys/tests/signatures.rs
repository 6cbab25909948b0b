//! Signing, verifying and changing over from one key to the next.
#![expect(
    clippy::unwrap_used,
    reason = "the lint spares #[test] functions, not their helpers"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use data_encoding::HEXLOWER;
use proptest::prelude::*;
use tempfile::TempDir;
use tsq_keys::{Algorithm, PrivateKey, SigningKey, SigningKeys, VerifyKeys};
use tsq_proto::{HostTime, SignatureAlgorithm, SignatureRefusal, Signer, Verifier};

const BOTH: [Algorithm; 2] = [Algorithm::Ed25519, Algorithm::HmacSha256];

/// Through files, as in life; each is `(id, algorithm, secret, valid_from)`.
fn load(keys: &[(u32, &str, &str, Option<&str>)]) -> SigningKeys {
    let dir = TempDir::new().unwrap();
    let paths: Vec<_> = keys
        .iter()
        .map(|(id, algorithm, secret, valid_from)| {
            let path = dir.path().join(id.to_string());
            let valid_from =
                valid_from.map_or(String::new(), |text| format!("valid_from = \"{text}\"\n"));
            let text = format!(
                "id = {id}\nalgorithm = \"{algorithm}\"\nsecret = \"{secret}\"\n{valid_from}"
            );
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path
        })
        .collect();
    SigningKeys::load(&paths).unwrap()
}

fn generate(id: u32, algorithm: Algorithm) -> SigningKey {
    SigningKey::new(&PrivateKey::generate(id, algorithm, None).unwrap())
}

fn sign(key: &SigningKey, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; key.signature_len()];
    key.sign(message, &mut signature);
    signature
}

// tsq: T13
#[test]
fn ed25519_signs_as_in_rfc_8032() {
    let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let keys = load(&[(7, "ed25519", secret, None)]);
    let key = keys.iter().next().unwrap();
    assert_eq!(Signer::algorithm(key).as_u8(), 1);
    assert_eq!(
        HEXLOWER.encode(&sign(key, b"")),
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    );
}

/// RFC 4231, test case 1: HMAC extends its 20-byte key with zeros, so here it may have 32.
// tsq: T13
#[test]
fn hmac_signs_as_in_rfc_4231() {
    let secret = format!("{}{}", "0b".repeat(20), "00".repeat(12));
    let keys = load(&[(7, "hmac-sha256", &secret, None)]);
    let key = keys.iter().next().unwrap();
    assert_eq!(Signer::algorithm(key).as_u8(), 2);
    assert_eq!(
        HEXLOWER.encode(&sign(key, b"Hi There")),
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    );
}

proptest! {
    // tsq: M4 M5
    #[test]
    fn signature_is_valid_until_a_bit_of_it_or_its_message_changes(
        ed25519: bool,
        id: u32,
        mut message in prop::collection::vec(any::<u8>(), 1..300),
        bit: prop::sample::Index,
    ) {
        let key = generate(id, BOTH[usize::from(ed25519)]);
        let stated = Signer::algorithm(&key);
        let mut signature = sign(&key, &message);
        let keys = SigningKeys::from(key).verify_keys();
        prop_assert_eq!(keys.verify(stated, id, &message, &signature), Ok(()));

        let flip = |bytes: &mut [u8]| {
            let bit = bit.index(8 * bytes.len());
            bytes[bit / 8] ^= 1 << (bit % 8);
        };
        let bad = Err(SignatureRefusal::BadSignature);
        flip(&mut message);
        prop_assert_eq!(keys.verify(stated, id, &message, &signature), bad);
        flip(&mut message);
        flip(&mut signature);
        prop_assert_eq!(keys.verify(stated, id, &message, &signature), bad);
    }
}

// tsq: M5
#[test]
fn message_and_signature_of_another_length_are_refused() {
    for algorithm in BOTH {
        let key = generate(7, algorithm);
        let stated = Signer::algorithm(&key);
        let good = sign(&key, b"message");
        let keys = SigningKeys::from(key).verify_keys();
        let verify = |message: &[u8], signature: &[u8]| keys.verify(stated, 7, message, signature);
        assert_eq!(verify(b"message", &good), Ok(()));
        for len in 0..good.len() {
            let refused = verify(b"message", &good[..len]);
            assert_eq!(refused, Err(SignatureRefusal::BadSignature), "{len}");
        }
        let longer = [&good[..], &[0]].concat();
        assert_eq!(
            verify(b"message", &longer),
            Err(SignatureRefusal::BadSignature)
        );
        assert_eq!(
            verify(b"messag", &good),
            Err(SignatureRefusal::BadSignature)
        );
        assert_eq!(verify(b"", &good), Err(SignatureRefusal::BadSignature));
    }
}

// tsq: M4 M5
#[test]
fn signature_under_another_key_id_is_refused() {
    for algorithm in BOTH {
        let (ours, theirs) = (generate(7, algorithm), generate(7, algorithm));
        let stated = Signer::algorithm(&ours);
        let good = sign(&ours, b"message");
        let keys = SigningKeys::from(ours).verify_keys();
        assert_eq!(
            keys.verify(stated, 8, b"message", &good),
            Err(SignatureRefusal::UnknownKey { id: 8 })
        );
        let other_keys = SigningKeys::from(theirs).verify_keys();
        assert_eq!(
            other_keys.verify(stated, 7, b"message", &good),
            Err(SignatureRefusal::BadSignature)
        );
    }
}

/// Whoever knows a public key could make an HMAC with it, if the message were to choose the algorithm.
// tsq: M5
#[test]
fn algorithm_other_than_the_keys_is_refused() {
    let key = generate(7, Algorithm::Ed25519);
    let public = key.public_key().unwrap();
    let good = sign(&key, b"message");
    let keys = VerifyKeys::from(public);
    let secret = HEXLOWER.encode(public.as_bytes());
    let forged = load(&[(7, "hmac-sha256", &secret, None)]);
    let forged = sign(forged.iter().next().unwrap(), b"message");
    for (stated, signature) in [
        (SignatureAlgorithm::HmacSha256, &forged),
        (SignatureAlgorithm::HmacSha256, &good),
        (SignatureAlgorithm::Other(3), &good),
    ] {
        assert_eq!(
            keys.verify(stated, 7, b"message", signature),
            Err(SignatureRefusal::WrongAlgorithm {
                id: 7,
                stated,
                expected: SignatureAlgorithm::Ed25519
            })
        );
    }
    assert_eq!(
        keys.verify(SignatureAlgorithm::Ed25519, 7, b"message", &good),
        Ok(())
    );
}

#[test]
#[should_panic(expected = "length")]
fn room_of_another_length_is_the_callers_fault() {
    generate(7, Algorithm::Ed25519).sign(b"message", &mut [0; 63]);
}

const DIGITS: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

#[test]
fn latest_key_that_is_valid_is_active_from_its_very_moment() {
    let second = HostTime::from_unix(1_795_132_800, 0);
    let third = HostTime::from_unix(1_795_219_200, 0);
    // Ids and files in another order than the moments.
    let keys = load(&[
        (2, "ed25519", DIGITS, Some("2026-11-21T00:00:00Z")),
        (3, "hmac-sha256", DIGITS, None),
        (1, "ed25519", DIGITS, Some("2026-11-20T00:00:00Z")),
    ]);
    let active = |now: HostTime| keys.active(now).unwrap().key_id();
    let just_before = |moment: HostTime| HostTime::from_unix_nanos(moment.as_unix_nanos() - 1);
    assert_eq!(active(HostTime::from_unix_nanos(i64::MIN)), 3);
    assert_eq!(active(just_before(second)), 3);
    assert_eq!(active(second), 1);
    assert_eq!(active(just_before(third)), 1);
    assert_eq!(active(third), 2);
    assert_eq!(active(HostTime::from_unix_nanos(i64::MAX)), 2);
}

#[test]
fn no_key_is_active_before_the_first_is_valid() {
    let keys = load(&[(1, "ed25519", DIGITS, Some("2026-11-20T00:00:00Z"))]);
    assert!(
        keys.active(HostTime::from_unix(1_795_132_799, 999_999_999))
            .is_none()
    );
    assert!(keys.active(HostTime::from_unix(1_795_132_800, 0)).is_some());
}

#[test]
fn of_keys_valid_from_the_same_moment_the_highest_id_is_active() {
    let keys = load(&[(9, "ed25519", DIGITS, None), (4, "ed25519", DIGITS, None)]);
    assert_eq!(keys.active(HostTime::from_unix(0, 0)).unwrap().key_id(), 9);
}

/// The client got the next key beforehand and keeps the old one: it never meets an answer it cannot verify.
// tsq: M4
#[test]
fn client_with_both_keys_verifies_across_the_change() {
    let keys = load(&[
        (1, "ed25519", DIGITS, None),
        (2, "hmac-sha256", DIGITS, Some("2026-11-20T00:00:00Z")),
    ]);
    let client = keys.verify_keys();
    for (secs, expected) in [(1_795_132_799, 1), (1_795_132_800, 2)] {
        let key = keys.active(HostTime::from_unix(secs, 0)).unwrap();
        assert_eq!(key.key_id(), expected);
        let signature = sign(key, b"message");
        let verified = client.verify(Signer::algorithm(key), key.key_id(), b"message", &signature);
        assert_eq!(verified, Ok(()));
    }
}
