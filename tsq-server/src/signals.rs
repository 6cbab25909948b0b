//! When to end: a signal, or a thread that ended by itself.

use std::io;
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGINT, SIGTERM};

/// Waits for a signal to end, or for a serving thread that ended by itself.
#[derive(Debug)]
pub struct Signals {
    receiver: UnixStream,
    sender: UnixStream,
}

impl Signals {
    /// Catches SIGTERM and SIGINT from now on.
    ///
    /// # Errors
    /// Those of socketpair(2) and sigaction(2).
    pub fn register() -> io::Result<Self> {
        let signals = Self::none()?;
        for signal in [SIGTERM, SIGINT] {
            signal_hook::low_level::pipe::register(signal, signals.sender.try_clone()?)?;
        }
        Ok(signals)
    }

    /// Catches no signal: waits for threads alone.
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub fn none() -> io::Result<Self> {
        let (receiver, sender) = UnixStream::pair()?;
        Ok(Self { receiver, sender })
    }

    /// Ends the wait when dropped.
    ///
    /// # Errors
    /// No file descriptors are left.
    pub fn ender(&self) -> io::Result<Ender> {
        self.sender.try_clone().map(Ender)
    }

    /// Waits.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn wait(&self) -> io::Result<()> {
        io::Read::read(&mut &self.receiver, &mut [0]).map(drop)
    }
}

/// Ends the wait of the [`Signals`] it came from when it is dropped.
#[derive(Debug)]
pub struct Ender(UnixStream);

impl Drop for Ender {
    fn drop(&mut self) {
        // If the main thread no longer listens, it is ending already.
        let _ = io::Write::write(&mut self.0, &[1]);
    }
}
