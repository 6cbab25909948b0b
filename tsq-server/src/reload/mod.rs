//! Certificates and keys that change while the server runs.
//!
//! They are read again on SIGHUP and when their files change. What cannot be used is said, and what
//! was there before stays in force: a renewal gone wrong must not end the service.

mod watched;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustls::server::NoClientAuth;
use rustls::server::danger::ClientCertVerifier;
use tsq_keys::SigningKeys;
use tsq_proto::Signer;

use crate::certificate::{self, Certificate, CertificateError, Clients, Identities};
use crate::newest::Newest;
use crate::settings::Settings;
use watched::Watched;

/// What is served with, and the files it came from.
#[derive(Debug)]
pub struct Reload {
    settings: Settings,
    /// The certificates new handshakes get.
    pub identities: Arc<Identities>,
    /// Whose clients are served, if not everybody's.
    clients: Option<Arc<Clients>>,
    /// The keys answers are signed with.
    pub keys: Arc<Newest<SigningKeys>>,
    certificate_files: Watched,
    client_files: Watched,
    key_files: Watched,
    warned: Option<Instant>,
}

/// Why there is nothing to serve with.
#[derive(Debug)]
pub enum LoadError {
    /// No usable certificate.
    Certificate(CertificateError),
    /// A signing key file cannot be used.
    SigningKey(tsq_keys::Error),
}

impl std::error::Error for LoadError {}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Certificate(error) => error.fmt(f),
            Self::SigningKey(error) => error.fmt(f),
        }
    }
}

/// Reads what a start would read, and makes nothing.
///
/// # Errors
/// See [`LoadError`].
pub fn check(settings: &Settings) -> Result<(), LoadError> {
    let now = SystemTime::now();
    let certificates =
        certificate::check(&settings.certificate, now).map_err(LoadError::Certificate)?;
    warn_of_expiry(&certificates, now);
    if let Some(path) = &settings.client_ca {
        Clients::of_authorities(path).map_err(LoadError::Certificate)?;
    }
    SigningKeys::load(&settings.signing_keys)
        .map(drop)
        .map_err(LoadError::SigningKey)
}

impl Reload {
    /// Reads everything for the first time; a self-made certificate is made if it is not there.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn first(settings: &Settings) -> Result<Self, LoadError> {
        // Before reading: a change in between is seen.
        let mut reload = Self::unread(settings);
        let source = &settings.certificate;
        let certificates =
            certificate::obtain(source, SystemTime::now()).map_err(LoadError::Certificate)?;
        report_certificates(&certificates);
        reload.identities.replace(certificates);
        if let Some(path) = &settings.client_ca {
            let clients = Clients::of_authorities(path).map_err(LoadError::Certificate)?;
            reload.clients = Some(clients);
        }
        let keys = SigningKeys::load(&settings.signing_keys).map_err(LoadError::SigningKey)?;
        report_keys(&keys);
        reload.keys.replace(keys);
        // A certificate made just now is no change.
        reload.certificate_files.read();
        reload.warn_of_expiry();
        Ok(reload)
    }

    fn unread(settings: &Settings) -> Self {
        let certificate_files = certificate::files(&settings.certificate)
            .into_iter()
            .flat_map(|pair| [pair.cert, pair.key])
            .collect();
        Self {
            settings: settings.clone(),
            identities: Identities::new(Vec::new()),
            clients: None,
            keys: Newest::new(SigningKeys::default()),
            certificate_files: Watched::new(certificate_files),
            client_files: Watched::new(settings.client_ca.iter().cloned().collect()),
            key_files: Watched::new(settings.signing_keys.clone()),
            warned: None,
        }
    }

    /// Who decides about clients: the authorities, or nobody.
    pub fn client_verifier(&self) -> Arc<dyn ClientCertVerifier> {
        match &self.clients {
            Some(clients) => Arc::clone(clients) as _,
            None => Arc::new(NoClientAuth),
        }
    }

    /// Reads everything again, changed or not.
    pub fn now(&mut self) {
        self.read_certificates();
        self.read_clients();
        self.read_keys();
    }

    /// Reads what has changed, and warns once a day of what expires.
    pub fn look(&mut self) {
        if self.certificate_files.settled_change() {
            self.read_certificates();
        }
        if self.client_files.settled_change() {
            self.read_clients();
        }
        if self.key_files.settled_change() {
            self.read_keys();
        }
        if self.warned.is_none_or(|at| at.elapsed() >= DAY) {
            self.warn_of_expiry();
        }
    }

    fn read_certificates(&mut self) {
        // Before reading: what is written meanwhile is seen at the next look.
        self.certificate_files.read();
        match certificate::load_all(&self.settings.certificate, SystemTime::now()) {
            Ok(certificates) => {
                report_certificates(&certificates);
                self.identities.replace(certificates);
                tracing::info!("certificates read again: new connections get them");
                self.warn_of_expiry();
            }
            Err(error) => {
                tracing::error!("certificates not read again, the old ones stay: {error}");
            }
        }
    }

    fn read_clients(&mut self) {
        self.client_files.read();
        if let (Some(clients), Some(path)) = (&self.clients, &self.settings.client_ca) {
            match clients.reload(path) {
                Ok(()) => tracing::info!("client authorities read again"),
                Err(error) => {
                    tracing::error!(
                        "client authorities not read again, the old ones stay: {error}"
                    );
                }
            }
        }
    }

    fn read_keys(&mut self) {
        self.key_files.read();
        match SigningKeys::load(&self.settings.signing_keys) {
            Ok(keys) => {
                report_keys(&keys);
                if keys.iter().next().is_some() {
                    tracing::info!("signing keys read again");
                }
                self.keys.replace(keys);
            }
            Err(error) => {
                tracing::error!("signing keys not read again, the old ones stay: {error}");
            }
        }
    }

    fn warn_of_expiry(&mut self) {
        self.warned = Some(Instant::now());
        warn_of_expiry(&self.identities.newest(), SystemTime::now());
    }
}

fn warn_of_expiry(certificates: &[Certificate], now: SystemTime) {
    for one in certificates {
        if let Some(warning) = one.expiry.warning(now) {
            tracing::warn!(file = %one.path.display(), "{warning}");
        }
    }
}

fn report_certificates(certificates: &[Certificate]) {
    for one in certificates {
        tracing::info!(
            pin = %one.pin,
            not_after = %one.expiry.text,
            self_made = one.self_made,
            file = %one.path.display(),
            "certificate"
        );
    }
}

fn report_keys(keys: &SigningKeys) {
    for key in keys.iter() {
        tracing::info!(id = key.key_id(), algorithm = ?Signer::algorithm(key), "signing key");
    }
}

/// How often files should be looked at.
pub const EVERY: Duration = Duration::from_secs(2);

const DAY: Duration = Duration::from_secs(86_400);
