//! The server's certificates: the operator's, or one made on first start; whose clients may ask.

mod chain;
mod clients;
mod fitness;
mod identities;
mod standing;
mod validity;

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tsq_certs::{Error, Lifetime, Made, Pin, make_self_signed, pem, pin_of_der};
use tsq_net::tls::certified_key;

pub use clients::Clients;
pub use identities::Identities;
pub use standing::Standing;
pub use validity::{Dates, SOON, Validity};

use crate::settings::{CertificateSource, PemPair};
use crate::small_file;

/// A certificate fit to serve with, now.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Its file.
    pub path: PathBuf,
    /// Chain and key.
    pub key: Arc<CertifiedKey>,
    /// What clients pin: SHA-256 of the public key.
    pub pin: Pin,
    /// When the leaf is valid.
    pub validity: Validity,
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
    /// No certificate could be made.
    Make(String),
}

impl std::error::Error for CertificateError {}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, error } => write!(f, "cannot use {}: {error}", path.display()),
            Self::Pem { path, problem } => write!(f, "{}: {problem}", path.display()),
            Self::Key { path, problem } => write!(f, "key {}: {problem}", path.display()),
            Self::Make(problem) => write!(f, "cannot make a certificate: {problem}"),
        }
    }
}

/// Loads the certificates, the default one first, making it where the settings say so.
///
/// # Errors
/// See [`CertificateError`]. Its dates are none: the clock that they are compared with may be what is wrong,
/// and a server that does not start cannot serve when it is right.
pub fn obtain(source: &CertificateSource) -> Result<Vec<Certificate>, CertificateError> {
    if let CertificateSource::SelfMade { dir, names, .. } = source {
        let PemPair { cert, key } = kept(dir);
        if exists(dir)? {
            only_ours(dir)?;
        }
        if !exists(&cert)? && !exists(&key)? {
            make(dir, &cert, &key, names)?;
        }
    }
    load_all(source)
}

/// Loads the certificates that are there.
///
/// # Errors
/// As [`obtain`].
pub fn load_all(source: &CertificateSource) -> Result<Vec<Certificate>, CertificateError> {
    match source {
        CertificateSource::Files(pairs) => pairs.iter().map(|pair| load(pair, false)).collect(),
        CertificateSource::SelfMade { dir, names, asked } => {
            let pair = kept(dir);
            for place in [dir, &pair.cert, &pair.key] {
                only_ours(place)?;
            }
            let certificate = load(&pair, true)?;
            if *asked {
                warn_of_missing(names, &certificate);
            }
            Ok(vec![certificate])
        }
    }
}

/// Sees whether [`obtain`] would succeed, but makes nothing.
///
/// # Errors
/// As [`obtain`].
pub fn check(source: &CertificateSource) -> Result<Vec<Certificate>, CertificateError> {
    match source {
        CertificateSource::SelfMade { dir, names, .. }
            if !exists(&kept(dir).cert)? && !exists(&kept(dir).key)? =>
        {
            made(names)?;
            if exists(dir)? {
                only_ours(dir)?;
            }
            can_be_made(dir)?;
            Ok(Vec::new())
        }
        _ => load_all(source),
    }
}

/// The files certificates come from, which may change.
pub fn files(source: &CertificateSource) -> Vec<PemPair> {
    match source {
        CertificateSource::Files(pairs) => pairs.clone(),
        CertificateSource::SelfMade { dir, .. } => vec![kept(dir)],
    }
}

fn kept(dir: &Path) -> PemPair {
    PemPair {
        cert: dir.join("cert.pem"),
        key: dir.join("key.pem"),
    }
}

fn warn_of_missing(names: &[String], certificate: &Certificate) {
    let missing: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| !identities::is_for(certificate, name))
        .collect();
    if !missing.is_empty() {
        tracing::warn!(
            missing = missing.join(", "),
            "--name is not in the certificate kept in {}, which stays as it is; \
             remove it and its key to have another made, with another pin",
            certificate.path.display()
        );
    }
}

