//! Key files as operators write them: what is read, and every refusal with its numbers.
#![expect(
    clippy::unwrap_used,
    reason = "the lint spares #[test] functions, not their helpers"
)]

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;
use tsq_keys::{Algorithm, Error, PrivateKey, Problem, SigningKeys, VerifyKeys};
use tsq_proto::{HostTime, Signer};

/// RFC 8032, section 7.1, test 1.
const SECRET: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

struct Dir(TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, mode: u32, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn private(&self, id: u32, algorithm: &str) -> PathBuf {
        self.file(&format!("{id}.key"), 0o600, &private(id, algorithm))
    }

    fn public(&self, id: u32) -> PathBuf {
        let text = format!("id = {id}\nalgorithm = \"ed25519\"\npublic = \"{PUBLIC}\"\n");
        self.file(&format!("{id}.key.pub"), 0o644, &text)
    }
}

fn private(id: u32, algorithm: &str) -> String {
    format!("id = {id}\nalgorithm = \"{algorithm}\"\nsecret = \"{SECRET}\"\n")
}

/// Why a private file with this text is refused; the refusal names the file and never shows the secret.
fn refused(text: &str) -> Problem {
    let dir = Dir::new();
    let path = dir.file("bad.key", 0o600, text);
    let error = SigningKeys::load(&[&path]).unwrap_err();
    assert_eq!(error.path, path);
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("bad.key"), "{shown}");
    assert!(!shown.contains("9d61b1"), "{shown}");
    error.problem
}

#[test]
fn both_kinds_of_private_file_are_read() {
    let dir = Dir::new();
    let paths = [dir.private(7, "ed25519"), dir.private(8, "hmac-sha256")];
    let keys = SigningKeys::load(&paths).unwrap();
    let found: Vec<_> = keys
        .iter()
        .map(|key| (key.key_id(), key.algorithm()))
        .collect();
    assert_eq!(found, [(7, Algorithm::Ed25519), (8, Algorithm::HmacSha256)]);
    let public = keys.iter().next().unwrap().public_key().unwrap();
    assert!(public.to_toml().contains(PUBLIC), "{}", public.to_toml());
}

#[test]
fn written_keys_are_read_back() {
    let dir = Dir::new();
    let moment = Some(HostTime::from_unix_nanos(1_795_176_000_000_000_001));
    for (algorithm, valid_from) in [
        (Algorithm::Ed25519, None),
        (Algorithm::Ed25519, moment),
        (Algorithm::HmacSha256, moment),
    ] {
        let key = PrivateKey::generate(u32::MAX, algorithm, valid_from).unwrap();
        let keys = SigningKeys::load(&[dir.file("key", 0o600, &key.to_toml())]).unwrap();
        let read = keys.iter().next().unwrap();
        assert_eq!((read.key_id(), read.algorithm()), (u32::MAX, algorithm));
        assert_eq!(read.valid_from(), valid_from);
        assert_eq!(read.public_key(), key.public_key());
    }
}

#[test]
fn clients_read_public_files_and_hmac_files() {
    let dir = Dir::new();
    let keys = VerifyKeys::load(&[dir.private(8, "hmac-sha256"), dir.public(7)]).unwrap();
    assert_eq!(keys.ids().collect::<Vec<_>>(), [7, 8]);
}

#[test]
fn no_file_at_all_makes_an_empty_set() {
    let none: [PathBuf; 0] = [];
    let now = HostTime::from_unix(1_795_176_000, 0);
    assert!(SigningKeys::load(&none).unwrap().active(now).is_none());
    assert_eq!(VerifyKeys::load(&none).unwrap().ids().count(), 0);
}

#[test]
fn secret_that_others_can_get_at_is_refused() {
    let dir = Dir::new();
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o777] {
        let path = dir.file("open.key", mode, &private(8, "hmac-sha256"));
        for error in [
            SigningKeys::load(&[&path]).unwrap_err(),
            VerifyKeys::load(&[&path]).unwrap_err(),
        ] {
            assert!(
                matches!(error.problem, Problem::Permissions { mode: told } if told == mode),
                "{mode:o}: {error}"
            );
            assert!(
                error.to_string().contains(&format!("{mode:04o}")),
                "{error}"
            );
        }
    }
}

#[test]
fn secret_of_its_owner_alone_and_public_key_of_all_are_accepted() {
    let dir = Dir::new();
    for mode in [0o600, 0o400, 0o700] {
        let path = dir.file("private.key", mode, &private(8, "hmac-sha256"));
        assert!(SigningKeys::load(&[path]).is_ok(), "{mode:o}");
    }
    assert!(VerifyKeys::load(&[dir.public(7)]).is_ok());
}

