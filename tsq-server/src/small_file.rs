//! Reads configuration, certificates and keys.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// The bytes of a file that a person or a certificate authority has written.
///
/// # Errors
/// Those of the system; and it is no regular file, which could keep us waiting, or longer than any such
/// file.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    let limit = LIMIT as u64 + 1;
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > LIMIT {
        return Err(io::Error::other(format!("it is longer than {LIMIT} bytes")));
    }
    Ok(bytes)
}

/// Many times the longest chain of certificates that a handshake could carry.
const LIMIT: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_of_ours_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for path in [Path::new("/dev/zero"), folder.path()] {
            let error = read(path).unwrap_err();
            assert!(error.to_string().contains("regular file"), "{error}");
        }
        let path = folder.path().join("file");
        std::fs::write(&path, vec![b'x'; LIMIT]).unwrap();
        assert_eq!(read(&path).unwrap().len(), LIMIT);
        std::fs::write(&path, vec![b'x'; LIMIT + 1]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("longer"));
    }
}
