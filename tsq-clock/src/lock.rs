//! One run at a time.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::{StateDir, StateError, check_owner};

/// The state folder is this process's alone until this is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub struct Lock(File);

/// The folder could not be had.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it, and did not end in time.
    Held {
        /// Its id, if it could leave it.
        by: Option<u32>,
    },
    /// There can be no lock in it.
    State(StateError),
}

impl StateDir {
    /// Takes the folder for this process, waiting for another one until `end`.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn lock(&self, end: Instant) -> Result<Lock, LockError> {
        let path = self.path(FILE);
        let failed = |error| LockError::State(StateError::io(&path, error));
        let mut file = open(&path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        check_owner(&path, &metadata).map_err(LockError::State)?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let by = holder(&mut file);
                return Err(LockError::Held { by });
            }
            thread::sleep(PAUSE.min(left));
        }
        // For whoever waits. On a full disk, or one that cannot be written, they will have to do without.
        let _ = file.set_len(0);
        let _ = file.write_all(format!("{}\n", std::process::id()).as_bytes());
        Ok(Lock(file))
    }
}

/// Its mode keeps others from holding the lock, and us from the clock, for ever.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let made = options.mode(0o600).open(path);
    made.or_else(|error| match error.kind() {
        // A file that is there can be locked all the same.
        io::ErrorKind::ReadOnlyFilesystem => File::open(path).map_err(|_| error),
        _ => Err(error),
    })
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    Read::by_ref(file).take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

impl Drop for Lock {
    fn drop(&mut self) {
        // So that nobody is told an id that may be another's by then.
        let _ = self.0.set_len(0);
    }
}

impl std::error::Error for LockError {}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { by: Some(by) } => write!(f, "process {by} has it"),
            Self::Held { by: None } => f.write_str("another process has it"),
            Self::State(error) => error.fmt(f),
        }
    }
}

const FILE: &str = "lock";

/// Between two tries: short beside any measurement.
const PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::mpsc::channel;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    fn late() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn second_process_is_told_who_has_it_and_gets_it_after_that() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let held = state.lock(soon()).unwrap();
        // Locks belong to what was opened, so that one process can be two here.
        let error = state.lock(soon()).unwrap_err();
        let us = std::process::id();
        assert!(
            matches!(error, LockError::Held { by } if by == Some(us)),
            "{error}"
        );
        let (sender, got) = channel();
        let waiting = state.clone();
        let thread = thread::spawn(move || {
            let lock = waiting.lock(late());
            sender.send(()).unwrap();
            lock.map(drop)
        });
        assert!(got.recv_timeout(Duration::from_millis(100)).is_err());
        drop(held);
        got.recv_timeout(Duration::from_secs(60)).unwrap();
        thread.join().unwrap().unwrap();
        assert_eq!(
            std::fs::read_to_string(folder.path().join(FILE)).unwrap(),
            ""
        );
    }

    #[test]
    fn lock_that_others_could_hold_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        drop(state.lock(soon()).unwrap());
        let path = folder.path().join(FILE);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(state.lock(soon()), Err(LockError::State(_))));
    }
}
