//! Runs `tsq-certs` as an operator does, and checks its files with x509-parser and `openssl`.
#![expect(
    clippy::unwrap_used,
    reason = "the lint spares #[test] functions, not their helpers"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;
use tsq_keys::{SigningKeys, VerifyKeys};
use tsq_proto::{HostTime, Signer, Verifier};
use x509_parser::pem::Pem;
use x509_parser::prelude::{GeneralName, X509Certificate};

fn certs(dir: &Path, args: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tsq-certs"))
        .args(args.split_whitespace())
        .current_dir(dir)
        .output()
        .unwrap()
}

/// Runs a command that must succeed and returns its stdout.
fn done(dir: &Path, args: &str) -> String {
    let output = certs(dir, args);
    assert!(output.status.success(), "{args}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail and returns its exit code and its one line.
fn refused(dir: &Path, args: &str) -> (i32, String) {
    let output = certs(dir, args);
    assert!(output.stdout.is_empty(), "{args}: {output:?}");
    let line = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), line)
}

/// A directory holding a CA in `ca`.
fn with_ca() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    done(dir.path(), "ca --out ca");
    dir
}

fn inspect(pem: &Path, check: impl FnOnce(&X509Certificate<'_>)) {
    let text = fs::read(pem).unwrap();
    let blocks: Vec<_> = Pem::iter_from_buffer(&text).map(Result::unwrap).collect();
    assert_eq!(blocks.len(), 1, "one certificate and nothing else");
    check(&blocks[0].parse_x509().unwrap());
}

/// The stdout of `openssl`, or `None` where it is not installed.
fn openssl(dir: &Path, args: &str) -> Option<Output> {
    Command::new("openssl")
        .args(args.split_whitespace())
        .current_dir(dir)
        .output()
        .ok()
}

#[test]
fn ca_may_sign_servers_but_no_further_cas() {
    let dir = with_ca();
    inspect(&dir.path().join("ca/ca.pem"), |ca| {
        let constraints = ca.basic_constraints().unwrap().unwrap();
        assert!(constraints.critical && constraints.value.ca);
        assert_eq!(constraints.value.path_len_constraint, Some(0));
        assert_eq!(ca.subject().to_string(), "CN=TSQ CA");
        let days =
            (ca.validity().not_after.timestamp() - ca.validity().not_before.timestamp()) / 86_400;
        assert_eq!(days, 3651);
    });
}

#[test]
fn server_certificate_carries_each_name_in_its_own_type() {
    let dir = with_ca();
    let made = "server --ca ca --out s --name time.example.org --name 192.0.2.1 --name 2001:db8::1";
    done(dir.path(), made);
    inspect(&dir.path().join("s/cert.pem"), |leaf| {
        let names = leaf.subject_alternative_name().unwrap().unwrap();
        let v6 = "2001:db8::1"
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
            .octets();
        let expected = [
            GeneralName::DNSName("time.example.org"),
            GeneralName::IPAddress(&[192, 0, 2, 1]),
            GeneralName::IPAddress(&v6),
        ];
        assert_eq!(names.value.general_names, expected);
        assert!(!leaf.is_ca());
        assert!(
            leaf.extended_key_usage()
                .unwrap()
                .unwrap()
                .value
                .server_auth
        );
        assert_eq!(leaf.issuer().to_string(), "CN=TSQ CA");
        assert_eq!(
            leaf.public_key().algorithm.algorithm.to_id_string(),
            "1.2.840.10045.2.1"
        );
    });
}

#[test]
fn ed25519_is_made_on_request() {
    let dir = with_ca();
    done(
        dir.path(),
        "server --ca ca --out s --name localhost --key ed25519",
    );
    inspect(&dir.path().join("s/cert.pem"), |leaf| {
        assert_eq!(
            leaf.public_key().algorithm.algorithm.to_id_string(),
            "1.3.101.112"
        );
    });
}

#[test]
fn openssl_verifies_both_key_types_against_the_ca() {
    let dir = with_ca();
    for key in ["p256", "ed25519"] {
        done(
            dir.path(),
            &format!("server --ca ca --out {key} --name localhost --name 127.0.0.1 --key {key}"),
        );
        let verify = format!(
            "verify -x509_strict -purpose sslserver -verify_hostname localhost -CAfile ca/ca.pem {key}/cert.pem"
        );
        let Some(verified) = openssl(dir.path(), &verify) else {
            return eprintln!("skipped: no openssl here");
        };
        assert!(verified.status.success(), "{key}: {verified:?}");
        let verify = format!("verify -verify_ip 127.0.0.2 -CAfile ca/ca.pem {key}/cert.pem");
        assert!(
            !openssl(dir.path(), &verify).unwrap().status.success(),
            "wrong address accepted"
        );
    }
}

#[test]
fn pin_is_what_openssl_computes() {
    let dir = with_ca();
    done(dir.path(), "server --ca ca --out s --name localhost");
    let pin = done(dir.path(), "pin s/cert.pem");
    assert!(
        pin.len() == 65
            && pin
                .bytes()
                .take(64)
                .all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')),
        "{pin:?}"
    );

    let pipeline = "openssl x509 -in s/cert.pem -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -r";
    if openssl(dir.path(), "version").is_none() {
        return eprintln!("skipped: no openssl here");
    }
    let shell = Command::new("sh")
        .args(["-c", pipeline])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let digest = String::from_utf8(shell.stdout).unwrap();
    assert_eq!(pin.trim_end(), digest.split(' ').next().unwrap());
}

#[test]
fn making_prints_the_pin_that_pin_prints() {
    let dir = tempfile::tempdir().unwrap();
    let made = done(dir.path(), "self-signed --out s --name localhost");
    let pin = done(dir.path(), "pin s/cert.pem");
    assert!(made.contains(&pin), "{made}");
}

#[test]
fn several_pins_are_printed_with_their_files() {
    let dir = with_ca();
    done(dir.path(), "self-signed --out s --name localhost");
    let (ca, leaf) = (
        done(dir.path(), "pin ca/ca.pem"),
        done(dir.path(), "pin s/cert.pem"),
    );
    let both = done(dir.path(), "pin ca/ca.pem s/cert.pem");
    assert_eq!(
        both,
        format!(
            "{}  ca/ca.pem\n{}  s/cert.pem\n",
            ca.trim_end(),
            leaf.trim_end()
        )
    );

    let json: serde_json::Value =
        serde_json::from_str(&done(dir.path(), "pin --json ca/ca.pem s/cert.pem")).unwrap();
    assert_eq!(json["pins"][0]["pin"], ca.trim_end());
    assert_eq!(json["pins"][1]["file"], "s/cert.pem");
    assert_eq!(json["pins"][1]["pin"], leaf.trim_end());
}

#[test]
fn pin_finds_the_certificate_behind_the_key() {
    let dir = tempfile::tempdir().unwrap();
    done(dir.path(), "self-signed --out s --name localhost");
    let read = |name| fs::read_to_string(dir.path().join(name)).unwrap();
    fs::write(
        dir.path().join("both.pem"),
        read("s/key.pem") + &read("s/cert.pem"),
    )
    .unwrap();
    assert_eq!(
        done(dir.path(), "pin both.pem"),
        done(dir.path(), "pin s/cert.pem")
    );
}

#[test]
fn keys_are_private_and_certificates_public() {
    let dir = with_ca();
    done(
        dir.path(),
        "server --ca ca --out deep/down --name localhost",
    );
    let mode = |name: &str| {
        fs::metadata(dir.path().join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("ca/ca-key.pem"), 0o600);
    assert_eq!(mode("deep/down/key.pem"), 0o600);
    assert_eq!(mode("deep/down/cert.pem") & 0o400, 0o400);
}

#[test]
fn signing_keys_are_made_as_servers_and_clients_load_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name| dir.path().join(name);
    let printed = done(
        dir.path(),
        "signing-key --out keys/7.key --id 7 --valid-from 2026-11-20T12:00:00Z",
    );
    assert!(
        printed.contains("signing key keys/7.key\npublic key  keys/7.key.pub\nkey id      7\n"),
        "{printed}"
    );
    let printed = done(
        dir.path(),
        "signing-key --out 8.key --id 8 --algorithm hmac-sha256",
    );
    assert!(printed.contains("none"), "{printed}");
    assert!(!path("8.key.pub").exists());

    let signing = SigningKeys::load(&[path("keys/7.key"), path("8.key")]).unwrap();
    let client = VerifyKeys::load(&[path("keys/7.key.pub"), path("8.key")]).unwrap();
    let noon = HostTime::from_unix(1_795_176_000, 0);
    for (now, id) in [(HostTime::from_unix(1_795_175_999, 0), 8), (noon, 7)] {
        let key = signing.active(now).unwrap();
        assert_eq!(key.key_id(), id);
        let mut signature = vec![0; key.signature_len()];
        key.sign(b"answer", &mut signature);
        let verified = client.verify(Signer::algorithm(key), id, b"answer", &signature);
        assert_eq!(verified, Ok(()));
    }
}

#[test]
fn signing_key_is_private_and_its_public_half_has_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let printed = done(dir.path(), "signing-key --out 7.key --id 7");
    let read = |name| fs::read_to_string(dir.path().join(name)).unwrap();
    let mode = fs::metadata(dir.path().join("7.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let (private, public) = (read("7.key"), read("7.key.pub"));
    let secret = private
        .lines()
        .find_map(|line| line.strip_prefix("secret = "))
        .unwrap();
    assert_eq!(secret.len(), 66);
    assert!(!public.contains(secret.trim_matches('"')), "{public}");
    assert!(!printed.contains(secret.trim_matches('"')), "{printed}");
}

#[test]
fn signing_key_may_begin_relative_to_now() {
    let dir = tempfile::tempdir().unwrap();
    done(
        dir.path(),
        "signing-key --out 7.key --id 7 --valid-from +1d",
    );
    let keys = SigningKeys::load(&[dir.path().join("7.key")]).unwrap();
    let begins = keys.iter().next().unwrap().valid_from().unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let from_now = begins.as_unix_nanos() / 1_000_000_000 - i64::try_from(now).unwrap();
    assert!(
        (86_340..=86_400).contains(&from_now),
        "{from_now} s from now"
    );
}

#[test]
fn existing_signing_key_is_kept_and_no_half_is_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    done(dir.path(), "signing-key --out 7.key --id 7");
    fs::write(dir.path().join("8.key.pub"), "mine").unwrap();
    for (name, again) in [
        ("7.key", "signing-key --out 7.key --id 7"),
        (
            "7.key",
            "signing-key --out 7.key --id 7 --algorithm hmac-sha256",
        ),
        ("8.key.pub", "signing-key --out 8.key --id 8"),
    ] {
        let before = fs::read(dir.path().join(name)).unwrap();
        let (code, line) = refused(dir.path(), again);
        assert_eq!((code, line.lines().count()), (1, 1), "{line}");
        assert!(line.contains(&format!("{name} exists")), "{line}");
        assert_eq!(fs::read(dir.path().join(name)).unwrap(), before);
    }
    assert!(!dir.path().join("8.key").exists());
}

#[test]
fn existing_key_is_kept_and_the_refusal_is_one_line() {
    let dir = with_ca();
    done(dir.path(), "self-signed --out s --name localhost");
    for (key, again) in [
        ("ca/ca-key.pem", "ca --out ca"),
        ("s/key.pem", "self-signed --out s --name localhost"),
        ("s/key.pem", "server --ca ca --out s --name localhost"),
    ] {
        let before = fs::read(dir.path().join(key)).unwrap();
        let (code, line) = refused(dir.path(), again);
        assert_eq!((code, line.lines().count()), (1, 1), "{line}");
        assert!(line.contains(key) && line.contains("exists"), "{line}");
        assert_eq!(fs::read(dir.path().join(key)).unwrap(), before);
    }
}

#[test]
fn existing_certificate_is_kept_and_no_key_is_left_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("s")).unwrap();
    fs::write(dir.path().join("s/cert.pem"), "mine").unwrap();
    let (code, line) = refused(dir.path(), "self-signed --out s --name localhost");
    assert_eq!(code, 1);
    assert!(line.contains("s/cert.pem exists"), "{line}");
    assert_eq!(fs::read(dir.path().join("s/cert.pem")).unwrap(), b"mine");
    assert!(!dir.path().join("s/key.pem").exists());
}

