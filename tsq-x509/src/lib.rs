//! Reads what people hand to TSQ programs to know each other by: PEM files of certificates and keys, and pins.
//!
//! It makes none of them (that is `tsq-certs`), and believes none (that is `tsq-client` and `tsq-server`).

#![forbid(unsafe_code)]

pub mod pem;
mod pin;
mod small_file;

pub use pin::{BadCertificate, BadPin, Pin, pin_of_der, pin_of_pem};
pub use small_file::read_small_file;
