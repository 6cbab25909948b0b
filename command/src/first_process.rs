//! Signals where this process is the first of a container.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;

/// Lets SIGTERM, SIGINT, SIGHUP and SIGQUIT end this process if it is the first one, with 128 and the signal's number
/// as shells tell it (143 after SIGTERM). Any other process is ended by them without this.
///
/// The kernel keeps from a first process (pid_namespaces(7)) every signal that it has no handler for: `docker stop` would
/// wait for its time limit, and Ctrl-C do nothing.
///
/// # Errors
/// Those of sigaction(2); none is known for these signals.
pub fn end_by_signals() -> io::Result<Ending> {
    let wanted = Arc::new(AtomicBool::new(true));
    if std::process::id() == FIRST {
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT] {
            register_conditional_shutdown(signal, 128 + signal, Arc::clone(&wanted))?;
        }
    }
    Ok(Ending { wanted })
}

/// Signals end this process; dropping it changes nothing.
#[derive(Debug)]
pub struct Ending {
    wanted: Arc<AtomicBool>,
}

impl Ending {
    /// Leaves the signals to handlers that were registered meanwhile.
    pub fn leave(self) {
        self.wanted.store(false, Ordering::Release);
    }
}

const FIRST: u32 = 1;
