//! The main thread while the others serve.

use std::io;
use std::time::{Duration, Instant};

use crate::metrics::{LimitLog, Metrics};
use crate::reload::{self, Reload};
use crate::shards::Workers;
use tsq_host::notify;
use tsq_host::signals::{Awaited, Signals};

/// Keeps certificates and keys fresh, and tells the service manager that all threads go on, until
/// the service is to end.
///
/// # Errors
/// Those of waiting for signals.
pub fn supervise(
    signals: &Signals,
    mut reload: Reload,
    workers: &mut Workers,
    metrics: &Metrics,
) -> io::Result<()> {
    let mut files = Rounds::every(reload::EVERY);
    let mut limits = LimitLog::default();
    let mut watchdog = notify::watchdog().map(Rounds::every);
    loop {
        let due = watchdog
            .as_ref()
            .map_or(files.due, |dog| dog.due.min(files.due));
        // A socket's time limit must not be 0.
        let wait = due.saturating_duration_since(Instant::now());
        match signals.wait(Some(wait.max(Duration::from_millis(1))))? {
            Awaited::End => return Ok(()),
            Awaited::Reload => {
                tracing::info!("SIGHUP: reading certificates and keys again");
                notify::reloading();
                if reload.now() {
                    workers.nudge();
                }
                notify::ready();
            }
            Awaited::Summary => metrics.log(),
            Awaited::Nothing => {}
        }
        if files.is_due() {
            if reload.look() {
                workers.nudge();
            }
            for line in limits.look(Instant::now(), &metrics.over_limits()) {
                tracing::warn!("{line}");
            }
        }
        if watchdog.as_mut().is_some_and(Rounds::is_due) {
            if workers.have_gone_on() {
                notify::alive();
            } else {
                tracing::warn!("a serving thread makes no progress");
            }
        }
    }
}

/// Something to do now and then.
struct Rounds {
    every: Duration,
    due: Instant,
}

impl Rounds {
    fn every(every: Duration) -> Self {
        Self {
            every,
            due: Instant::now() + every,
        }
    }

    /// Whether it is time; the next time then counts from now.
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = now >= self.due;
        if due {
            self.due = now + self.every;
        }
        due
    }
}
