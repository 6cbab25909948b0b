//! Receipt files: what is kept can be checked, and nothing in them can change unseen.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::io::{Cursor, Write};
use std::path::Path;

use tsq_keys::{Algorithm, PrivateKey, SigningKey, SigningKeys, VerifyKeys};
use tsq_proto::{Contents, HostTime, Nonce, Offset, Prepared, Request, Signer};
use tsq_sync::receipt::{
    Checked, Flaw, Hash, Hex, Line, Problem, Proof, START, WriteError, append, last_signed, verify,
};

/// One signed exchange with a server 5 ms ahead, 10 us each way.
fn line(key: &SigningKey, number: u8) -> Line {
    let t1 = HostTime::from_unix(1_795_000_000 + i64::from(number), 0);
    let after = |nanos: i64| t1 + Offset::from_nanos(nanos);
    let mut request = [0; 64];
    let asked = Request::new(Nonce::new([number; 16])).with_signature();
    let length = asked.encode(&mut request).unwrap();
    let mut response = [0; 256];
    let contents = Contents {
        signer: Some(key),
        ..Contents::default()
    };
    let prepared =
        Prepared::answer_with(&asked, after(5_010_000), &contents, &mut response).unwrap();
    let response = prepared.stamp(after(5_012_000)).to_vec();
    Line {
        seq: 0,
        prev: START,
        server: "time.example".into(),
        address: "192.0.2.1:443".into(),
        request: Hex(request[..length].to_vec()),
        response: Hex(response),
        key_id: key.key_id(),
        algorithm: key.algorithm().name().into(),
        t1_ns: t1.as_unix_nanos(),
        t4_ns: after(22_000).as_unix_nanos(),
        action: "slew".into(),
        offset_ns: Some(5_000_000),
        bound_ns: Some(10_000),
        written_ns: after(1_000_000).as_unix_nanos(),
    }
}

struct Kept {
    keys: VerifyKeys,
    signing: SigningKey,
    directory: tempfile::TempDir,
}

impl Kept {
    fn new(algorithm: Algorithm) -> Self {
        let private = PrivateKey::generate(7, algorithm, None).unwrap();
        let set = SigningKeys::from(SigningKey::new(&private));
        Self {
            keys: set.verify_keys(),
            signing: SigningKey::new(&private),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("receipts.jsonl")
    }

    /// A file of three receipts, written in two runs.
    fn three(&self) -> Vec<u8> {
        append(
            &self.path(),
            vec![line(&self.signing, 1), line(&self.signing, 2)],
        )
        .unwrap();
        append(&self.path(), vec![line(&self.signing, 3)]).unwrap();
        std::fs::read(self.path()).unwrap()
    }

    fn check(&self, bytes: &[u8]) -> Result<(Checked, Vec<Proof>), Flaw> {
        self.check_head(bytes, None)
    }

    fn check_head(&self, bytes: &[u8], head: Option<Hash>) -> Result<(Checked, Vec<Proof>), Flaw> {
        let mut proofs = Vec::new();
        let checked = verify(&mut Cursor::new(bytes), &self.keys, head, &mut |p| {
            proofs.push(p.clone());
        })?;
        Ok((checked, proofs))
    }
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').collect()
}

#[test]
fn kept_exchanges_prove_where_the_time_was() {
    for algorithm in [Algorithm::Ed25519, Algorithm::HmacSha256] {
        let kept = Kept::new(algorithm);
        let (checked, proofs) = kept.check(&kept.three()).unwrap();
        assert_eq!((checked.lines, proofs.len()), (3, 3));
        let local = HostTime::from_unix(1_795_000_001, 22_000);
        assert_eq!(proofs[0].local, local);
        // T3 and T3 + delay of 20 us; the truth, 5 ms after local, is in the middle.
        assert_eq!(proofs[0].earliest - local, Offset::from_nanos(4_990_000));
        assert_eq!(proofs[0].latest - local, Offset::from_nanos(5_010_000));
    }
}

/// Files made by a program that shares no code with ours, valid and altered.
// tsq: M4 M5
#[test]
fn every_receipt_file_is_judged_as_its_vector_says() {
    const FILES: &str = include_str!("../../draft/vectors/receipts.json");
    let keys = vectors_keys();
    let files: serde_json::Value = serde_json::from_str(FILES).unwrap();
    let files = files["vectors"].as_array().unwrap();
    assert!(files.len() > 20, "only {}", files.len());
    for file in files {
        let name = &file["name"];
        let head = file["expect_head"]
            .as_str()
            .map(|head| head.parse().unwrap());
        let text = file["text"].as_str().unwrap();
        match verify(&mut Cursor::new(text), &keys, head, &mut |_| ()) {
            Ok(checked) => {
                let Checked {
                    lines,
                    head,
                    private,
                } = checked;
                let head = head.to_string();
                let meaning =
                    serde_json::json!({ "lines": lines, "head": head, "private": private });
                assert_eq!(meaning, file["meaning"], "{name}");
            }
            Err(flaw) => {
                assert_eq!(file["verdict"], "refused", "{name}: {flaw}");
                assert_eq!(flaw.line, file["line"].as_u64().unwrap(), "{name}: {flaw}");
            }
        }
    }
}

fn vectors_keys() -> VerifyKeys {
    const KEYS: &str = include_str!("../../draft/vectors/keys.json");
    let keys: serde_json::Value = serde_json::from_str(KEYS).unwrap();
    let file = |key: &serde_json::Value| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        // HMAC has no public half.
        let half = key.get("public").map_or("secret", |_| "public");
        let (id, algorithm, value) = (&key["id"], &key["algorithm"], &key[half]);
        write!(
            file,
            "id = {id}\nalgorithm = {algorithm}\n{half} = {value}\n"
        )
        .unwrap();
        file
    };
    let files: Vec<_> = keys["keys"].as_array().unwrap().iter().map(file).collect();
    let paths: Vec<_> = files.iter().map(tempfile::NamedTempFile::path).collect();
    VerifyKeys::load(&paths).unwrap()
}

