//! TLS for both sides: TLS 1.3 only, the project's cipher suites, ALPN of the draft.

mod issued;
mod tickets;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{ClientConfig, ServerConfig, TimeSource};
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{cipher_suite, default_provider};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::quic::Suite;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};

use crate::transport::{Role, transport};
pub use issued::Issued;
pub use tickets::{Sessions, Tickets};

/// The application protocol of the draft (C2).
pub const ALPN_DRAFT: &[u8] = b"tsq";

/// The application protocol the deployed reference programs negotiate (C2, F1).
pub const ALPN_DEPLOYED: &[u8] = b"tsq/1";

/// The cryptography both sides use.
///
/// `ring` starts in no time, which a one-shot client needs. AES-128 comes first: it is the
/// cheapest suite wherever the processor has AES (docs/design/decisions.md).
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
        ],
        ..default_provider()
    })
}

/// What TLS would otherwise take from the host by itself.
///
/// `ring` draws the keys of an exchange itself ([`CryptoProvider::kx_groups`]).
#[derive(Clone, Debug)]
pub struct Ambient {
    /// Cryptography, and chance ([`CryptoProvider::secure_random`]).
    pub provider: Arc<CryptoProvider>,
    /// The time, for the dates of certificates and the age of tickets and tokens.
    pub time: Arc<dyn TimeProvider>,
}

/// The project's cryptography ([`provider`]) and the system's clock.
impl Default for Ambient {
    fn default() -> Self {
        Self {
            provider: provider(),
            time: Arc::new(DefaultTimeProvider),
        }
    }
}

/// A certificate chain and its key, known to belong together.
///
/// # Errors
/// The key is of an unknown kind, or is not the certificate's.
pub fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, rustls::Error> {
    CertifiedKey::from_der(chain, key, &provider())
}

/// A server that shows `certificate` to everyone, and serves everyone.
///
/// `role` as in [`Role::Server`].
///
/// # Errors
/// Those of rustls for a configuration that cannot work; none is known for a key that came from
/// [`certified_key`].
pub fn server(certificate: CertifiedKey, role: Role) -> Result<ServerConfig, rustls::Error> {
    let certificates = SingleCertAndKey::from(certificate);
    server_with(Arc::new(certificates), Arc::new(NoClientAuth), role)
}

/// A server that asks `certificates` what to show, and `clients` whom to serve.
///
/// Both are asked at every full handshake; they may give other answers as time goes by.
///
/// # Errors
/// As for [`server`].
pub fn server_with(
    certificates: Arc<dyn ResolvesServerCert>,
    clients: Arc<dyn ClientCertVerifier>,
    role: Role,
) -> Result<ServerConfig, rustls::Error> {
    server_issuing(certificates, clients, role, &Issued::default())
}

/// As [`server_with`], with the sessions clients may take up again in `issued`.
///
/// # Errors
/// As for [`server`].
pub fn server_issuing(
    certificates: Arc<dyn ResolvesServerCert>,
    clients: Arc<dyn ClientCertVerifier>,
    role: Role,
    issued: &Issued,
) -> Result<ServerConfig, rustls::Error> {
    server_under(Ambient::default(), certificates, clients, role, issued)
}

/// As [`server_issuing`], with chance and time from `ambient`.
///
/// # Errors
/// As for [`server`].
pub fn server_under(
    ambient: Ambient,
    certificates: Arc<dyn ResolvesServerCert>,
    clients: Arc<dyn ClientCertVerifier>,
    role: Role,
    issued: &Issued,
) -> Result<ServerConfig, rustls::Error> {
    let time = Arc::new(TokenTime(Arc::clone(&ambient.time)));
    let mut tls = rustls::ServerConfig::builder_with_details(ambient.provider, ambient.time)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(certificates);
    // tsq: C2
    tls.alpn_protocols = vec![ALPN_DRAFT.to_vec(), ALPN_DEPLOYED.to_vec()];
    // tsq: C3
    tls.max_early_data_size = u32::MAX;
    // Each connection takes one ticket and brings the next: a second one costs time and memory for nobody.
    tls.send_tls13_tickets = 1;
    tls.session_storage = issued.store();
    let quic = QuicServerConfig::with_initial(Arc::new(tls), initial_suite())
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut config = ServerConfig::with_crypto(Arc::new(quic));
    config.time_source(time);
    config.transport_config(transport(role));
    Ok(config)
}

