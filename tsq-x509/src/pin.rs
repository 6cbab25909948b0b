//! The pin of a public key: what a user writes down to know a server by.

use std::fmt;
use std::slice;
use std::str::FromStr;

use data_encoding::{BASE64_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::pem;

/// SHA-256 of a certificate's SubjectPublicKeyInfo: it names the key, so it survives a renewal of
/// the certificate with the same key.
///
/// Reads 64 hexadecimal digits of either case, with or without colons between the bytes, or `sha256//` and base64 as curl
/// has it; prints 64 lower-case digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin([u8; 32]);

impl Pin {
    /// The pin of a DER-encoded SubjectPublicKeyInfo.
    pub fn of_public_key(spki_der: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, spki_der);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    /// The digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Not a usable certificate, for the reason given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadCertificate(pub String);

impl std::error::Error for BadCertificate {}

impl fmt::Display for BadCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a usable certificate: {}", self.0)
    }
}

/// Not a [`Pin`], for the reason given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPin(&'static str);

impl std::error::Error for BadPin {}

impl fmt::Display for BadPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad pin: {}", self.0)
    }
}

/// The pin of a DER-encoded certificate.
///
/// # Errors
/// [`BadCertificate`] when it is not one certificate and nothing else.
pub fn pin_of_der(certificate: &[u8]) -> Result<Pin, BadCertificate> {
    let (rest, parsed) = X509Certificate::from_der(certificate)
        .map_err(|reason| BadCertificate(reason.to_string()))?;
    if !rest.is_empty() {
        return Err(BadCertificate("bytes follow it".into()));
    }
    Ok(Pin::of_public_key(parsed.tbs_certificate.subject_pki.raw))
}

/// The pin of the first certificate in a PEM file's text; keys are passed over.
///
/// # Errors
/// [`BadCertificate`] when there is none, or the file is damaged.
pub fn pin_of_pem(text: &[u8]) -> Result<Pin, BadCertificate> {
    let all = pem::certificates(text).map_err(|error| BadCertificate(error.to_string()))?;
    // There is at least one.
    pin_of_der(&all[0].der)
}

impl FromStr for Pin {
    type Err = BadPin;

    fn from_str(text: &str) -> Result<Self, BadPin> {
        if let Some(base64) = text.strip_prefix("sha256//") {
            return from_base64(base64).map(Self).ok_or(NOT_BASE64);
        }
        let mut bytes = [0; 32];
        let mut rest = text;
        for (index, byte) in bytes.iter_mut().enumerate() {
            if index > 0 {
                rest = rest.strip_prefix(':').unwrap_or(rest);
            }
            let (digits, tail) = rest.split_at_checked(2).ok_or(WRONG_LENGTH)?;
            HEXLOWER_PERMISSIVE
                .decode_mut(digits.as_bytes(), slice::from_mut(byte))
                .map_err(|_| NOT_HEX)?;
            rest = tail;
        }
        if rest.is_empty() {
            Ok(Self(bytes))
        } else {
            Err(WRONG_LENGTH)
        }
    }
}

const WRONG_LENGTH: BadPin =
    BadPin("a SHA-256 pin has 64 hexadecimal digits, or sha256// and 44 characters of base64");

const NOT_HEX: BadPin = BadPin("only hexadecimal digits and colons between bytes may be in it");

const NOT_BASE64: BadPin =
    BadPin("after sha256// come 44 characters of base64 for one key, the last of them =");

/// 43 digits and `=` (RFC 4648, section 4); bits that belong to no byte must be zero, so that a pin is written in one way.
fn from_base64(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_suffix('=')?;
    BASE64_NOPAD.decode(digits.as_bytes()).ok()?.try_into().ok()
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER.encode_display(&self.0).fmt(f)
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of nothing (FIPS 180-4 test value).
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn pin_prints_what_it_reads() {
        assert_eq!(Pin::of_public_key(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<Pin>().unwrap(), Pin::of_public_key(b""));
    }

    #[test]
    fn pin_is_read_in_upper_case_and_with_colons() {
        let bytes: Vec<_> = (0..32).map(|at| &EMPTY[2 * at..2 * at + 2]).collect();
        let openssl_form = bytes.join(":").to_uppercase();
        assert_eq!(openssl_form.parse::<Pin>().unwrap().to_string(), EMPTY);
    }

    #[test]
    fn pin_is_read_as_curl_writes_it() {
        let curl = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert_eq!(curl.parse::<Pin>().unwrap(), Pin::of_public_key(b""));
        for bad in [
            "sha256//",
            "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
            "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=",
            "sha256//47DEQpj8HBSa-_TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        ] {
            let error = bad.parse::<Pin>().expect_err(bad).to_string();
            assert!(error.contains("base64"), "{bad}: {error}");
        }
    }

    #[test]
    fn malformed_pins_are_refused() {
        let long = format!("{EMPTY}00");
        let trailing_colon = format!("{EMPTY}:");
        let signed = EMPTY.replacen("e3", "+3", 1);
        let not_ascii = EMPTY.replacen("e3", "é", 1);
        for bad in [
            "",
            "e3",
            &EMPTY[..63],
            &long,
            &trailing_colon,
            &signed,
            &not_ascii,
        ] {
            assert!(matches!(bad.parse::<Pin>(), Err(BadPin(_))), "{bad}");
        }
    }

    #[test]
    fn garbage_has_no_pin() {
        assert!(matches!(pin_of_der(b"garbage"), Err(BadCertificate(_))));
        assert!(matches!(pin_of_pem(b"garbage"), Err(BadCertificate(_))));
    }
}