#[test]
fn expired_and_not_yet_valid_certificates_can_be_made_for_tests() {
    let dir = with_ca();
    done(
        dir.path(),
        "server --ca ca --out old --name localhost --not-before -10d --not-after -2h",
    );
    done(
        dir.path(),
        "self-signed --out new --name localhost --not-before +1d --not-after 2100-01-01",
    );
    inspect(&dir.path().join("old/cert.pem"), |old| {
        assert!(!old.validity().is_valid());
        assert!(old.validity().not_before < old.validity().not_after);
    });
    inspect(&dir.path().join("new/cert.pem"), |new| {
        assert!(!new.validity().is_valid());
        assert_eq!(new.validity().not_after.timestamp(), 4_102_444_800);
    });
}

#[test]
fn wrong_arguments_exit_2_and_leave_no_files() {
    let dir = with_ca();
    for args in [
        "server --ca ca --out s",
        "server --ca ca --out s --name not:a:name",
        "server --ca ca --out s --name localhost --key rsa",
        "server --ca ca --out s --name localhost --not-after never",
        "server --ca ca --out s --name localhost --not-after -2d",
        "server --ca ca --out s --name localhost --not-after +2d --days 5",
        "self-signed --out s --name localhost --days 4000000000",
        "self-signed --out s --name localhost --days 0",
        "ca --out s --days 36501",
        "ca --out s --name=",
        "client --ca ca --out s",
        "client --ca ca --out s --name=",
        "signing-key --out s",
        "signing-key --id 7",
        "signing-key --out s --id -1",
        "signing-key --out s --id 4294967296",
        "signing-key --out s --id 7 --algorithm rsa",
        "signing-key --out s --id 7 --valid-from never",
        "signing-key --out s --id 7 --valid-from 2263-01-01",
        "pin",
        "",
    ] {
        let (code, line) = refused(dir.path(), args);
        assert_eq!(code, 2, "{args}: {line}");
        assert!(!dir.path().join("s").exists(), "{args}");
    }
}

