//! Configurations of both sides, with the certificate that tsq-certs makes by default: P-256.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use tsq_dev::AnyCertificate;
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
        tls::client(Arc::new(AnyCertificate::default())).expect("a client's configuration"),
        tls::server(certified, role).expect("a server's configuration"),
    )
}
