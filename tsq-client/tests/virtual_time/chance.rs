//! Chance and time for TLS that are the same in every run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::NamedGroup;
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret,
    SupportedKxGroup,
};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// The project's cryptography with randomness that anybody can guess: for tests alone.
pub(crate) fn provider(seed: u64) -> Arc<CryptoProvider> {
    // The library wants them for as long as the process lives.
    let random: &'static Guessable = Box::leak(Box::new(Guessable(Mutex::new(seed))));
    Arc::new(CryptoProvider {
        secure_random: random,
        kx_groups: vec![Box::leak(Box::new(Open(random)))],
        ..(*tsq_net::tls::provider()).clone()
    })
}

/// SplitMix64.
#[derive(Debug)]
struct Guessable(Mutex<u64>);

impl SecureRandom for Guessable {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        let mut state = self.0.lock().map_err(|_| GetRandomFailed)?;
        for chunk in bytes.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = *state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let drawn = (mixed ^ (mixed >> 31)).to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
        Ok(())
    }
}

/// In the place of an exchange of keys, whose own chance nobody can choose: the secret is made of what both have shown.
#[derive(Debug)]
struct Open(&'static Guessable);

impl SupportedKxGroup for Open {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, rustls::Error> {
        let mut shown = [0; 32];
        self.0.fill(&mut shown)?;
        Ok(Box::new(Shown(shown)))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct Shown([u8; 32]);

impl ActiveKeyExchange for Shown {
    fn complete(self: Box<Self>, theirs: &[u8]) -> Result<SharedSecret, rustls::Error> {
        let both: Vec<u8> = self.0.iter().zip(theirs).map(|(a, b)| a ^ b).collect();
        Ok(SharedSecret::from(&both[..]))
    }

    fn pub_key(&self) -> &[u8] {
        &self.0
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// What a server's TLS takes for the time.
#[derive(Debug, Default)]
pub(crate) struct ToldTime(AtomicU64);

impl ToldTime {
    pub(crate) fn tell(&self, since_1970: Duration) {
        self.0.store(since_1970.as_secs(), Ordering::Relaxed);
    }
}

impl TimeProvider for ToldTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.0.load(Ordering::Relaxed);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
