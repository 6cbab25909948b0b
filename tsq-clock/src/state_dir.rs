//! A folder for the little that is kept from run to run.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A folder that nobody but its owner, and root, can write to.
///
/// What is kept here limits what may be done to a clock, so whoever could write here could lift
/// those limits.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
}

/// Something in the folder cannot be used.
#[derive(Debug)]
pub struct StateError {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Io(io::Error),
    NoFolder,
    OthersMayWrite { mode: u32 },
    Strangers { owner: u32 },
    TooLong,
}

impl StateDir {
    /// The folder, made if it is not there, for its owner alone.
    ///
    /// # Errors
    /// [`StateError`]: it cannot be made, is no folder, or somebody else may write to it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(path);
        made.map_err(|error| StateError::io(path, error))?;
        Self::existing(path)?.ok_or_else(|| StateError::io(path, io::ErrorKind::NotFound.into()))
    }

    /// The folder, if it is there.
    ///
    /// # Errors
    /// [`StateError`]: it is no folder, or somebody else may write to it.
    pub fn existing(path: &Path) -> Result<Option<Self>, StateError> {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StateError::io(path, error)),
        };
        if !metadata.is_dir() {
            return Err(StateError::new(path, Problem::NoFolder));
        }
        check_owner(path, &metadata)?;
        Ok(Some(Self { path: path.into() }))
    }

    /// A file's text; None if there is no such file.
    ///
    /// # Errors
    /// [`StateError`]: it cannot be read, is no text, is far too long, or somebody else may write
    /// to it.
    pub fn read(&self, name: &str) -> Result<Option<String>, StateError> {
        let path = self.path.join(name);
        let failed = |error| StateError::io(&path, error);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        check_owner(&path, &file.metadata().map_err(failed)?)?;
        let mut text = String::new();
        let limited = Read::by_ref(&mut file).take(LONGEST + 1);
        io::BufReader::new(limited)
            .read_to_string(&mut text)
            .map_err(failed)?;
        if text.len() as u64 > LONGEST {
            return Err(StateError::new(&path, Problem::TooLong));
        }
        Ok(Some(text))
    }

    /// Replaces a file: whenever the power fails, the old text is there or the new.
    ///
    /// # Errors
    /// [`StateError`]; the old text is there then.
    pub fn write(&self, name: &str, text: &str) -> Result<(), StateError> {
        let (path, part) = (self.path.join(name), self.path.join(format!("{name}.part")));
        let replace = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&part)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&part, &path)?;
            File::open(&self.path)?.sync_all()
        };
        replace().map_err(|error| {
            // A part, on a full disk: it would hold the room that the next try needs.
            let _ = fs::remove_file(&part);
            StateError::io(&path, error)
        })
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// [`StateError`].
    pub(crate) fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StateError::io(&path, error))
            }
            _ => Ok(()),
        }
    }

    /// Where a file of this folder is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// That nobody but root and this process's user may write to what is at `path`.
///
/// # Errors
/// [`StateError`] says whose it is, or its mode.
pub fn check_owner(path: &Path, metadata: &fs::Metadata) -> Result<(), StateError> {
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(StateError::new(path, Problem::OthersMayWrite { mode }));
    }
    // A file made by this process shows who this process is, without a system call of our own.
    let us = fs::metadata("/proc/self").map_or(0, |metadata| metadata.uid());
    let owner = metadata.uid();
    if owner != 0 && owner != us {
        return Err(StateError::new(path, Problem::Strangers { owner }));
    }
    Ok(())
}

impl StateError {
    fn new(path: &Path, problem: Problem) -> Self {
        Self {
            path: path.into(),
            problem,
        }
    }

    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        Self::new(path, Problem::Io(error))
    }
}

impl std::error::Error for StateError {}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.problem {
            Problem::Io(error) => write!(f, "{path}: {error}"),
            Problem::NoFolder => write!(f, "{path} is no folder"),
            Problem::OthersMayWrite { mode } => write!(
                f,
                "{path} may be written by others (mode {mode:04o}), who could lift the limits kept there: name a folder of your own, or chmod go-w it"
            ),
            Problem::Strangers { owner } => write!(
                f,
                "{path} belongs to user {owner}, neither root nor this process's: chown it"
            ),
            Problem::TooLong => write!(f, "{path} is longer than {LONGEST} bytes"),
        }
    }
}

/// No file of ours comes near.
const LONGEST: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder() -> (tempfile::TempDir, StateDir) {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(&folder.path().join("a/b")).unwrap();
        (folder, state)
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_was_written_is_read_and_replaced() {
        let (_folder, state) = folder();
        assert_eq!(state.read("x").unwrap(), None);
        for text in ["one\n", "two\n"] {
            state.write("x", text).unwrap();
            assert_eq!(state.read("x").unwrap().as_deref(), Some(text));
        }
        assert!(!state.path.join("x.part").exists());
    }

    #[test]
    fn folder_or_file_that_others_may_write_is_refused_with_its_mode() {
        let (_folder, state) = folder();
        state.write("x", "text").unwrap();
        for mode in [0o622, 0o660, 0o602] {
            set_mode(&state.path.join("x"), mode);
            let error = state.read("x").unwrap_err().to_string();
            assert!(error.contains(&format!("mode {mode:04o}")), "{error}");
        }
        set_mode(&state.path.join("x"), 0o644);
        assert!(state.read("x").is_ok());
        for mode in [0o720, 0o702, 0o1777] {
            set_mode(&state.path, mode);
            let error = StateDir::open(&state.path).unwrap_err().to_string();
            assert!(error.contains("may be written by others"), "{error}");
        }
        set_mode(&state.path, 0o755);
        assert!(StateDir::existing(&state.path).unwrap().is_some());
    }

    #[test]
    fn folder_that_is_missing_or_none_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        assert!(StateDir::existing(&missing).unwrap().is_none());
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(StateDir::open(&file).is_err());
        assert!(StateDir::existing(&file).is_err());
    }

    #[test]
    fn endless_file_is_refused() {
        let (_folder, state) = folder();
        state.write("x", &"x".repeat(LONGEST as usize)).unwrap();
        assert!(state.read("x").is_ok());
        state.write("x", &"x".repeat(LONGEST as usize + 1)).unwrap();
        assert!(state.read("x").is_err());
    }
}
