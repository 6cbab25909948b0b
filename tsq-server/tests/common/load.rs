//! What the clients and their test tell each other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Far beyond what any machine needs.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct Load {
    stop: AtomicBool,
    answered: AtomicU64,
}

impl Load {
    pub(crate) fn wait_for_more(&self, answers: u64) {
        let begun = Instant::now();
        let enough = self.answered.load(Ordering::Relaxed) + answers;
        // When the clients have failed, why is theirs to tell.
        while self.answered.load(Ordering::Relaxed) < enough && !self.stopped() {
            assert!(begun.elapsed() < LIMIT, "no {answers} answers in {LIMIT:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Ends the clients also when the test fails.
    pub(crate) fn stop_on_drop(&self) -> impl Drop {
        struct Guard<'a>(&'a Load);
        impl Drop for Guard<'_> {
            fn drop(&mut self) {
                self.0.stop();
            }
        }
        Guard(self)
    }
}