fn load(PemPair { cert, key }: &PemPair, self_made: bool) -> Result<Certificate, CertificateError> {
    let chain = read_chain(cert)?;
    let leaf = &chain[0];
    let bad = |problem: String| CertificateError::Pem {
        path: cert.into(),
        problem,
    };
    let pin = pin_of_der(leaf).map_err(|error| bad(error.to_string()))?;
    let validity = Validity::of(leaf).map_err(bad)?;
    for unfit in fitness::problems(leaf) {
        tracing::warn!(file = %cert.display(), "clients that do not pin it refuse this certificate: {unfit}");
    }
    chain::report(cert, &chain);
    let der = read_key(key)?;
    let unusable = pem::key_problem(&der);
    let private = PrivateKeyDer::try_from(der)
        .map_err(|error| bad_key(key, unusable.clone().unwrap_or(error.into())))?;
    let certified = certified_key(chain, private).map_err(|error| {
        let problem = match error {
            rustls::Error::InconsistentKeys(_) => {
                format!("is not the key of the certificate in {}", cert.display())
            }
            other => unusable.unwrap_or(other.to_string()),
        };
        bad_key(key, problem)
    })?;
    Ok(Certificate {
        path: cert.clone(),
        key: Arc::new(certified),
        pin,
        validity,
        self_made,
    })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let found = pem::certificates(&read(path)?).map_err(|problem| CertificateError::Pem {
        path: path.into(),
        problem: problem.to_string(),
    })?;
    Ok(found.into_iter().map(|one| one.der.into()).collect())
}

fn read_key(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let text = read(path)?;
    // A group may read it: that is how a server that is not root gets at certbot's.
    if fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o027 != 0) {
        tracing::warn!(key = %path.display(), "other users of this host may read or change the key: chmod 640");
    }
    pem::private_key(&text).map_err(|problem| bad_key(path, problem.to_string()))
}

fn bad_key(path: &Path, problem: String) -> CertificateError {
    CertificateError::Key {
        path: path.into(),
        problem,
    }
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
    let made = made(names)?;
    write_new(key, &made.key_pem, 0o600)?;
    write_new(cert, &made.cert_pem, 0o644).inspect_err(|_| {
        // One without the other would be in the way of the next start.
        let _ = fs::remove_file(key);
    })
}

fn made(names: &[String]) -> Result<Made, CertificateError> {
    always()
        .and_then(|lifetime| make_self_signed(names, lifetime))
        .map_err(|error| CertificateError::Make(error.to_string()))
}

