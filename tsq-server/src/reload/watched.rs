use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Files that may be replaced, written over, or swapped by a symbolic link.
///
/// They are looked at now and then rather than watched by inotify: a link may lead through other
/// folders, which would all have to be watched, and a sandbox or a network file system may not say.
#[derive(Debug)]
pub(super) struct Watched {
    paths: Vec<PathBuf>,
    /// As they were when last read.
    known: Vec<Option<Look>>,
    /// As they were at the last look.
    last: Vec<Option<Look>>,
}

/// What a file looks like from outside.
type Look = (u64, u64, u64, i64, i64);

impl Watched {
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        let known = looks(&paths);
        Self {
            last: known.clone(),
            known,
            paths,
        }
    }

    /// Whether the files have changed, and rest again: not in the middle of being written.
    pub(super) fn settled_change(&mut self) -> bool {
        let now = looks(&self.paths);
        let rests = now == self.last;
        self.last = now;
        rests && self.last != self.known
    }

    /// The files are read, as they are now.
    pub(super) fn read(&mut self) {
        self.known = looks(&self.paths);
        self.last.clone_from(&self.known);
    }
}

/// A missing file looks like nothing, which is a change as well.
fn looks(paths: &[PathBuf]) -> Vec<Option<Look>> {
    paths
        .iter()
        .map(|path| {
            // Links are followed, so a link that leads elsewhere is a change.
            let meta = std::fs::metadata(path).ok()?;
            Some((
                meta.dev(),
                meta.ino(),
                meta.size(),
                meta.mtime(),
                meta.mtime_nsec(),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn change_counts_once_the_file_rests() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cert.pem");
        fs::write(&path, "one").unwrap();
        let mut watched = Watched::new(vec![path.clone()]);
        assert!(!watched.settled_change());
        fs::write(&path, "longer").unwrap();
        assert!(!watched.settled_change(), "it may still be written");
        fs::write(&path, "longer still").unwrap();
        assert!(!watched.settled_change());
        assert!(watched.settled_change());
        assert!(watched.settled_change(), "it has not been read yet");
        watched.read();
        assert!(!watched.settled_change());
    }

    #[test]
    fn link_that_leads_elsewhere_and_a_vanished_file_are_changes() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("one"), "same").unwrap();
        fs::write(at("two"), "same").unwrap();
        std::os::unix::fs::symlink(at("one"), at("live")).unwrap();
        let mut watched = Watched::new(vec![at("live")]);
        fs::remove_file(at("live")).unwrap();
        std::os::unix::fs::symlink(at("two"), at("live")).unwrap();
        assert!(!watched.settled_change());
        assert!(watched.settled_change());
        watched.read();
        fs::remove_file(at("live")).unwrap();
        assert!(!watched.settled_change());
        assert!(watched.settled_change());
    }
}