#[test]
fn duplicate_id_is_refused_with_both_files() {
    let dir = Dir::new();
    let [signing, other] = ["ed25519", "hmac-sha256"]
        .map(|algorithm| dir.file(algorithm, 0o600, &private(7, algorithm)));
    let public = dir.public(7);
    for (refused, first, second) in [
        (
            SigningKeys::load(&[&signing, &other]).err(),
            &signing,
            &other,
        ),
        (
            SigningKeys::load(&[&signing, &signing]).err(),
            &signing,
            &signing,
        ),
        (VerifyKeys::load(&[&public, &other]).err(), &public, &other),
    ] {
        let error = refused.unwrap();
        assert_eq!(&error.path, second);
        assert!(
            matches!(&error.problem, Problem::DuplicateId { id: 7, first: told } if told == first),
            "{error}"
        );
    }
}

#[test]
fn missing_file_is_refused_with_its_name() {
    let missing = PathBuf::from("no-such.key");
    for error in [
        SigningKeys::load(&[&missing]).unwrap_err(),
        VerifyKeys::load(&[&missing]).unwrap_err(),
    ] {
        let Error {
            path,
            problem: Problem::Unreadable(source),
        } = &error
        else {
            panic!("{error}")
        };
        assert_eq!((path, source.kind()), (&missing, io::ErrorKind::NotFound));
        assert!(error.to_string().contains("no-such.key"), "{error}");
    }
}

#[test]
fn files_that_are_no_text_or_too_long_are_refused() {
    let dir = Dir::new();
    let problem = |path: PathBuf| SigningKeys::load(&[path]).unwrap_err().problem;
    assert!(matches!(problem(dir.path(".")), Problem::Unreadable(_)));

    let binary = dir.path("binary");
    fs::write(&binary, [0xff; 32]).unwrap();
    assert!(matches!(problem(binary), Problem::Unreadable(_)));

    let key = private(7, "ed25519");
    let limit = 16 * 1024;
    let padded = |len: usize| key.clone() + "#" + &"x".repeat(len - key.len() - 1);
    assert!(SigningKeys::load(&[dir.file("full", 0o600, &padded(limit))]).is_ok());
    let over = problem(dir.file("over", 0o600, &padded(limit + 1)));
    assert!(matches!(over, Problem::TooLong { limit: 16_384 }), "{over}");
}

#[test]
fn unknown_algorithm_is_refused_by_name() {
    for name in ["rsa", "", "Ed25519", "hmac-sha1"] {
        let problem = refused(&private(7, name));
        assert!(
            matches!(&problem, Problem::UnknownAlgorithm { name: told } if told == name),
            "{problem}"
        );
    }
}

#[test]
fn secret_of_another_length_is_refused_with_the_number() {
    for len in [0, 2, 62, 63] {
        let problem = refused(&private(7, "ed25519").replace(SECRET, &SECRET[..len]));
        assert!(
            matches!(problem, Problem::WrongLength { field: "secret", len: told } if told == len),
            "{problem}"
        );
    }
    let problem = refused(&private(7, "ed25519").replace(SECRET, &format!("{SECRET}00")));
    assert!(
        matches!(problem, Problem::WrongLength { len: 66, .. }),
        "{problem}"
    );
}

#[test]
fn secret_that_is_not_hexadecimal_is_refused_with_the_place() {
    let problem = refused(&private(7, "ed25519").replace("9d61", "9dx1"));
    assert!(
        matches!(
            problem,
            Problem::NotHex {
                field: "secret",
                at: 3
            }
        ),
        "{problem}"
    );
}

#[test]
fn bad_public_keys_are_refused_alike() {
    let dir = Dir::new();
    let problem = |digits: &str| {
        let text = format!("id = 7\nalgorithm = \"ed25519\"\npublic = \"{digits}\"\n");
        let path = dir.file("bad.pub", 0o644, &text);
        VerifyKeys::load(&[path]).unwrap_err().problem
    };
    let short = problem(&PUBLIC[..62]);
    assert!(
        matches!(
            short,
            Problem::WrongLength {
                field: "public",
                len: 62
            }
        ),
        "{short}"
    );
    let other = problem(&PUBLIC.replace("d7", "d:"));
    assert!(
        matches!(
            other,
            Problem::NotHex {
                field: "public",
                at: 2
            }
        ),
        "{other}"
    );
}

