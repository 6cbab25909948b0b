//! A line on the terminal while a measurement takes long.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use tsq_client::Progress;

/// Shows progress on standard error, if that is a terminal; leaves nothing behind.
pub struct Line {
    terminal: bool,
    shown: bool,
}

impl Line {
    /// Silent unless `wanted` and standard error is a terminal.
    pub fn new(wanted: bool) -> Self {
        Self {
            terminal: wanted && std::io::stderr().is_terminal(),
            shown: false,
        }
    }

    /// Shows how far the measurement is, once it takes long.
    pub fn show(&mut self, progress: &Progress) {
        if self.terminal && progress.elapsed >= PATIENCE {
            self.shown = true;
            let Progress {
                done,
                servers,
                elapsed,
            } = progress;
            // A terminal that is gone needs no progress.
            let _ = write!(
                std::io::stderr(),
                "\r{done} of {servers} servers done, {:.1} s \x1b[K",
                elapsed.as_secs_f64()
            );
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// Faster runs show no progress.
const PATIENCE: Duration = Duration::from_millis(500);