#[test]
fn receipts_by_a_shared_key_are_told_apart() {
    for (algorithm, private) in [(Algorithm::Ed25519, 0), (Algorithm::HmacSha256, 3)] {
        let kept = Kept::new(algorithm);
        let (checked, proofs) = kept.check(&kept.three()).unwrap();
        assert_eq!(checked.private, private);
        for proof in proofs {
            assert_eq!(proof.algorithm, algorithm.name());
            assert_eq!(proof.proves_to_others(), private == 0);
        }
    }
}

/// A file with one line, changed and sealed again as a forger would.
fn forged(kept: &Kept, change: impl Fn(&mut Line)) -> Result<(Checked, Vec<Proof>), Flaw> {
    let mut line = line(&kept.signing, 1);
    change(&mut line);
    append(&kept.path(), vec![line]).unwrap();
    kept.check(&std::fs::read(kept.path()).unwrap())
}

#[test]
fn action_that_no_run_takes_is_refused_by_its_name() {
    for action in ["none", "slew", "step", "refused"] {
        assert!(forged(&Kept::new(Algorithm::Ed25519), |l| l.action = action.into()).is_ok());
    }
    for action in ["", "Slew", "leap", "step "] {
        let flaw = forged(&Kept::new(Algorithm::Ed25519), |l| l.action = action.into());
        let words = flaw.unwrap_err().to_string();
        let said = format!("line 1: the line is no receipt: the action is \"{action}\"");
        assert!(words.starts_with(&said), "{words}");
    }
}

// tsq: E3 E4
#[test]
fn exchange_at_the_end_of_what_nanoseconds_can_tell_is_not_cut_off_to_fit() {
    let kept = Kept::new(Algorithm::Ed25519);
    // T1 to T4 are 9 ns, and the server's time is past the end.
    let flaw = forged(&kept, |line| {
        line.t1_ns = i64::MAX - 9;
        line.t4_ns = i64::MAX;
        let t1 = HostTime::from_unix_nanos(line.t1_ns);
        let asked = Request::new(Nonce::new([1; 16])).with_signature();
        let mut response = [0; 256];
        let contents = Contents {
            signer: Some(&kept.signing),
            ..Contents::default()
        };
        let prepared = Prepared::answer_with(&asked, t1, &contents, &mut response).unwrap();
        let _ = prepared.stamp(t1);
        // A second later, and signed again.
        for at in [20, 30] {
            let seconds = u32::from_be_bytes(response[at..at + 4].try_into().unwrap());
            response[at..at + 4].copy_from_slice(&(seconds + 1).to_be_bytes());
        }
        let (message, block) = response.split_at_mut(38);
        kept.signing.sign(message, &mut block[9..73]);
        line.response = Hex(response[..38 + 73].to_vec());
    });
    let words = flaw.unwrap_err().to_string();
    assert_eq!(
        words,
        "line 1: proves nothing: the server's time is outside the years 1677 to 2262"
    );
}

#[test]
fn no_byte_can_change_unseen() {
    let kept = Kept::new(Algorithm::HmacSha256);
    let good = kept.three();
    for at in 0..good.len() {
        for flip in [0x01, 0x20, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            assert!(
                kept.check(&bad).is_err(),
                "byte {at} xor {flip:#x}: {:?}",
                bad[at] as char
            );
        }
    }
}

