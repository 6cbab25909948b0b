//! What a server has shown for itself, kept so that its dates can be checked again.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tsq_x509::Pin;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::refusal::{By, TrustRefusal};
use super::verifier::Rules;

/// A server's accepted certificates.
#[derive(Clone)]
pub struct Presented {
    pub(super) rules: Arc<Rules>,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) name: ServerName<'static>,
    pub(super) key: Option<Pin>,
    pub(super) validity: Option<Validity>,
    pub(super) deferred: Option<TrustRefusal>,
}

/// When a certificate is valid: seconds since 1970, ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: u64,
    /// The last.
    pub not_after: u64,
}

impl Presented {
    /// The pin of the server's public key: the servers of one key are one witness.
    pub fn key(&self) -> Option<Pin> {
        self.key
    }

    /// Whether that key is one the user named.
    pub fn is_pinned(&self) -> bool {
        self.key.is_some_and(|key| self.rules.pins.contains(&key))
    }

    /// When all certificates shown are valid; empty (it ends before it begins) if they never are at
    /// once, None if no certificate had to be checked or one cannot be read.
    pub fn validity(&self) -> Option<Validity> {
        self.validity
    }

    /// Why our clock would have refused the certificates, if their dates were left for later.
    pub fn deferred(&self) -> Option<&TrustRefusal> {
        self.deferred.as_ref()
    }

    /// Checks everything again at another time: from `low` to `high`, in seconds since 1970.
    ///
    /// # Errors
    /// The [`TrustRefusal`] at the first of the two at which it does not hold.
    pub fn check_between(&self, low: u64, high: u64) -> Result<(), TrustRefusal> {
        for seconds in [low, high] {
            let then = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
            self.rules
                .check(&self.chain, &self.name, then, By::Servers)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented")
            .field("name", &self.name)
            .field("key", &self.key)
            .field("validity", &self.validity)
            .field("deferred", &self.deferred)
            .finish_non_exhaustive()
    }
}

impl Validity {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Result<Self, TrustRefusal> {
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|error| TrustRefusal::Other {
                problem: error.to_string(),
            })?;
        let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp());
        let dates = parsed.validity();
        Ok(Self {
            // What began before 1970 has begun, and what ended before has ended.
            not_before: seconds(dates.not_before).unwrap_or(0),
            not_after: seconds(dates.not_after).unwrap_or(0),
        })
    }

    pub(super) fn of_all(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let mut all = chain.iter().map(Self::of);
        let first = all.next()?.ok()?;
        all.try_fold(first, |so_far, next| {
            let next = next.ok()?;
            Some(Self {
                not_before: so_far.not_before.max(next.not_before),
                not_after: so_far.not_after.min(next.not_after),
            })
        })
    }
}
