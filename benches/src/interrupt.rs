//! Signals that would end the process before it has cleaned up: noted instead.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::Error;

/// Whether a signal has come. One for the process: a section of a whole run sees what the run was told.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on the first signal only is noted; a second one ends the process at once. Call before anything is
    /// made that must be removed.
    pub(crate) fn note() -> Result<Self, Error> {
        static NOTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
        if let Some(noted) = NOTED.get() {
            return Ok(Self(Arc::clone(noted)));
        }
        let noted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // In this order: the second signal finds what the first has noted.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&noted))?;
            flag::register(signal, Arc::clone(&noted))?;
        }
        Ok(Self(Arc::clone(NOTED.get_or_init(|| noted))))
    }

    /// Whether a signal came.
    pub(crate) fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// # Errors
    /// A signal came.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.came() {
            true => Err("interrupted".into()),
            false => Ok(()),
        }
    }
}
