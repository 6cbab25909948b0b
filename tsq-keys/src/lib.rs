//! Signing keys for TSQ answers: key files, sets of keys with rotation, Ed25519 and HMAC-SHA256.
//!
//! A server loads [`SigningKeys`] and signs with the one that is [active](SigningKeys::active); a client loads
//! [`VerifyKeys`] and looks each up by the id an answer names. [`PrivateKey`] and [`PublicKey`] are what the files
//! hold; `tsq-certs signing-key` makes them.
//!
//! # Files
//!
//! TOML, one key each; a field that is not listed here is refused.
//!
//! ```toml
//! # Private: mode 0600, or it is refused.
//! id = 7                                # unsigned, 32 bits; unique in a set
//! algorithm = "ed25519"                 # or "hmac-sha256"
//! secret = "9d61…7f60"                  # 64 hexadecimal digits: the Ed25519 seed or the HMAC key
//! valid_from = "2026-11-20T00:00:00Z"   # optional, RFC 3339; without it the key was always valid
//! ```
//!
//! ```toml
//! # Public, Ed25519 only: for anyone who verifies.
//! id = 7
//! algorithm = "ed25519"
//! public = "d75a…511a"
//! ```
//!
//! HMAC has no public half: who verifies needs the private file, and could sign as well.
//!
//! # Rotation
//!
//! Clients get the next key's public file first, at any time. The server then holds both keys and changes over by
//! itself when the next one's `valid_from` comes. The old files may go once no answer of theirs is to be verified.
//!
//! What is not here: keys are neither fetched nor revoked, and PEM and PKCS #8 are not read.

#![forbid(unsafe_code)]

mod algorithm;
mod error;
mod file;
mod hex;
mod ids;
mod private_key;
mod public_key;
mod signing;
mod valid_from;
mod verify;

pub use algorithm::Algorithm;
pub use error::{Error, NoRandomness, Problem};
pub use private_key::PrivateKey;
pub use public_key::PublicKey;
pub use signing::{SigningKey, SigningKeys};
pub use verify::VerifyKeys;
