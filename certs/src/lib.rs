//! Makes certificate authorities, server certificates and signing keys for TSQ, and prints pins.
//!
//! It makes what a TSQ server and its clients need, and no more: one CA level, server certificates
//! for DNS names and addresses, self-signed certificates meant to be pinned. It does not revoke,
//! renew or answer certificate requests. Signing keys are `tsq-keys`'s; here they become files. Reading certificates,
//! keys and pins is `tsq-x509`'s, and can be had from here too.
//!
//! Keys are P-256 unless asked otherwise: every TLS 1.3 stack must support ECDSA with P-256
//! (RFC 8446 section 9.1), while Ed25519 certificates are optional and several QUIC stacks and all
//! major browsers refuse them. Ed25519 costs the server less per handshake; choose it when all
//! clients are known.

#![forbid(unsafe_code)]

mod error;
mod files;
mod lifetime;
mod make;
mod name;

pub use error::Error;
pub use files::{save, save_signing_key, write_new};
pub use lifetime::{Lifetime, When};
pub use make::{Authority, KeyType, Made, make_ca, make_client, make_self_signed, make_server};
pub use tsq_x509::{Pin, pem, pin_of_der, pin_of_pem, read_small_file};
