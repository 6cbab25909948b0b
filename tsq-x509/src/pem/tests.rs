use super::*;

fn pair() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["a.example".to_string()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn authority() -> String {
    pair().0
}

fn count(text: impl AsRef<[u8]>) -> usize {
    certificates(text.as_ref()).map_or_else(|error| panic!("{error}"), |found| found.len())
}

fn section(label: &str) -> String {
    format!("-----BEGIN {label}-----\nMAMCAQE=\n-----END {label}-----\n")
}

#[test]
fn whatever_systems_and_people_do_to_a_file_is_taken() {
    let ((leaf, key), issuer) = (pair(), authority());
    let chain = format!("{leaf}{issuer}");
    assert_eq!(count(&chain), 2);
    // Two files joined on Windows: the mark is in the middle.
    assert_eq!(count(format!("\u{feff}{leaf}\u{feff}{issuer}")), 2);
    assert_eq!(count(chain.replace('\n', "\r\n")), 2);
    assert_eq!(count(chain.replace('\n', "\r")), 2);
    assert_eq!(count(chain.replace('\n', "  \t\n")), 2);
    assert_eq!(count(chain.replace('\n', "\n  ")), 2);
    assert_eq!(count(chain.replace('\n', "\n\n")), 2);
    assert_eq!(count(chain.trim_end()), 2);
    assert_eq!(
        count(format!(
            "subject=CN=a\n{leaf}Bag Attributes\n{issuer}the end\n"
        )),
        2
    );
    assert_eq!(count(format!("{leaf}#{}", issuer.replace('\n', "\n#"))), 1);
    assert_eq!(
        count([leaf.as_bytes(), b"caf\xe9\n", issuer.as_bytes()].concat()),
        2
    );
    assert_eq!(count(leaf.replace("CERTIFICATE", "X509 CERTIFICATE")), 1);
    // Certificate and key in one file, as some programs want them.
    let both = format!("{key}{}{chain}", section("EC PARAMETERS"));
    assert_eq!(count(&both), 2);
    assert_eq!(private_key(both.as_bytes()), private_key(key.as_bytes()));
    let windows = format!("\u{feff}{}", key.replace('\n', " \r\n"));
    assert_eq!(private_key(windows.as_bytes()), private_key(key.as_bytes()));
}

#[test]
fn what_would_be_lost_is_an_error_with_its_line() {
    let (leaf, key) = pair();
    let lines = leaf.lines().count();
    let cut: String = leaf
        .lines()
        .take(4)
        .map(|line| format!("{line}\n"))
        .collect();
    let next = lines + 1;
    for (text, line, words) in [
        (cut.clone(), 1, "the file ends in the middle"),
        (format!("{cut}{leaf}"), 1, "cut off"),
        (
            format!("{leaf}-----END CERTIFICATE-----\n"),
            next,
            "without its BEGIN",
        ),
        (format!("{}{leaf}", leaf.trim_end()), lines, "neither text"),
        (
            format!("{leaf}{}", leaf.replace("-----BEGIN", "----BEGIN")),
            next,
            "neither text",
        ),
        (format!("{leaf}x {leaf}"), next, "neither text"),
        (
            format!("{leaf}{}", leaf.replace("BEGIN", "Begin")),
            next,
            "neither text",
        ),
        (
            format!("{leaf}{}", leaf.replace("END CERT", "END X CERT")),
            next + lines - 1,
            "is to end",
        ),
        (
            format!("{leaf}{}", section("X509 CRL")),
            next,
            "revocation list",
        ),
        (
            format!("{leaf}{}", section("TRUSTED CERTIFICATE")),
            next,
            "openssl x509",
        ),
        (format!("{leaf}{}", section("PKCS7")), next, "openssl pkcs7"),
        (
            format!("{leaf}{}", section("WHATEVER")),
            next,
            "BEGIN WHATEVER is not used",
        ),
        (section("CERTIFICATE REQUEST"), 1, "request"),
        (
            format!("{leaf}{}", section("CERTIFICATE")),
            next,
            "no certificate",
        ),
        (
            format!("{leaf}{}", section("CERTIFICATE").replace("MAM", "M{}")),
            next,
            "not base64",
        ),
        (
            format!("{leaf}-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"),
            next,
            "not base64",
        ),
    ] {
        let told = certificates(text.as_bytes()).unwrap_err().to_string();
        assert!(
            told.starts_with(&format!("line {line}: ")),
            "{told}\n{text}"
        );
        assert!(told.contains(words), "{told}\n{text}");
    }
    let two = format!("{key}{key}");
    let told = private_key(two.as_bytes()).unwrap_err().to_string();
    let second = key.lines().count() + 1;
    assert!(
        told.contains(&format!("in line 1 and in line {second}")),
        "{told}"
    );
}

#[test]
fn other_files_are_named_for_what_they_are() {
    let (leaf, key) = pair();
    let der = certificates(leaf.as_bytes()).unwrap().remove(0).der;
    let utf16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let short = [0x30, 3, 2, 1, 1];
    for (text, words) in [
        (&b""[..], "it is empty"),
        (b" \r\n\n", "it is empty"),
        (b"hello\n", "no PEM section"),
        (&der, "openssl x509 -inform DER"),
        (&short, "it is DER"),
        (&[0x30, 0x82, 9, 9, 2, 1, 3, 0x30], "openssl pkcs12"),
        (&utf16(&format!("\u{feff}{leaf}")), "UTF-16"),
        (&utf16(&leaf), "UTF-16"),
        (key.as_bytes(), "no certificate, but PRIVATE KEY (line 1)"),
    ] {
        let told = certificates(text).unwrap_err().to_string();
        assert!(told.contains(words), "{words}: {told}");
    }
    let key_der = private_key(key.as_bytes()).unwrap();
    for (text, words) in [
        (
            leaf.as_bytes(),
            "no private key, but a certificate (line 1)",
        ),
        (&key_der, "openssl pkey -inform DER"),
        (b"", "it is empty"),
    ] {
        let told = private_key(text).unwrap_err().to_string();
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn keys_that_cannot_be_used_are_named_with_the_remedy() {
    for (label, words) in [
        ("ENCRYPTED PRIVATE KEY", "openssl pkey -in KEY -out PLAIN"),
        ("OPENSSH PRIVATE KEY", "OpenSSH"),
        ("DSA PRIVATE KEY", "P-256"),
    ] {
        let told = private_key(section(label).as_bytes())
            .unwrap_err()
            .to_string();
        assert!(told.contains(words), "{label}: {told}");
    }
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n\
               MAMCAQE=\n-----END RSA PRIVATE KEY-----\n";
    let told = private_key(old.as_bytes()).unwrap_err().to_string();
    assert!(told.contains("encrypted"), "{told}");
}

/// The beginnings of keys as `openssl genpkey` writes them, cut where nobody looks further.
#[test]
fn kind_of_a_key_that_is_not_used_is_told_and_no_other() {
    let sequence =
        |content: &[u8]| [&[0x30, u8::try_from(content.len()).unwrap()], content].concat();
    let pkcs8 =
        |algorithm: &[u8]| sequence(&[&[2, 1, 0], &sequence(algorithm)[..], &[4, 0]].concat());
    let ec = [6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    let p256 = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let (p384, p521) = (
        [6, 5, 0x2b, 0x81, 4, 0, 0x22],
        [6, 5, 0x2b, 0x81, 4, 0, 0x23],
    );
    let sec1 = |curve: &[u8]| {
        let tagged = [&[0xa0, u8::try_from(curve.len()).unwrap()], curve].concat();
        sequence(&[&[2, 1, 1, 4, 1, 9], &tagged[..]].concat())
    };
    let rsa = |bytes: u8| sequence(&[&[2, 1, 0, 2, bytes][..], &vec![0x7f; bytes.into()]].concat());
    for (der, kind) in [
        (pkcs8(&[&ec[..], &p521].concat()), Some("a P-521 key")),
        (pkcs8(&[&ec[..], &p256].concat()), None),
        (pkcs8(&[&ec[..], &p384].concat()), None),
        (pkcs8(&[6, 3, 0x2b, 0x65, 0x70]), None),
        (pkcs8(&[6, 3, 0x2b, 0x65, 0x71]), Some("Ed448")),
        (sec1(&p521), Some("a P-521 key")),
        (sec1(&p256), None),
        (rsa(100), Some("an RSA key of 799 bits")),
        (b"junk".to_vec(), None),
    ] {
        let told = key_problem(&der);
        match kind {
            Some(kind) => assert!(
                told.as_ref().is_some_and(|told| told.contains(kind)),
                "{told:?}"
            ),
            None => assert_eq!(told, None),
        }
    }
}
