//! What a core would otherwise take from the host by itself: the time, and chance.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use tsq_net::ClockPair;
use tsq_net::tls::Ambient;

/// This host's clocks at one moment, as whoever drives a [`Client`](crate::Client) has read them.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// What timers go by; it never steps.
    pub instant: Instant,
    /// The wall clock, which may step, and the other one with it to notice.
    pub clocks: ClockPair,
}

/// A core's cryptography and chance, and the time that TLS is told.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    provider: Arc<CryptoProvider>,
    told: Arc<Told>,
}

/// The wall clock when the core was last called, in nanoseconds since 1970.
#[derive(Debug)]
struct Told(AtomicI64);

impl TimeProvider for Told {
    fn current_time(&self) -> Option<UnixTime> {
        let nanos = u64::try_from(self.0.load(Ordering::Relaxed)).ok()?;
        let since = std::time::Duration::from_nanos(nanos);
        Some(UnixTime::since_unix_epoch(since))
    }
}

impl Means {
    pub(crate) fn new(provider: Arc<CryptoProvider>, now: &Now) -> Self {
        let means = Self {
            provider,
            told: Arc::new(Told(AtomicI64::new(0))),
        };
        means.tell(now);
        means
    }

    /// It is `now`.
    pub(crate) fn tell(&self, now: &Now) {
        let nanos = now.clocks.real.as_unix_nanos();
        self.told.0.store(nanos, Ordering::Relaxed);
    }

    /// What TLS is told the time is; None before 1970.
    pub(crate) fn unix_time(&self) -> Option<UnixTime> {
        self.told.current_time()
    }

    pub(crate) fn time(&self) -> Arc<dyn TimeProvider> {
        Arc::clone(&self.told) as _
    }

    pub(crate) fn ambient(&self) -> Ambient {
        Ambient {
            provider: Arc::clone(&self.provider),
            time: self.time(),
        }
    }

    /// Bytes that nobody can guess; None if there are none to be had.
    pub(crate) fn draw<const N: usize>(&self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.provider.secure_random.fill(&mut bytes).ok()?;
        Some(bytes)
    }
}