#[test]
fn removed_moved_doubled_and_cut_lines_are_named_by_number() {
    let kept = Kept::new(Algorithm::Ed25519);
    let good = kept.three();
    let [one, two, three] = lines(&good)[..] else {
        panic!("three lines")
    };
    for (bad, number) in [
        ([two, three].concat(), 1),
        ([one, three].concat(), 2),
        ([one, three, two].concat(), 2),
        ([one, two, two].concat(), 3),
        ([one, two, &three[..three.len() - 1]].concat(), 3),
        ([one, two, &three[..40]].concat(), 3),
        ([one, two, three, b"\n"].concat(), 4),
        (Vec::new(), 1),
    ] {
        assert_eq!(kept.check(&bad).unwrap_err().line, number);
    }
}

#[test]
fn lines_cut_off_whole_show_against_the_head_kept_elsewhere() {
    let kept = Kept::new(Algorithm::Ed25519);
    let good = kept.three();
    let (checked, _) = kept.check(&good).unwrap();
    assert!(kept.check_head(&good, Some(checked.head)).is_ok());
    let cut = lines(&good)[..2].concat();
    assert!(kept.check(&cut).is_ok(), "the file alone cannot tell");
    let flaw = kept.check_head(&cut, Some(checked.head)).unwrap_err();
    assert!(matches!(flaw.problem, Problem::Head { .. }), "{flaw}");
}

/// A forger can make the chain anew, but not the signatures.
#[test]
fn rewritten_chain_with_another_time_proves_nothing() {
    let kept = Kept::new(Algorithm::Ed25519);
    let forged = |change: &dyn Fn(&mut Line)| {
        let mut line = line(&kept.signing, 1);
        change(&mut line);
        let path = tempfile::NamedTempFile::new().unwrap();
        append(path.path(), vec![line]).unwrap();
        kept.check(&std::fs::read(path.path()).unwrap())
            .unwrap_err()
            .problem
    };
    // T3 in the answer; the nonce in the request; another request; the key named.
    assert!(matches!(
        forged(&|line| line.response.0[37] ^= 1),
        Problem::Answer(_)
    ));
    assert!(matches!(
        forged(&|line| line.request.0[2] ^= 1),
        Problem::Answer(_)
    ));
    assert!(matches!(
        forged(&|line| line.request.0.truncate(18)),
        Problem::Request(_)
    ));
    assert!(matches!(
        forged(&|line| line.request.0.truncate(9)),
        Problem::Request(_)
    ));
    assert!(matches!(
        forged(&|line| line.key_id = 8),
        Problem::OtherKey { .. }
    ));
    assert!(matches!(
        forged(&|line| line.algorithm = "hmac-sha256".into()),
        Problem::OtherKey { .. }
    ));
    assert!(matches!(
        forged(&|line| line.t4_ns = line.t1_ns - 1),
        Problem::Answer(_)
    ));
}

#[test]
fn another_key_is_not_believed() {
    let (kept, stranger) = (Kept::new(Algorithm::Ed25519), Kept::new(Algorithm::Ed25519));
    let flaw = stranger.check(&kept.three()).unwrap_err();
    assert_eq!(flaw.line, 1);
    assert!(matches!(flaw.problem, Problem::Answer(_)), "{flaw}");
}

/// A power failure must not keep the clock from being set for ever, nor take evidence away.
#[test]
fn file_with_a_broken_end_is_moved_aside_and_a_new_chain_begun() {
    let kept = Kept::new(Algorithm::Ed25519);
    let good = kept.three();
    let damaged = [&good[..], b"hello\n"].concat();
    let ends = [
        &good[..good.len() - 1],
        &good[..good.len() - 9],
        &damaged,
        &[0; 700],
    ];
    for (number, bad) in (1..).zip(ends) {
        std::fs::write(kept.path(), bad).unwrap();
        let aside = append(&kept.path(), Vec::new()).unwrap();
        let to = kept
            .directory
            .path()
            .join(format!("receipts.jsonl.broken-{number}"));
        let told = aside.map(|aside| aside.to_string()).unwrap();
        assert!(told.contains(&to.display().to_string()), "{told}");
        assert_eq!(std::fs::read(&to).unwrap(), bad);
        assert!(
            append(&kept.path(), vec![line(&kept.signing, 4)])
                .unwrap()
                .is_none()
        );
        let (checked, _) = kept.check(&std::fs::read(kept.path()).unwrap()).unwrap();
        assert_eq!(checked.lines, 1);
    }
    // The auditor sees what is missing.
    let torn = std::fs::read(kept.directory.path().join("receipts.jsonl.broken-2")).unwrap();
    assert_eq!(kept.check(&torn).unwrap_err().line, 3);
}

