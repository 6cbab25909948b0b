//! What every shard of a server must know to speak for the others.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use quinn_proto::crypto::{HandshakeTokenKey, HmacKey};
use ring::rand::SecureRandom;
use ring::{hkdf, hmac, rand};

/// The root of a server's own keys: those of stateless resets and of address validation tokens.
///
/// Each address has keys of its own ([`Self::at`]): what one does not know, it answers with a reset, and with
/// common keys that would end the connection that another address has under this id.
///
/// Not a certificate's key: whoever knows it can end connections and pass for a validated address.
#[derive(Clone)]
pub struct ServerSecret([u8; Self::LENGTH]);

impl ServerSecret {
    /// Bytes of a secret.
    pub const LENGTH: usize = 32;

    /// A new one.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn random() -> std::io::Result<Self> {
        let mut bytes = [0; Self::LENGTH];
        rand::SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| std::io::Error::other("the system gives no random bytes"))?;
        Ok(Self(bytes))
    }

    /// One that was kept or handed over.
    pub fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// To keep or hand over.
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// That of one address among those this is the secret of: the same for all its shards, and in the
    /// process that takes over.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let (ip, port) = (ip.octets(), address.port().to_be_bytes());
        // A zone tells two link-local addresses apart.
        let zone = match address {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(address) => address.scope_id(),
        };
        Self(self.derive(&[b"tsq address", &ip, &port, &zone.to_be_bytes()]))
    }

    /// The key of stateless resets.
    pub(crate) fn reset_key(&self) -> Arc<dyn HmacKey> {
        let key: [u8; 64] = self.derive(&[b"tsq stateless reset"]);
        Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    /// The key of address validation tokens, for [`quinn_proto::ServerConfig::token_key`].
    pub fn token_key(&self) -> Arc<dyn HandshakeTokenKey> {
        let key: [u8; 64] = self.derive(&[b"tsq address validation"]);
        Arc::new(hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&key))
    }

    pub(crate) fn derive<const N: usize>(&self, purpose: &[&[u8]]) -> [u8; N] {
        struct Length(usize);
        impl hkdf::KeyType for Length {
            fn len(&self) -> usize {
                self.0
            }
        }
        let mut derived = [0; N];
        hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
            .extract(&self.0)
            .expand(purpose, Length(N))
            .and_then(|material| material.fill(&mut derived))
            .expect("HKDF-SHA256 gives up to 8160 bytes");
        derived
    }
}

impl fmt::Debug for ServerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_secret_gives_the_same_keys_and_another_gives_others() {
        let first = ServerSecret::random().unwrap();
        let kept = ServerSecret::from_bytes(*first.as_bytes());
        let signed = |secret: &ServerSecret| {
            let key = secret.reset_key();
            let mut signature = vec![0; key.signature_len()];
            key.sign(b"id", &mut signature);
            signature
        };
        assert_eq!(signed(&first), signed(&kept));
        assert_ne!(signed(&first), signed(&ServerSecret::random().unwrap()));
        let purposes: [[u8; 16]; 2] = [first.derive(&[b"one"]), first.derive(&[b"other"])];
        assert_ne!(purposes[0], purposes[1]);
    }

    #[test]
    fn every_address_has_its_own_keys_and_the_same_ones_again() {
        let secret = ServerSecret::from_bytes([7; 32]);
        let addresses = [
            "192.0.2.1:443",
            "192.0.2.1:444",
            "192.0.2.2:443",
            "[::]:443",
            "[fe80::1%1]:443",
            "[fe80::1%2]:443",
        ];
        let secrets = addresses.map(|address| *secret.at(address.parse().unwrap()).as_bytes());
        for (index, one) in secrets.iter().enumerate() {
            assert_eq!(
                *one,
                *secret.at(addresses[index].parse().unwrap()).as_bytes()
            );
            assert!(!secrets[..index].contains(one), "{}", addresses[index]);
            assert_ne!(one, secret.as_bytes());
        }
    }

    #[test]
    fn secret_is_not_shown() {
        let shown = format!("{:?}", ServerSecret::from_bytes([0x77; 32]));
        assert_eq!(shown, "ServerSecret(..)");
    }
}
