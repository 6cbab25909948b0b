use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tsq_net::tls::certified_key;
use tsq_x509::pem;

/// Who we are, for servers that ask: a certificate chain and its key.
#[derive(Clone, Debug)]
pub struct ClientIdentity(Arc<SingleCertAndKey>);

/// A certificate or key to show cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityError {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: String,
}

impl std::error::Error for IdentityError {}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.problem)
    }
}

impl ClientIdentity {
    /// What TLS shows, as [`tsq_net::tls::client_as`] takes it.
    pub fn resolver(&self) -> Arc<dyn ResolvesClientCert> {
        Arc::clone(&self.0) as _
    }

    /// The same for clones, and for no other.
    pub(crate) fn id(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }

    /// Reads PEM files: the chain, leaf first, and the leaf's key.
    ///
    /// # Errors
    /// [`IdentityError`]: unreadable, no PEM, or not belonging together.
    pub fn from_files(cert: &Path, key: &Path) -> Result<Self, IdentityError> {
        let bad = |path: &Path, problem: String| IdentityError {
            path: path.into(),
            problem,
        };
        let read = |path: &Path| {
            tsq_x509::read_small_file(path).map_err(|error| bad(path, error.to_string()))
        };
        let chain: Vec<CertificateDer<'static>> = pem::certificates(&read(cert)?)
            .map_err(|error| bad(cert, error.to_string()))?
            .into_iter()
            .map(|one| one.der.into())
            .collect();
        let der = pem::private_key(&read(key)?).map_err(|error| bad(key, error.to_string()))?;
        let unusable = pem::key_problem(&der);
        let private = PrivateKeyDer::try_from(der)
            .map_err(|error| bad(key, unusable.clone().unwrap_or(error.into())))?;
        let certified: CertifiedKey = certified_key(chain, private).map_err(|error| {
            let problem = match error {
                rustls::Error::InconsistentKeys(_) => {
                    format!("is not the key of the certificate in {}", cert.display())
                }
                other => unusable.unwrap_or(other.to_string()),
            };
            bad(key, problem)
        })?;
        Ok(Self(Arc::new(certified.into())))
    }
}