/// A word mistaken for another must not take a key, a configuration or a device away.
#[test]
fn file_that_never_held_receipts_is_left_as_it_is() {
    let kept = Kept::new(Algorithm::Ed25519);
    let folder = kept.directory.path();
    for other in ["root:x:0:0::/root:/bin/sh\n", "{\"key\": 1}\n", "x"] {
        std::fs::write(kept.path(), other).unwrap();
        let error = append(&kept.path(), Vec::new()).unwrap_err().to_string();
        assert!(error.contains("left as it is"), "{error}");
        assert_eq!(std::fs::read_to_string(kept.path()).unwrap(), other);
    }
    let pipe = folder.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for path in [folder, &pipe, Path::new("/dev/null")] {
        let error = append(path, Vec::new()).unwrap_err();
        assert!(matches!(error, WriteError::Foreign { .. }), "{error}");
    }
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 2);
}

/// What a link leads to is the file, and who may read it stays so.
#[test]
fn broken_file_behind_a_link_is_moved_where_it_is_with_its_mode() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let kept = Kept::new(Algorithm::Ed25519);
    let good = kept.three();
    std::fs::write(kept.path(), &good[..good.len() - 9]).unwrap();
    std::fs::set_permissions(kept.path(), PermissionsExt::from_mode(0o600)).unwrap();
    let other = tempfile::tempdir().unwrap();
    let link = other.path().join("link");
    symlink(kept.path(), &link).unwrap();
    assert!(
        append(&link, vec![line(&kept.signing, 4)])
            .unwrap()
            .is_some()
    );
    assert!(link.is_symlink());
    let metadata = std::fs::metadata(kept.path()).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let (checked, _) = kept.check(&std::fs::read(kept.path()).unwrap()).unwrap();
    assert_eq!(checked.lines, 1);
    assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 1);
}

/// The kernel writes what fits, and then no more, as on a full disk.
#[test]
fn receipt_for_which_the_disk_has_no_room_leaves_the_file_as_it_was() {
    const ROOM: &str = "TSQ_TEST_RECEIPTS";
    let name = "receipt_for_which_the_disk_has_no_room_leaves_the_file_as_it_was";
    let Some(folder) = std::env::var_os(ROOM) else {
        // The limit is on a whole process, so there is one of its own, with blocks of 1024 bytes.
        let kept = Kept::new(Algorithm::Ed25519);
        let limited = "trap '' XFSZ; ulimit -f 2; exec \"$0\" --exact \"$1\"";
        let outcome = std::process::Command::new("bash")
            .args(["-c", limited])
            .arg(std::env::current_exe().unwrap())
            .arg(name)
            .env(ROOM, kept.directory.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&outcome.stdout);
        assert!(
            outcome.status.success() && said.contains("1 passed"),
            "{outcome:?}"
        );
        return;
    };
    let kept = Kept::new(Algorithm::Ed25519);
    let path = Path::new(&folder).join("receipts.jsonl");
    let two = || vec![line(&kept.signing, 1), line(&kept.signing, 2)];
    append(&path, two()).unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!((1025..2048).contains(&before.len()), "{}", before.len());
    for _ in 0..2 {
        let error = append(&path, two()).unwrap_err().to_string();
        assert!(error.contains("cannot keep a receipt"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
    assert_eq!(kept.check(&before).unwrap().0.lines, 2);
}

#[test]
fn only_lines_that_are_verified_in_a_file_of_ours_raise_the_floor() {
    use std::os::unix::fs::PermissionsExt;

    let (kept, stranger) = (Kept::new(Algorithm::Ed25519), Kept::new(Algorithm::Ed25519));
    let good = kept.three();
    let path = kept.path();
    let floor = last_signed(&path, &kept.keys).unwrap().unwrap();
    // Of the third: T1 + 5 ms - 10 us, which is before the server's T2.
    let third = HostTime::from_unix(1_795_000_003, 4_990_000);
    assert_eq!(floor, third);
    assert_eq!(last_signed(&path, &stranger.keys).unwrap(), None);
    // A line that is torn takes nothing from those before it.
    std::fs::write(&path, [&good[..], b"{\"seq\""].concat()).unwrap();
    assert_eq!(last_signed(&path, &kept.keys).unwrap(), Some(third));
    for (what, mode, safe) in [
        (path.as_path(), 0o666, 0o644),
        (kept.directory.path(), 0o777, 0o700),
    ] {
        let set =
            |mode| std::fs::set_permissions(what, std::fs::Permissions::from_mode(mode)).unwrap();
        set(mode);
        let error = last_signed(&path, &kept.keys).unwrap_err().to_string();
        assert!(error.contains("may be written by others"), "{error}");
        set(safe);
        assert!(last_signed(&path, &kept.keys).unwrap().is_some());
    }
    assert_eq!(
        last_signed(Path::new("/nonexistent/r"), &kept.keys).unwrap(),
        None
    );
}

#[test]
fn unwritable_file_is_named() {
    let kept = Kept::new(Algorithm::Ed25519);
    let error = append(Path::new("/nonexistent/r"), vec![line(&kept.signing, 1)])
        .unwrap_err()
        .to_string();
    assert!(error.contains("/nonexistent/r"), "{error}");
}