#[test]
fn unknown_missing_and_mistyped_fields_are_refused_with_the_line() {
    let good = private(7, "ed25519");
    for (text, line, named) in [
        (good.clone() + "sekret = 1\n", 4, "sekret"),
        (good.clone() + "\n[more]\nid = 8\n", 5, "more"),
        (good.replace("id = 7\n", ""), 1, "id"),
        (good.replace("algorithm", "# algorithm"), 1, "algorithm"),
        (good.replace("id = 7", "id = -1"), 1, "-1"),
        (good.replace("id = 7", "id = 4294967296"), 1, "4294967296"),
        (good.replace("id = 7", "id = \"7\""), 1, "string"),
        (good.clone() + "id = 8\n", 4, "duplicate"),
        (good.clone() + "valid_from = 5\n", 4, "RFC 3339"),
        (good.clone() + "garbage\n", 4, ""),
    ] {
        let problem = refused(&text);
        let Problem::Malformed { line: told, reason } = &problem else {
            panic!("{text}: {problem}")
        };
        assert_eq!(*told, line, "{text}: {reason}");
        assert!(reason.contains(named), "{text}: {reason}");
        assert_eq!(reason.lines().count(), 1, "{reason}");
    }
}

/// `refused` looks for the secret in the error; here the parser stumbles over the secret itself.
#[test]
fn secret_written_wrongly_is_not_shown() {
    let good = private(7, "ed25519");
    let quoted = format!("\"{SECRET}\"");
    for wrong in [
        SECRET.to_owned(),
        format!("[{quoted}]"),
        format!("{{ {quoted} = 1 }}"),
        format!("\"{SECRET}"),
        format!("{quoted}{quoted}"),
        format!("{quoted}\nsecret = {quoted}"),
        "9_61_19".into(),
        "0x9d61b1".into(),
        "true".into(),
    ] {
        let problem = refused(&good.replace(&quoted, &wrong));
        assert!(
            matches!(problem, Problem::Malformed { .. }),
            "{wrong}: {problem}"
        );
    }
}

#[test]
fn valid_from_is_read_quoted_and_as_toml_writes_moments() {
    let dir = Dir::new();
    for moment in [
        "\"2026-11-20T12:00:00Z\"",
        "2026-11-20T12:00:00Z",
        "2026-11-20 13:00:00+01:00",
    ] {
        let text = private(7, "ed25519") + &format!("valid_from = {moment}\n");
        let keys = SigningKeys::load(&[dir.file("key", 0o600, &text)]).unwrap();
        let noon = Some(HostTime::from_unix(1_795_176_000, 0));
        assert_eq!(keys.iter().next().unwrap().valid_from(), noon, "{moment}");
    }
}

#[test]
fn bad_valid_from_is_refused_with_its_text() {
    for (written, shown) in [("\"tomorrow\"", "tomorrow"), ("2026-11-20", "2026-11-20")] {
        let problem = refused(&(private(7, "ed25519") + &format!("valid_from = {written}\n")));
        assert!(
            matches!(&problem, Problem::BadValidFrom { text } if text == shown),
            "{problem}"
        );
    }
}

#[test]
fn contradictory_fields_are_refused() {
    let good = private(7, "ed25519");
    let public = good.replace("secret", "public");
    for (text, named) in [
        (
            good.clone() + &format!("public = \"{PUBLIC}\"\n"),
            "one file",
        ),
        (good.replace("secret", "# secret"), "neither"),
        (public.replace("ed25519", "hmac-sha256"), "HMAC"),
        (
            public + "valid_from = \"2026-11-20T00:00:00Z\"\n",
            "valid_from",
        ),
    ] {
        let problem = refused(&text);
        assert!(
            matches!(problem, Problem::Contradictory(reason) if reason.contains(named)),
            "{problem}"
        );
    }
}

#[test]
fn public_key_cannot_sign() {
    let dir = Dir::new();
    let error = SigningKeys::load(&[dir.public(7)]).unwrap_err();
    assert!(
        matches!(error.problem, Problem::CannotSign { id: 7 }),
        "{error}"
    );
}

#[test]
fn ed25519_secret_is_refused_where_the_public_half_is_enough() {
    let dir = Dir::new();
    let error = VerifyKeys::load(&[dir.private(7, "ed25519")]).unwrap_err();
    assert!(
        matches!(error.problem, Problem::SecretNotNeeded { id: 7 }),
        "{error}"
    );
}
