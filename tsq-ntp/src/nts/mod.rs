//! Network Time Security (RFC 8915): keys over TLS, then packets protected by them.
//!
//! [`record`] and [`packet`] are pure; [`exchange_keys`] talks to the server.

mod key_exchange;
pub mod packet;
pub mod record;

pub use key_exchange::{ALPN, exchange_keys, tls};
pub use packet::Session;
