//! What the main thread waits for: signals, threads that end, and the time for its own round.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

/// Waits for a signal, or for a serving thread that ended by itself.
#[derive(Debug)]
pub struct Signals {
    receiver: UnixStream,
    sender: UnixStream,
    end: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    summary: Arc<AtomicBool>,
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The service is to end: SIGTERM, SIGINT, or a serving thread has ended.
    End,
    /// Files are to be read again: SIGHUP.
    Reload,
    /// The log is to have a summary: SIGUSR1.
    Summary,
    /// The time has passed.
    Nothing,
}

impl Signals {
    /// Catches SIGTERM, SIGINT, SIGHUP and SIGUSR1 from now on.
    ///
    /// # Errors
    /// Those of socketpair(2) and sigaction(2).
    pub fn register() -> io::Result<Self> {
        let signals = Self::none()?;
        for signal in [SIGTERM, SIGINT] {
            signals.catch(signal, &signals.end)?;
        }
        signals.catch(SIGHUP, &signals.reload)?;
        signals.catch(SIGUSR1, &signals.summary)?;
        Ok(signals)
    }

    /// Catches no signal: waits for threads alone.
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub fn none() -> io::Result<Self> {
        let (receiver, sender) = UnixStream::pair()?;
        Ok(Self {
            receiver,
            sender,
            end: Arc::default(),
            reload: Arc::default(),
            summary: Arc::default(),
        })
    }

    /// The flag first: whoever is woken by the byte must see it.
    fn catch(&self, signal: i32, flag: &Arc<AtomicBool>) -> io::Result<()> {
        signal_hook::flag::register(signal, Arc::clone(flag))?;
        signal_hook::low_level::pipe::register(signal, self.sender.try_clone()?)?;
        Ok(())
    }

    /// Ends the wait when dropped.
    ///
    /// # Errors
    /// No file descriptors are left.
    pub fn ender(&self) -> io::Result<Ender> {
        Ok(Ender {
            sender: self.sender.try_clone()?,
            end: Arc::clone(&self.end),
        })
    }

    /// Waits, at most for `limit` where there is one.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn wait(&self, limit: Option<Duration>) -> io::Result<Awaited> {
        let told = [&self.end, &self.reload, &self.summary];
        if !told.iter().any(|flag| flag.load(Ordering::Acquire)) {
            self.receiver.set_read_timeout(limit)?;
            match io::Read::read(&mut &self.receiver, &mut [0; 64]) {
                Ok(_) => {}
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error),
            }
        }
        if self.end.load(Ordering::Acquire) {
            Ok(Awaited::End)
        } else if self.reload.swap(false, Ordering::AcqRel) {
            Ok(Awaited::Reload)
        } else if self.summary.swap(false, Ordering::AcqRel) {
            Ok(Awaited::Summary)
        } else {
            Ok(Awaited::Nothing)
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

/// Ends the wait of the [`Signals`] it came from when it is dropped.
#[derive(Debug)]
pub struct Ender {
    sender: UnixStream,
    end: Arc<AtomicBool>,
}

impl Drop for Ender {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Release);
        // If the main thread no longer listens, it is ending already.
        let _ = io::Write::write(&mut self.sender, &[1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_ends_by_time_or_by_a_thread() {
        let signals = Signals::none().unwrap();
        let brief = Some(Duration::from_millis(1));
        assert_eq!(signals.wait(brief).unwrap(), Awaited::Nothing);
        let ender = signals.ender().unwrap();
        let thread = std::thread::spawn(move || drop(ender));
        assert_eq!(signals.wait(None).unwrap(), Awaited::End);
        thread.join().unwrap();
        assert_eq!(signals.wait(brief).unwrap(), Awaited::End, "it stays so");
    }

    #[test]
    fn what_was_asked_is_told_once() {
        let signals = Signals::none().unwrap();
        signals.reload.store(true, Ordering::Release);
        signals.summary.store(true, Ordering::Release);
        assert_eq!(signals.wait(None).unwrap(), Awaited::Reload);
        assert_eq!(signals.wait(None).unwrap(), Awaited::Summary);
        let brief = Some(Duration::from_millis(1));
        assert_eq!(signals.wait(brief).unwrap(), Awaited::Nothing);
    }
}
