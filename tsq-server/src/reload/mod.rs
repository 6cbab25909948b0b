//! Certificates and keys that change while the server runs.
//!
//! They are read again on SIGHUP and when their files change. What cannot be used is said, and what
//! was there before stays in force: a renewal gone wrong must not end the service.

mod files;
mod watched;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustls::server::NoClientAuth;
use rustls::server::danger::ClientCertVerifier;
use tsq_keys::SigningKeys;
use tsq_net::tls::Issued;
use tsq_proto::Signer;

use crate::certificate::{self, Certificate, CertificateError, Clients, Dates, Identities};
use crate::settings::Settings;
use files::Files;
pub use files::{FailedReads, Failures};
use tsq_host::newest::Newest;

/// What is served with, and the files it came from.
#[derive(Debug)]
pub struct Reload {
    settings: Settings,
    /// The certificates new handshakes get.
    pub identities: Arc<Identities>,
    /// The sessions clients may take up again, for as long as certificates and authorities stay.
    pub issued: Issued,
    /// Whose clients are served, if not everybody's.
    clients: Option<Arc<Clients>>,
    /// The keys answers are signed with.
    pub keys: Arc<Newest<SigningKeys>>,
    certificate_files: Files,
    client_files: Files,
    key_files: Files,
    /// How often each of them could not be used.
    pub failures: Arc<Failures>,
    /// When the certificates' dates were last told, and what they were then.
    warned: Option<(Instant, Vec<Dates>)>,
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
    let certificates = certificate::check(&settings.certificate).map_err(LoadError::Certificate)?;
    warn_of_dates(&certificates, SystemTime::now());
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
        let certificates = certificate::obtain(source).map_err(LoadError::Certificate)?;
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
        reload.certificate_files.begin();
        reload.warn_of_dates();
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
            issued: Issued::default(),
            clients: None,
            keys: Newest::new(SigningKeys::default()),
            certificate_files: Files::new(certificate_files),
            client_files: Files::new(settings.client_ca.iter().cloned().collect()),
            key_files: Files::new(settings.signing_keys.clone()),
            failures: Arc::default(),
            warned: None,
        }
    }

    /// Whose clients are served; None if everybody's.
    pub fn clients(&self) -> Option<Arc<Clients>> {
        self.clients.clone()
    }

    /// Who decides about clients: the authorities, or nobody.
    pub fn client_verifier(&self) -> Arc<dyn ClientCertVerifier> {
        match &self.clients {
            Some(clients) => Arc::clone(clients) as _,
            None => Arc::new(NoClientAuth),
        }
    }

    /// Reads everything again, changed or not; true if the serving threads have something to see to.
    pub fn now(&mut self) -> bool {
        // Who asks is to be answered, also with what was told before.
        self.certificate_files.are_good();
        self.client_files.are_good();
        self.key_files.are_good();
        self.read_certificates();
        let changed = self.read_clients();
        self.read_keys();
        changed
    }

    /// Reads what has changed, and warns of certificates' dates: at once when that is news, else once a day.
    /// True as for [`Self::now`].
    pub fn look(&mut self) -> bool {
        let now = Instant::now();
        if self.certificate_files.are_due(now) {
            self.read_certificates();
        }
        let changed = self.client_files.are_due(now) && self.read_clients();
        if self.key_files.are_due(now) {
            self.read_keys();
        }
        let dates = self.dates();
        let old_news = |(at, told): &(Instant, Vec<Dates>)| at.elapsed() < DAY && *told == dates;
        if !self.warned.as_ref().is_some_and(old_news) {
            self.warn_of_dates();
        }
        changed
    }

    fn read_certificates(&mut self) {
        // Before reading: what is written meanwhile is seen at the next look.
        self.certificate_files.begin();
        let loaded = certificate::load_all(&self.settings.certificate);
        let loaded = loaded
            .map_err(|error| files::words(&error, self.settings.sandbox))
            .and_then(|new| self.no_worse(new));
        match loaded {
            Ok(certificates) => {
                self.certificate_files.are_good();
                report_certificates(&certificates);
                let before = self.identities.newest();
                let shown = |all: &[Certificate]| -> Vec<_> {
                    all.iter().map(|one| one.key.cert.clone()).collect()
                };
                let changed = shown(&before) != shown(&certificates);
                self.identities.replace(certificates);
                if changed {
                    // Clients are to see the new ones, also those that would not ask.
                    self.issued.forget();
                }
                tracing::info!("certificates read again: new connections get them");
                self.warn_of_dates();
            }
            Err(problem) => {
                self.failures.certificates.count();
                if self.certificate_files.are_bad(Instant::now(), &problem) {
                    tracing::error!("certificates not read again, the old ones stay: {problem}");
                }
            }
        }
    }

    /// Lets no certificate take the place of another that is valid now while it is not itself.
    fn no_worse(&self, new: Vec<Certificate>) -> Result<Vec<Certificate>, String> {
        let now = SystemTime::now();
        let old = self.identities.newest();
        let worse = new
            .iter()
            .zip(old.iter())
            .find(|(new, old)| old.validity.holds(now) && !new.validity.holds(now));
        match worse.and_then(|(new, _)| Some((new, new.validity.warning(now)?))) {
            Some((one, warning)) => Err(format!("{}: {warning}", one.path.display())),
            None => Ok(new),
        }
    }

    /// True if others count from now on.
    fn read_clients(&mut self) -> bool {
        self.client_files.begin();
        let (Some(clients), Some(path)) = (&self.clients, &self.settings.client_ca) else {
            return false;
        };
        match clients.reload(path) {
            Ok(changed) => {
                self.client_files.are_good();
                if changed {
                    self.issued.forget();
                    tracing::info!(
                        "client authorities read again: clients of those that are gone are closed"
                    );
                } else {
                    tracing::info!("client authorities read again: the same as before");
                }
                changed
            }
            Err(error) => {
                self.failures.client_ca.count();
                let problem = files::words(&error, self.settings.sandbox);
                if self.client_files.are_bad(Instant::now(), &problem) {
                    tracing::error!(
                        "client authorities not read again, the old ones stay: {problem}"
                    );
                }
                false
            }
        }
    }

    fn read_keys(&mut self) {
        self.key_files.begin();
        match SigningKeys::load(&self.settings.signing_keys) {
            Ok(keys) => {
                self.key_files.are_good();
                report_keys(&keys);
                if keys.iter().next().is_some() {
                    tracing::info!("signing keys read again");
                }
                self.keys.replace(keys);
            }
            Err(error) => {
                self.failures.signing_keys.count();
                let problem = error.to_string();
                if self.key_files.are_bad(Instant::now(), &problem) {
                    tracing::error!("signing keys not read again, the old ones stay: {problem}");
                }
            }
        }
    }

    fn dates(&self) -> Vec<Dates> {
        let now = SystemTime::now();
        let certificates = self.identities.newest();
        certificates
            .iter()
            .map(|one| one.validity.dates(now))
            .collect()
    }

    fn warn_of_dates(&mut self) {
        self.warned = Some((Instant::now(), self.dates()));
        warn_of_dates(&self.identities.newest(), SystemTime::now());
    }
}

fn warn_of_dates(certificates: &[Certificate], now: SystemTime) {
    for one in certificates {
        if let Some(warning) = one.validity.warning(now) {
            tracing::warn!(file = %one.path.display(), "{warning}");
        }
    }
}

fn report_certificates(certificates: &[Certificate]) {
    for one in certificates {
        tracing::info!(
            pin = %one.pin,
            not_after = %one.validity.end_text(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documented::in_words;

    #[test]
    fn page_for_operators_has_these_numbers() {
        in_words(&format!("have then rested for {} s", EVERY.as_secs()));
        let days = certificate::SOON.as_secs() / 86_400;
        in_words(&format!("from {days} days before its end"));
    }
}
