//! Results on standard output.

use std::io::{self, BufWriter, Write};

/// Writes a result to standard output, all of it, and locks it meanwhile.
///
/// A reader that has gone has read enough, which is no error. Of an output that was closed before the program began
/// nobody hears: the runtime opens `/dev/null` in its place.
///
/// # Errors
/// What is wrong with standard output, which the error names, such as a full disk; and those of `write`.
///
/// ```
/// use std::io::Write;
/// tsq_command::output::print(|out| writeln!(out, "offset +3 us"))?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    print_to(io::stdout().lock(), write)
}

fn print_to(
    output: impl Write,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut output = BufWriter::new(output);
    let written = write(&mut output).and_then(|()| output.flush());
    // What did not go out will not go out when it is dropped either.
    let _ = output.into_parts();
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(io::Error::new(
            error.kind(),
            format!("standard output: {error}"),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Refuses(io::ErrorKind);

    impl Write for Refuses {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn print_where(kind: io::ErrorKind) -> io::Result<()> {
        print_to(Refuses(kind), |out| writeln!(out, "a result"))
    }

    #[test]
    fn reader_that_has_gone_is_no_error() {
        print_where(io::ErrorKind::BrokenPipe).unwrap();
    }

    #[test]
    fn full_output_is_named() {
        let error = print_where(io::ErrorKind::StorageFull).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(
            error.to_string().starts_with("standard output: "),
            "{error}"
        );
    }

    #[test]
    fn everything_is_out_when_it_returns() {
        let mut out = Vec::new();
        print_to(&mut out, |out| write!(out, "no newline at its end")).unwrap();
        assert_eq!(out, b"no newline at its end");
    }
}