/// A client that asks `verifier` about the server's certificate, in every handshake.
///
/// # Errors
/// As for [`server`].
pub fn client(verifier: Arc<dyn ServerCertVerifier>) -> Result<ClientConfig, rustls::Error> {
    client_with(verifier, Sessions::Forget)
}

/// As [`client`], with what was kept of earlier connections to the same server.
///
/// Make one configuration for each server and keep it: a ticket is used only with the very
/// verifier (the same `Arc`) that believed the connection it came from.
///
/// # Errors
/// As for [`server`].
pub fn client_with(
    verifier: Arc<dyn ServerCertVerifier>,
    sessions: Sessions,
) -> Result<ClientConfig, rustls::Error> {
    client_as(Arc::new(NoIdentity), verifier, sessions)
}

/// As [`client_with`], with a certificate for servers that ask for one.
///
/// # Errors
/// As for [`server`].
pub fn client_as(
    identity: Arc<dyn ResolvesClientCert>,
    verifier: Arc<dyn ServerCertVerifier>,
    sessions: Sessions,
) -> Result<ClientConfig, rustls::Error> {
    quic_client(client_tls(
        Ambient::default(),
        identity,
        verifier,
        sessions,
    )?)
}

/// The part of [`client_as`] that is TLS, with chance and time from `ambient`: for a caller that keeps it to
/// make more connections under another time ([`rustls::ClientConfig::time_provider`]).
///
/// # Errors
/// As for [`server`].
pub fn client_tls(
    ambient: Ambient,
    identity: Arc<dyn ResolvesClientCert>,
    verifier: Arc<dyn ServerCertVerifier>,
    sessions: Sessions,
) -> Result<rustls::ClientConfig, rustls::Error> {
    let mut tls = rustls::ClientConfig::builder_with_details(ambient.provider, ambient.time)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(identity);
    // tsq: C2
    tls.alpn_protocols = vec![ALPN_DRAFT.to_vec(), ALPN_DEPLOYED.to_vec()];
    // tsq: C3
    (tls.resumption, tls.enable_early_data) = sessions.into_rustls();
    Ok(tls)
}

/// A client's QUIC over what [`client_tls`] made.
///
/// # Errors
/// As for [`server`].
pub fn quic_client(tls: rustls::ClientConfig) -> Result<ClientConfig, rustls::Error> {
    let quic = QuicClientConfig::with_initial(Arc::new(tls), initial_suite())
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut config = ClientConfig::new(Arc::new(quic));
    config.transport_config(transport(Role::Client));
    Ok(config)
}

/// TLS's time, for the age of QUIC's address tokens.
struct TokenTime(Arc<dyn TimeProvider>);

impl TimeSource for TokenTime {
    fn now(&self) -> SystemTime {
        let seconds = self.0.current_time().map_or(0, |time| time.as_secs());
        UNIX_EPOCH + Duration::from_secs(seconds)
    }
}

/// Has no certificate to show.
#[derive(Debug)]
pub struct NoIdentity;

impl ResolvesClientCert for NoIdentity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// QUIC's Initial packets use AES-128-GCM whatever is negotiated later (RFC 9001, section 5).
fn initial_suite() -> Suite {
    cipher_suite::TLS13_AES_128_GCM_SHA256
        .tls13()
        .and_then(rustls::Tls13CipherSuite::quic_suite)
        .expect("ring's AES-128-GCM suite works with QUIC")
}
