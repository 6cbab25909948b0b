//! The server's certificate: the operator's, or one made on first start.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tsq_certs::{Error, Lifetime, Pin, make_self_signed, pin_of_der};
use tsq_net::tls::certified_key;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::settings::CertificateSource;

/// A certificate fit to serve with, now.
#[derive(Debug)]
pub struct Certificate {
    /// Chain and key.
    pub key: CertifiedKey,
    /// What clients pin: SHA-256 of the public key.
    pub pin: Pin,
    /// When the leaf ends.
    pub not_after: String,
    /// Whether it was made by this server, now or on an earlier start.
    pub self_made: bool,
}

/// Why there is no certificate to serve with.
#[derive(Debug)]
pub enum CertificateError {
    /// A file cannot be read or written.
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file is not the PEM it should be.
    Pem {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Key and certificate do not belong together, or the key is of an unknown kind.
    Key {
        /// The key's file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The certificate is not valid now.
    Dates {
        /// Its file.
        path: PathBuf,
        /// What is wrong, with the dates.
        problem: String,
    },
    /// No certificate could be made.
    Make(String),
}

impl std::error::Error for CertificateError {}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, error } => write!(f, "cannot use {}: {error}", path.display()),
            Self::Pem { path, problem } | Self::Dates { path, problem } => {
                write!(f, "{}: {problem}", path.display())
            }
            Self::Key { path, problem } => write!(f, "key {}: {problem}", path.display()),
            Self::Make(problem) => write!(f, "cannot make a certificate: {problem}"),
        }
    }
}

/// Loads the certificate, making it first where the settings say so.
///
/// # Errors
/// See [`CertificateError`]; nothing is served with a certificate that clients would refuse.
pub fn obtain(
    source: &CertificateSource,
    now: SystemTime,
) -> Result<Certificate, CertificateError> {
    match source {
        CertificateSource::Files { cert, key } => load(cert, key, now, false),
        CertificateSource::SelfMade { dir, names } => {
            let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
            if !exists(&cert)? && !exists(&key)? {
                make(dir, &cert, &key, names)?;
            }
            load(&cert, &key, now, true)
        }
    }
}

/// Sees whether [`obtain`] would succeed, but makes nothing.
///
/// # Errors
/// As [`obtain`].
pub fn check(source: &CertificateSource, now: SystemTime) -> Result<(), CertificateError> {
    match source {
        CertificateSource::SelfMade { dir, .. }
            if !exists(&dir.join("cert.pem"))? && !exists(&dir.join("key.pem"))? =>
        {
            Ok(())
        }
        _ => obtain(source, now).map(drop),
    }
}

fn load(
    cert: &Path,
    key: &Path,
    now: SystemTime,
    self_made: bool,
) -> Result<Certificate, CertificateError> {
    let chain = read_chain(cert)?;
    let leaf = &chain[0];
    let pem = |problem: String| CertificateError::Pem {
        path: cert.into(),
        problem,
    };
    let pin = pin_of_der(leaf).map_err(|error| pem(error.to_string()))?;
    let not_after = check_dates(cert, leaf, now)?;
    let private = read_key(key)?;
    let key = certified_key(chain, private).map_err(|error| CertificateError::Key {
        path: key.into(),
        problem: match error {
            rustls::Error::InconsistentKeys(_) => {
                format!("is not the key of the certificate in {}", cert.display())
            }
            other => other.to_string(),
        },
    })?;
    Ok(Certificate {
        key,
        pin,
        not_after,
        self_made,
    })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let text = read(path)?;
    let pem = |problem: String| CertificateError::Pem {
        path: path.into(),
        problem,
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| pem(error.to_string()))?;
    if chain.is_empty() {
        return Err(pem("holds no PEM certificate".into()));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let text = read(path)?;
    if fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0) {
        tracing::warn!(key = %path.display(), "other users of this host may read the key: chmod 600");
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| CertificateError::Key {
        path: path.into(),
        problem: error.to_string(),
    })
}

fn check_dates(path: &Path, leaf: &[u8], now: SystemTime) -> Result<String, CertificateError> {
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|error| CertificateError::Pem {
        path: path.into(),
        problem: error.to_string(),
    })?;
    let validity = parsed.validity();
    let seconds = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let dates = |problem| {
        Err(CertificateError::Dates {
            path: path.into(),
            problem,
        })
    };
    if seconds > validity.not_after.timestamp() {
        return dates(format!(
            "the certificate expired on {} (by this host's clock); clients would refuse it",
            validity.not_after
        ));
    }
    if seconds < validity.not_before.timestamp() {
        return dates(format!(
            "the certificate is not valid before {}; is this host's clock slow?",
            validity.not_before
        ));
    }
    Ok(validity.not_after.to_string())
}

/// Makes certificate and key, the key private from its first byte.
fn make(dir: &Path, cert: &Path, key: &Path, names: &[String]) -> Result<(), CertificateError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder
        .create(dir)
        .map_err(|error| CertificateError::File {
            path: dir.into(),
            error,
        })?;
    let made = always()
        .and_then(|lifetime| make_self_signed(names, lifetime))
        .map_err(|error| CertificateError::Make(error.to_string()))?;
    write_new(key, &made.key_pem, 0o600)?;
    write_new(cert, &made.cert_pem, 0o644)
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), CertificateError> {
    use io::Write;
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| CertificateError::File {
            path: path.into(),
            error,
        })
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|error| CertificateError::File {
        path: path.into(),
        error,
    })
}

fn exists(path: &Path) -> Result<bool, CertificateError> {
    path.try_exists().map_err(|error| CertificateError::File {
        path: path.into(),
        error,
    })
}

/// Every date there is (RFC 5280, section 4.1.2.5): clients pin the key, so dates would protect nobody,
/// and a client whose clock says 1970 is the one that needs us most.
fn always() -> Result<Lifetime, Error> {
    Lifetime::between(
        "1970-01-01T00:00:00Z".parse()?,
        "9999-12-31T23:59:59Z".parse()?,
    )
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn self_made_certificate_is_valid_whatever_the_clock_says() {
        let dir = tempfile::tempdir().unwrap();
        let source = CertificateSource::SelfMade {
            dir: dir.path().join("s"),
            names: vec!["localhost".into()],
        };
        let first = obtain(&source, SystemTime::UNIX_EPOCH).unwrap();
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
        let second = obtain(&source, later).unwrap();
        assert_eq!(first.pin, second.pin, "made once");
    }
}
