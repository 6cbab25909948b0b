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
        write_new(path, &key.to_toml(), PRIVATE)?;
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
    write_new(private.0, private.1, PRIVATE)?;
    write_new(public.0, public.1, PUBLIC).inspect_err(|_| {
        // The first failure is the one to report; a key left behind would only block the next try.
        let _ = fs::remove_file(private.0);
    })
}

const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    // `create_new` refuses existing files and dangling links in one step, without a race.
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists(path.into()),
        _ => Error::Io {
            action: "write",
            path: path.into(),
            source,
        },
    })
}