#[test]
fn days_out_of_range_are_told_with_the_range() {
    let dir = tempfile::tempdir().unwrap();
    for days in ["0", "36501"] {
        let (_, text) = refused(dir.path(), &format!("ca --out s --days {days}"));
        assert!(text.contains("1..=36500"), "{text}");
    }
}

#[test]
fn certificate_that_outlives_its_authority_is_made_with_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    done(dir.path(), "ca --out ca --days 30");
    for (args, warned) in [
        ("server --ca ca --out a --name localhost --days 29", false),
        ("server --ca ca --out b --name localhost --days 31", true),
        ("client --ca ca --out c --name c --days 31", true),
    ] {
        let output = certs(dir.path(), args);
        assert!(output.status.success(), "{args}: {output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.contains("outlives its authority"), warned, "{text}");
    }
}

#[test]
fn client_certificate_is_for_clients_alone() {
    let dir = with_ca();
    done(dir.path(), "client --ca ca --out c --name laptop");
    inspect(&dir.path().join("c/cert.pem"), |certificate| {
        let usage = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth);
        assert!(!certificate.is_ca());
    });
}

#[test]
fn unusable_files_exit_1_and_are_named() {
    let dir = with_ca();
    fs::write(dir.path().join("junk"), "junk").unwrap();
    fs::create_dir(dir.path().join("half")).unwrap();
    fs::copy(dir.path().join("ca/ca.pem"), dir.path().join("half/ca.pem")).unwrap();
    for (args, named) in [
        ("pin junk", "junk"),
        ("pin missing.pem", "missing.pem"),
        ("pin ca/ca-key.pem", "ca-key.pem"),
        (
            "server --ca half --out s --name localhost",
            "half/ca-key.pem",
        ),
        ("self-signed --out junk --name localhost", "junk"),
        ("signing-key --out junk/7.key --id 7", "junk"),
    ] {
        let (code, line) = refused(dir.path(), args);
        assert_eq!((code, line.lines().count()), (1, 1), "{args}: {line}");
        assert!(line.contains(named), "{args}: {line}");
    }
}

/// As on a full disk, from the first byte on.
#[test]
fn file_that_was_written_in_part_is_not_in_the_way_of_the_next_try() {
    let dir = tempfile::tempdir().unwrap();
    for (words, rest) in [("ca --out ca", "ca"), ("signing-key --out key --id 7", ".")] {
        let limited = Command::new("bash")
            .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" $1"])
            .args([env!("CARGO_BIN_EXE_tsq-certs"), words])
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(!limited.status.success(), "{limited:?}");
        let left = fs::read_dir(dir.path().join(rest)).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name == "ca"), "{left:?}");
        done(dir.path(), words);
    }
}
