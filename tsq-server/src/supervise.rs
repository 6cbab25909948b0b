//! The main thread while the others serve.

use std::io;
use std::time::Instant;

use crate::reload::{self, Reload};
use crate::signals::{Awaited, Signals};

/// Keeps certificates and keys fresh until the service is to end.
///
/// # Errors
/// Those of waiting for signals.
pub fn supervise(signals: &Signals, mut reload: Reload) -> io::Result<()> {
    let mut due = Instant::now() + reload::EVERY;
    loop {
        match signals.wait(Some(
            due.saturating_duration_since(Instant::now()).max(SHORTEST),
        ))? {
            Awaited::End => return Ok(()),
            Awaited::Reload => {
                tracing::info!("SIGHUP: reading certificates and keys again");
                reload.now();
            }
            Awaited::Nothing => {}
        }
        if Instant::now() >= due {
            reload.look();
            due = Instant::now() + reload::EVERY;
        }
    }
}

/// A socket's time limit must not be 0.
const SHORTEST: std::time::Duration = std::time::Duration::from_millis(1);
