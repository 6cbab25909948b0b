//! The guest: QEMU, and what it says on its console.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::guarded::Guarded;
use super::record::Line;
use crate::process::{Failure, capture};

/// A running machine; killed on drop.
pub(super) struct Guest {
    lines: Receiver<Line>,
    end: Instant,
    _qemu: Guarded,
}

impl Guest {
    /// Starts the machine with its battery-backed clock this far behind. All it may take is `limit`.
    pub(super) fn boot(
        kernel: &Path,
        image: &Path,
        console: &Path,
        behind: Duration,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let log = File::create(console)
            .map_err(|error| Failure::new(format!("writing {}: {error}", console.display())))?;
        let rtc = format!("base={}", past(behind)?);
        let mut qemu = Guarded::start("qemu-system-x86_64", |command| {
            command
                .args(MACHINE)
                .args(["-rtc", &rtc, "-kernel"])
                .arg(kernel)
                .arg("-initrd")
                .arg(image)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
        })?;
        let stdout = qemu.child().stdout.take();
        let stdout = stdout.expect("stdout was asked for as a pipe");
        let (sender, lines) = channel();
        // Ends with the pipe, thus with QEMU.
        thread::spawn(move || pass_on(stdout, log, &sender));
        Ok(Self {
            lines,
            end: Instant::now() + limit,
            _qemu: qemu,
        })
    }

    /// The next lines up to the one that says `end`.
    pub(super) fn scenario(&self) -> Result<Vec<Line>, Failure> {
        let mut lines = Vec::new();
        loop {
            let left = self.end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).map_err(|error| {
                Failure::new(match error {
                    RecvTimeoutError::Timeout => "the guest is not done in time",
                    RecvTimeoutError::Disconnected => "the guest ended early",
                })
            })?;
            if line.value("end").is_some() {
                return Ok(lines);
            }
            lines.push(line);
        }
    }
}

/// Stamps each line as it comes. Stops when nobody listens any more.
fn pass_on(console: ChildStdout, mut log: File, lines: &Sender<Line>) -> io::Result<()> {
    for line in BufReader::new(console).split(b'\n') {
        let line = line?;
        let text = String::from_utf8_lossy(&line);
        let line = Line::now(text.trim_end_matches('\r').to_owned());
        writeln!(log, "{}", line.text)?;
        if lines.send(line).is_err() {
            break;
        }
    }
    Ok(())
}

/// The time that long ago, as `-rtc` takes it.
fn past(behind: Duration) -> Result<String, Failure> {
    let date = format!("{} seconds ago", behind.as_secs());
    let text = capture(Command::new("date").args(["-u", "-d", &date, "+%FT%T"]))?;
    Ok(text.trim().to_owned())
}

/// Emulated throughout: `/dev/kvm` may be there and not work. `-cpu max` brings RDRAND, without which the guest's first
/// handshake waits many seconds for randomness.
const MACHINE: &[&str] = &[
    "-accel",
    "tcg",
    "-cpu",
    "max",
    "-m",
    "256",
    "-display",
    "none",
    "-monitor",
    "none",
    "-serial",
    "stdio",
    "-no-reboot",
    "-netdev",
    // The host's loopback is 10.0.2.2 there.
    "user,id=net",
    "-device",
    "virtio-net-pci,netdev=net,romfile=",
    "-append",
    // A kernel message in the middle of a line would spoil it.
    "console=ttyS0 panic=-1 quiet loglevel=0",
    "-nodefaults",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_is_written_as_qemu_reads_it() {
        let text = past(Duration::from_secs(3600)).unwrap();
        assert_eq!(text.len(), "2026-11-19T02:00:00".len(), "{text}");
        assert_eq!(text.as_bytes()[10], b'T');
        assert!(text < past(Duration::ZERO).unwrap());
    }
}
