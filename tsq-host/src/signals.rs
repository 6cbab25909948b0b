//! What the main thread waits for: signals, threads that end, and the time for its own round.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
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

/// What ended a wait for another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// There is something to read.
    Word,
    /// The service is to end.
    End,
    /// The time has passed.
    Nothing,
}

impl Signals {
    /// Waits until there is something to read from `other`, where there is one, at most for `limit`; what else is asked
    /// meanwhile waits for [`Self::wait`].
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn hear(&self, other: Option<BorrowedFd<'_>>, limit: Duration) -> io::Result<Heard> {
        let deadline = Instant::now() + limit;
        loop {
            if self.end.load(Ordering::Acquire) {
                return Ok(Heard::End);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(io::Error::other)?;
            let mut fds = vec![PollFd::new(&self.receiver, PollFlags::IN)];
            fds.extend(other.map(|other| PollFd::from_borrowed_fd(other, PollFlags::IN)));
            match poll(&mut fds, Some(&left)) {
                Ok(0) => return Ok(Heard::Nothing),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if !fds[0].revents().is_empty() {
                // What it tells is in the flags.
                io::Read::read(&mut &self.receiver, &mut [0; 64])?;
            } else if fds.get(1).is_some_and(|fd| !fd.revents().is_empty()) {
                return Ok(Heard::Word);
            }
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
    use std::os::fd::AsFd;

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
    fn wait_for_another_process_ends_by_its_word_by_time_or_by_the_end() {
        let signals = Signals::none().unwrap();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (ours, brief) = (Some(ours.as_fd()), Duration::from_millis(1));
        assert_eq!(signals.hear(ours, brief).unwrap(), Heard::Nothing);
        assert_eq!(signals.hear(None, brief).unwrap(), Heard::Nothing);
        // Something else is asked: that is kept for later.
        signals.reload.store(true, Ordering::Release);
        io::Write::write_all(&mut &signals.sender, &[1]).unwrap();
        assert_eq!(signals.hear(ours, brief).unwrap(), Heard::Nothing);
        assert_eq!(signals.wait(Some(brief)).unwrap(), Awaited::Reload);
        let long = Duration::from_secs(3600);
        io::Write::write_all(&mut theirs, &[1]).unwrap();
        assert_eq!(signals.hear(ours, long).unwrap(), Heard::Word);
        let ender = signals.ender().unwrap();
        let thread = std::thread::spawn(move || drop(ender));
        assert_eq!(signals.hear(None, long).unwrap(), Heard::End);
        thread.join().unwrap();
        assert_eq!(
            signals.hear(ours, long).unwrap(),
            Heard::End,
            "before any word"
        );
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
