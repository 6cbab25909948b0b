//! Files that are read whole, and so must have an end.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// The bytes of a file that a person or a certificate authority has written: a certificate, a bundle, a key.
///
/// # Errors
/// Those of the system; it is longer than any such file; or it is neither a regular file nor a pipe the
/// shell has given us (`/dev/stdin`, `/dev/fd/63`): a device never ends, and a pipe that has a name may keep us
/// waiting for ever.
pub fn read_small_file(path: &Path) -> io::Result<Vec<u8>> {
    let kind = path.metadata()?.file_type();
    let given = ["/dev/stdin", "/dev/fd", "/proc/self/fd"];
    let given = given.iter().any(|place| path.starts_with(place));
    if kind.is_dir() || !(kind.is_file() || given) {
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

/// Many times what any system's bundle of authorities has.
const LIMIT: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn what_is_no_file_of_ours_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        for path in [Path::new("/dev/zero"), folder.path(), &pipe] {
            let error = read_small_file(path).unwrap_err();
            assert!(error.to_string().contains("regular file"), "{error}");
        }
        let path = folder.path().join("file");
        std::fs::write(&path, vec![b'x'; LIMIT]).unwrap();
        assert_eq!(read_small_file(&path).unwrap().len(), LIMIT);
        std::fs::write(&path, vec![b'x'; LIMIT + 1]).unwrap();
        let error = read_small_file(&path).unwrap_err();
        assert!(error.to_string().contains("longer"), "{error}");
    }

    #[test]
    fn pipe_that_the_shell_gave_is_read() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"text").unwrap();
        drop(writer);
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        assert_eq!(read_small_file(Path::new(&path)).unwrap(), b"text");
    }
}
