//! A line on the terminal while a measurement takes long.

use std::io::{IsTerminal, Stderr, Write, stderr};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tsq_client::Progress;
use tsq_proto::words::Count;
use tsq_server::log::colours;

/// Shows progress on standard error, if that is a terminal; leaves nothing behind.
///
/// A terminal that takes nothing (Ctrl-S) is not waited for: the measurement would grow old meanwhile.
pub struct Line<W: Write + AsFd = Stderr> {
    out: W,
    terminal: bool,
    shown: bool,
}

impl Line {
    /// Silent unless `wanted` and standard error is a terminal that can take a line back.
    pub fn new(wanted: bool) -> Self {
        let term = std::env::var_os("TERM");
        let out = stderr();
        Self {
            terminal: wanted && colours(out.is_terminal(), None, term.as_deref()),
            out,
            shown: false,
        }
    }
}

impl<W: Write + AsFd> Line<W> {
    /// Shows how far the measurement is, once it takes long.
    pub fn show(&mut self, progress: &Progress) {
        if self.terminal && progress.elapsed >= PATIENCE {
            self.shown = true;
            let Progress {
                done,
                servers,
                elapsed,
            } = progress;
            let seconds = elapsed.as_secs_f64();
            self.write(&format!(
                "\r{done} of {} done, {seconds:.1} s \x1b[K",
                Count(*servers, "server")
            ));
        }
    }

    fn write(&mut self, text: &str) {
        let ready = poll(
            &mut [PollFd::new(&self.out, PollFlags::OUT)],
            Some(&Timespec::default()),
        );
        if ready.is_ok_and(|ready| ready > 0) {
            // A terminal that is gone needs no progress.
            let _ = self.out.write_all(text.as_bytes());
        }
    }
}

impl<W: Write + AsFd> Drop for Line<W> {
    fn drop(&mut self) {
        if self.shown {
            self.write("\r\x1b[K");
        }
    }
}

/// Faster runs show no progress.
const PATIENCE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Shows a line where `filled` bytes lie already, and tells what has come then.
    fn shown(filled: usize) -> Vec<u8> {
        let (mut reader, mut out) = std::io::pipe().unwrap();
        out.write_all(&vec![b'x'; filled]).unwrap();
        let mut line = Line {
            out,
            terminal: true,
            shown: false,
        };
        line.show(&Progress {
            done: 1,
            servers: 3,
            elapsed: 2 * PATIENCE,
        });
        drop(line);
        let mut text = Vec::new();
        reader.read_to_end(&mut text).unwrap();
        text.split_off(filled)
    }

    #[test]
    fn terminal_that_takes_nothing_is_not_waited_for() {
        // What a pipe holds.
        assert_eq!(shown(65_536), b"");
        assert_eq!(shown(0), b"\r1 of 3 servers done, 1.0 s \x1b[K\r\x1b[K");
    }
}
