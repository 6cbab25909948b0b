//! Reads configuration, certificates and keys.

use std::io;
use std::path::Path;

/// The bytes of a file that can be read again whenever it changes.
///
/// # Errors
/// Those of [`tsq_certs::read_small_file`]; and it is a pipe, which holds its text only once.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    tsq_certs::read_small_file(path)
}
