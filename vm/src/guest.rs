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
use tsq_workbench::process::{Failure, capture};

/// A running machine; killed on drop.
pub(super) struct Guest {
    lines: Receiver<Line>,
    end: Instant,
    _qemu: Guarded,
}

impl Guest {
    /// Starts the machine whose battery-backed clock shows `shows`, in seconds since 1970, and whose `/init` does the
    /// scenarios of that `machine`. All it may take is `limit`.
    pub(super) fn boot(
        kernel: &Path,
        image: &Path,
        console: &Path,
        shows: i64,
        machine: &str,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let log = File::create(console)
            .map_err(|error| Failure::new(format!("writing {}: {error}", console.display())))?;
        let rtc = format!("base={}", written(shows)?);
        // What the kernel does not know becomes a variable.
        let append = format!("{KERNEL} machine={machine}");
        let mut qemu = Guarded::start("qemu-system-x86_64", |command| {
            command
                .args(MACHINE)
                .args(["-append", &append, "-rtc", &rtc, "-kernel"])
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

/// That many seconds since 1970, as `-rtc` takes it.
fn written(seconds: i64) -> Result<String, Failure> {
    let date = format!("@{seconds}");
    let text = capture(Command::new("date").args(["-u", "-d", &date, "+%FT%T"]))?;
    Ok(text.trim().to_owned())
}

/// A kernel message in the middle of a line would spoil it, so none but its last words. On a busy host it would take its
/// timer for broken and panic.
const KERNEL: &str = "console=ttyS0 panic=-1 quiet loglevel=1 no_timer_check";

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
    "-nodefaults",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_is_written_as_qemu_reads_it() {
        assert_eq!(written(2_085_978_496).unwrap(), "2036-02-07T06:28:16");
    }
}
