use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tsq_keys::PrivateKey;

use crate::{Error, Made};

/// Writes `made` to the files `cert_name` and `key_name` in `dir`, which is created when missing.
///
/// The key is readable by its owner alone from the moment it exists. Nothing is overwritten, and a
/// key whose certificate could not be written is removed again.
///
/// # Errors
/// [`Error::Exists`] when either file is there already; [`Error::Io`].
pub fn save(
    made: &Made,
    dir: &Path,
    cert_name: &str,
    key_name: &str,
) -> Result<(PathBuf, PathBuf), Error> {
    let (cert, key) = (dir.join(cert_name), dir.join(key_name));
    create_dir(dir)?;
    write_pair((&key, &made.key_pem), (&cert, &made.cert_pem))?;
    Ok((cert, key))
}

/// Writes `key` to `path`, and its public half, where it has one, beside it with `.pub` after the name; returns
/// where that is. The directory is created when missing.
///
/// The secret is readable by its owner alone from the moment it exists. Nothing is overwritten, and a secret whose
/// public half could not be written is removed again.
///
/// # Errors
/// [`Error::Exists`] when either file is there already; [`Error::Io`].
pub fn save_signing_key(key: &PrivateKey, path: &Path) -> Result<Option<PathBuf>, Error> {
    if let Some(dir) = path.parent() {
        create_dir(dir)?;
    }
    let Some(public) = key.public_key() else {
        new_file(path, &key.to_toml(), PRIVATE)?;
        return Ok(None);
    };
    let mut public_path = OsString::from(path);
    public_path.push(".pub");
    let public_path = PathBuf::from(public_path);
    write_pair((path, &key.to_toml()), (&public_path, &public.to_toml()))?;
    Ok(Some(public_path))
}

fn create_dir(dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(|source| Error::Io {
        action: "create",
        path: dir.into(),
        source,
    })
}

fn write_pair(private: (&Path, &str), public: (&Path, &str)) -> Result<(), Error> {
    new_file(private.0, private.1, PRIVATE)?;
    new_file(public.0, public.1, PUBLIC).inspect_err(|_| {
        // The first failure is the one to report; a key left behind would only block the next try.
        let _ = fs::remove_file(private.0);
    })
}

const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;

fn new_file(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    write_new(path, text, mode).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists(path.into()),
        _ => Error::Io {
            action: "write",
            path: path.into(),
            source,
        },
    })
}

/// Writes `text` to a new file: whenever the disk is full or the power fails, there is all of it or no file, and no
/// half of one stands in the way of the next try.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`], which dangling links count as, and those of writing.
pub fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut part = OsString::from(path);
    part.push(format!(".part-{}", std::process::id()));
    let part = PathBuf::from(part);
    // One of a process that had our id, and no power left.
    let _ = fs::remove_file(&part);
    let written = write(&part, text, mode).and_then(|()| publish(&part, path));
    // It has its name now, or never will.
    let _ = fs::remove_file(&part);
    written?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A second name refuses files that are there, and dangling links, in one step and without a race.
fn publish(part: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(part, path) {
        Err(error) if has_no_links(&error) => match fs::symlink_metadata(path) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => fs::rename(part, path),
        },
        linked => linked,
    }
}

/// FAT has none, and says so as it likes.
fn has_no_links(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn new_file_is_whole_with_its_mode_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        write_new(&path, "secret", 0o600).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "secret");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_that_is_there_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "another's").unwrap();
        symlink(folder.path().join("missing"), &link).unwrap();
        for path in [&file, &link] {
            let error = write_new(path, "ours", 0o600).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "another's");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
