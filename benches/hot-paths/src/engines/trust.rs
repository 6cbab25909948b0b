//! Configurations of both sides, with the certificate that tsq-certs makes by default: P-256.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::verify_tls13_signature;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tsq_net::{ClientConfig, Role, ServerConfig, tls};

pub(super) fn configurations() -> (ClientConfig, ServerConfig) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()])
        .expect("a certificate for a name");
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let certified =
        tls::certified_key(vec![made.cert.der().clone()], key).expect("they were made together");
    let role = Role::Server {
        streams: 16,
        idle: Duration::from_secs(60),
        buffer: 16 * 1024,
    };
    (
        tls::client(Arc::new(Known)).expect("a client's configuration"),
        tls::server(certified, role).expect("a server's configuration"),
    )
}

/// Knows the certificate, as by a pin, and checks that the server has its key. Chains are no hot path.
#[derive(Debug)]
struct Known;

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("QUIC has no TLS 1.2".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = tls::provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        tls::provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