/// Whether files could be made in `dir`, which may have to be made itself.
fn can_be_made(dir: &Path) -> Result<(), CertificateError> {
    use rustix::fs::{Access, access};
    let nearest = dir.ancestors().find(|place| exists(place).unwrap_or(true));
    // A relative path begins here.
    let nearest = nearest
        .filter(|place| !place.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let usable = match nearest.is_dir() {
        true => access(nearest, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from),
        false => Err(io::ErrorKind::NotADirectory.into()),
    };
    usable.map_err(|error| CertificateError::File {
        path: nearest.into(),
        error,
    })
}

/// Who could put a certificate there, and its key, could answer as this server.
fn only_ours(place: &Path) -> Result<(), CertificateError> {
    let file = |error| CertificateError::File {
        path: place.into(),
        error,
    };
    let mode = fs::metadata(place).map_err(file)?.permissions().mode();
    if mode & 0o022 == 0 {
        return Ok(());
    }
    let problem = format!(
        "others may write to it (mode {:o}): make it this server's alone (chmod go-w), and remove what is not its own",
        mode & 0o7777
    );
    Err(file(io::Error::other(problem)))
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), CertificateError> {
    tsq_certs::write_new(path, text, mode).map_err(|error| CertificateError::File {
        path: path.into(),
        error,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    small_file::read(path).map_err(|error| CertificateError::File {
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
    use super::*;

    #[test]
    fn folder_or_file_that_others_may_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("state");
        let source = CertificateSource::SelfMade {
            dir: dir.clone(),
            names: vec!["a.example".into()],
            asked: false,
        };
        obtain(&source).unwrap();
        let PemPair { cert, key } = kept(&dir);
        for (place, mode, open) in [
            (&dir, 0o700, 0o777),
            (&cert, 0o644, 0o666),
            (&key, 0o600, 0o620),
        ] {
            fs::set_permissions(place, PermissionsExt::from_mode(open)).unwrap();
            for tried in [obtain(&source), check(&source)] {
                let error = tried.unwrap_err().to_string();
                assert!(error.contains("others may write"), "{error}");
                assert!(error.contains(&place.display().to_string()), "{error}");
            }
            fs::set_permissions(place, PermissionsExt::from_mode(mode)).unwrap();
        }
        obtain(&source).unwrap();
    }

    #[test]
    fn key_without_its_certificate_is_not_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let [key, cert] = ["key.pem", "missing/cert.pem"].map(|name| dir.path().join(name));
        let names = ["localhost".to_string()];
        make(dir.path(), &cert, &key, &names).unwrap_err();
        assert!(!key.exists());
        // And one that was there is not ours to remove.
        fs::write(&key, "another's").unwrap();
        make(dir.path(), &cert, &key, &names).unwrap_err();
        assert_eq!(fs::read_to_string(&key).unwrap(), "another's");
    }

    #[test]
    fn check_of_what_cannot_be_made_fails_as_making_it_would() {
        let dir = tempfile::tempdir().unwrap();
        let source = |dir: PathBuf, name: &str| CertificateSource::SelfMade {
            dir,
            names: vec![name.into()],
            asked: true,
        };
        let below = dir.path().join("a/b");
        assert!(check(&source(below.clone(), "a.example")).is_ok());
        assert!(!dir.path().join("a").exists());
        let error = check(&source(below, "no name")).unwrap_err();
        assert!(error.to_string().contains("no name"), "{error}");
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let blocked = source(file.join("state"), "a.example");
        let error = check(&blocked).unwrap_err();
        assert!(error.to_string().starts_with("cannot use /"), "{error}");
        assert!(obtain(&blocked).is_err());
    }

    #[test]
    fn self_made_certificate_is_valid_whatever_the_clock_says() {
        use std::time::{Duration, SystemTime};
        let dir = tempfile::tempdir().unwrap();
        let source = CertificateSource::SelfMade {
            dir: dir.path().join("s"),
            names: vec!["localhost".into()],
            asked: false,
        };
        let first = obtain(&source).unwrap();
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
        for clock in [SystemTime::UNIX_EPOCH, later] {
            assert_eq!(first[0].validity.dates(clock), Dates::Good);
        }
        let second = obtain(&source).unwrap();
        assert_eq!(first[0].pin, second[0].pin, "made once");
    }

    #[test]
    fn certificate_outside_its_dates_is_served_and_told() {
        use tsq_certs::When;
        let dir = tempfile::tempdir().unwrap();
        for (name, from, to) in [("old", -20, -10), ("new", 10, 20)] {
            let day = |days: i64| When::FromNow(days * 86_400);
            let lifetime = Lifetime::between(day(from), day(to)).unwrap();
            let made = make_self_signed(&["a.example".into()], lifetime).unwrap();
            let (cert, key) = (format!("{name}.pem"), format!("{name}.key"));
            let (cert, key) = tsq_certs::save(&made, dir.path(), &cert, &key).unwrap();
            let source = CertificateSource::Files(vec![PemPair { cert, key }]);
            let loaded = check(&source).unwrap();
            assert!(
                loaded[0]
                    .validity
                    .warning(std::time::SystemTime::now())
                    .is_some()
            );
        }
    }
}
