//! The one reader of PEM files: every program takes, and refuses, the same.
//!
//! What people and their tools do to such files is taken: line ends of any system, a byte-order mark (also in
//! the middle, where two files were joined), blanks around lines, text between sections, `#` before a line.
//! What would be lost without a word is an error with its line: a section that is cut off, or damaged, or of a kind
//! that nobody uses here.

mod key_kind;
mod sections;

use std::fmt;

pub use key_kind::key_problem;
use sections::sections;

/// A part of a file, between BEGIN and END.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What its BEGIN line says it is.
    pub label: String,
    /// The number of that line, from 1.
    pub line: usize,
    /// What is in it, DER.
    pub der: Vec<u8>,
    /// A header says that the content is encrypted.
    encrypted: bool,
}

/// Why a file is not what it should be: a sentence without the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemError(String);

impl std::error::Error for PemError {}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All certificates of a file, in its order; at least one. Keys that lie in the same file are passed over.
///
/// # Errors
/// It holds none, or something that would be lost: see the module.
pub fn certificates(text: &[u8]) -> Result<Vec<Section>, PemError> {
    let all = sections(text, "x509")?;
    let mut found = Vec::new();
    let mut unused = None;
    for section in all {
        match section.label.as_str() {
            "CERTIFICATE" | "X509 CERTIFICATE" | "X.509 CERTIFICATE" => {
                x509_parser::parse_x509_certificate(&section.der)
                    .ok()
                    .filter(|(rest, _)| rest.is_empty())
                    .ok_or_else(|| at(section.line, "what is in this section is no certificate"))?;
                found.push(section);
            }
            label if is_private_key(label) || PARAMETERS.contains(&label) => {
                unused.get_or_insert(section);
            }
            _ => return Err(not_used(&section)),
        }
    }
    match (found.is_empty(), unused) {
        (false, _) => Ok(found),
        (true, Some(other)) => Err(PemError(format!(
            "it holds no certificate, but {} (line {})",
            other.label, other.line
        ))),
        (true, None) => Err(PemError("it holds no certificate".into())),
    }
}

/// The one private key of a file, DER. Certificates that lie in the same file are passed over.
///
/// # Errors
/// It holds none, or several, or one that nobody can read without a passphrase; or it is damaged.
pub fn private_key(text: &[u8]) -> Result<Vec<u8>, PemError> {
    let mut found: Option<Section> = None;
    let mut unused = None;
    for section in sections(text, "pkey")? {
        match section.label.as_str() {
            label if is_private_key(label) => {
                readable(&section)?;
                if let Some(first) = &found {
                    return Err(PemError(format!(
                        "it holds two private keys, in line {} and in line {}: leave the one that is meant",
                        first.line, section.line
                    )));
                }
                found = Some(section);
            }
            "CERTIFICATE" | "X509 CERTIFICATE" | "PUBLIC KEY" | "CERTIFICATE REQUEST" => {
                unused.get_or_insert(section);
            }
            label if PARAMETERS.contains(&label) => {}
            _ => return Err(not_used(&section)),
        }
    }
    match (found, unused) {
        (Some(key), _) => Ok(key.der),
        (None, Some(other)) => Err(PemError(format!(
            "it holds no private key, but a {} (line {})",
            other.label.to_lowercase(),
            other.line
        ))),
        (None, None) => Err(PemError("it holds no private key".into())),
    }
}

fn is_private_key(label: &str) -> bool {
    label == "PRIVATE KEY" || label.ends_with(" PRIVATE KEY")
}

/// Whether a key can be read as it lies there, without a passphrase and by TLS.
fn readable(key: &Section) -> Result<(), PemError> {
    if key.encrypted || key.label == "ENCRYPTED PRIVATE KEY" {
        return Err(at(
            key.line,
            "the private key is encrypted, and there is nobody to type its passphrase at a start: take it off \
             (openssl pkey -in KEY -out PLAIN) and keep the file from others (chmod 600)",
        ));
    }
    match key.label.as_str() {
        "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => Ok(()),
        "OPENSSH PRIVATE KEY" => Err(at(
            key.line,
            "this is a key of OpenSSH's, which TLS does not use",
        )),
        label => Err(at(
            key.line,
            &format!("a {label} is of a kind that is not used: P-256, P-384, Ed25519 and RSA are"),
        )),
    }
}

fn not_used(section: &Section) -> PemError {
    let what = match section.label.as_str() {
        "X509 CRL" => {
            "a revocation list is not used here, so what it revokes would still be trusted; remove it"
        }
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
            "this is a request for a certificate; what the authority makes of it is needed"
        }
        "TRUSTED CERTIFICATE" => {
            "OpenSSL's TRUSTED CERTIFICATE is not used: openssl x509 -in FILE -out PLAIN makes a CERTIFICATE of it"
        }
        "PKCS7" | "CMS" => {
            "certificates in a PKCS #7 bag are not used: openssl pkcs7 -in FILE -print_certs -out PLAIN takes them out"
        }
        label => {
            return at(
                section.line,
                &format!("BEGIN {label} is not used here; remove the section"),
            );
        }
    };
    at(section.line, what)
}

fn at(line: usize, problem: &str) -> PemError {
    PemError(format!("line {line}: {problem}"))
}

/// What OpenSSL writes beside a key; nothing is lost without it.
const PARAMETERS: &[&str] = &["EC PARAMETERS", "DH PARAMETERS", "DSA PARAMETERS"];

#[cfg(test)]
mod tests;
