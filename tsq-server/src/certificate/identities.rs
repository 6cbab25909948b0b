use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Certificate;
use tsq_host::newest::Newest;

/// The certificates new handshakes are made with; they may be replaced at any time.
#[derive(Debug)]
pub struct Identities(Arc<Newest<Vec<Certificate>>>);

impl Identities {
    /// Shows a client the certificate with the name it asks for, else the first.
    pub fn new(certificates: Vec<Certificate>) -> Arc<Self> {
        Arc::new(Self(Newest::new(certificates)))
    }

    /// From now on shows these; connections that are there already live on.
    pub fn replace(&self, certificates: Vec<Certificate>) {
        self.0.replace(certificates);
    }

    /// What is shown now.
    pub fn newest(&self) -> Arc<Vec<Certificate>> {
        self.0.newest()
    }

    fn choose(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let certificates = self.newest();
        let fitting = || {
            let name = name.filter(|_| certificates.len() > 1)?;
            certificates.iter().find(|one| is_for(one, name))
        };
        fitting()
            .or(certificates.first())
            .map(|one| Arc::clone(&one.key))
    }
}

impl ResolvesServerCert for Identities {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name())
    }
}

/// Whether a client that looks for `name` takes this certificate.
pub(super) fn is_for(certificate: &Certificate, name: &str) -> bool {
    let leaf = certificate.key.cert.first();
    let leaf = leaf.and_then(|leaf| ParsedCertificate::try_from(leaf).ok());
    let name = ServerName::try_from(name);
    leaf.zip(name.ok())
        .is_some_and(|(leaf, name)| verify_server_name(&leaf, &name).is_ok())
}

#[cfg(test)]
mod tests {
    use tsq_certs::{Lifetime, make_self_signed};

    use super::super::load_all;
    use super::*;
    use crate::settings::{CertificateSource, PemPair};

    fn identities(names: &[&str]) -> (Arc<Identities>, Vec<Arc<CertifiedKey>>) {
        let dir = tempfile::tempdir().unwrap();
        let pairs = names
            .iter()
            .map(|name| {
                let lifetime = Lifetime::days(1).unwrap();
                let made = make_self_signed(&[(*name).to_string()], lifetime).unwrap();
                let file = |kind| dir.path().join(name.replace('*', "any") + kind);
                let (cert, key) = tsq_certs::save(
                    &made,
                    dir.path(),
                    &path(&file(".pem")),
                    &path(&file(".key")),
                )
                .unwrap();
                PemPair { cert, key }
            })
            .collect();
        let source = CertificateSource::Files(pairs);
        let certificates = load_all(&source).unwrap();
        let keys = certificates
            .iter()
            .map(|one| Arc::clone(&one.key))
            .collect();
        (Identities::new(certificates), keys)
    }

    fn path(path: &std::path::Path) -> String {
        path.to_str().unwrap().into()
    }

    #[test]
    fn client_gets_the_certificate_it_asks_for_and_the_first_otherwise() {
        let (identities, keys) = identities(&["a.example", "b.example", "*.c.example"]);
        for (asked, expected) in [
            (Some("a.example"), 0),
            (Some("b.example"), 1),
            (Some("B.Example"), 1),
            (Some("x.c.example"), 2),
            (Some("x.y.c.example"), 0),
            (Some("elsewhere.example"), 0),
            (Some("not a name"), 0),
            (None, 0),
        ] {
            let chosen = identities.choose(asked).unwrap();
            assert!(Arc::ptr_eq(&chosen, &keys[expected]), "{asked:?}");
        }
    }
}
