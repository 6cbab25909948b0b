//! chronyd as a client that measures and follows nobody: its own log has the offset of every exchange.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use tsq_interop::Process;

use super::Offsets;
use crate::peers::Tools;
use crate::{Error, no_clock};

/// NTP's ways to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Each answer carries the time it was made, before it left.
    Basic,
    /// Each answer carries the time at which the one before it left (`xleave`).
    Interleaved,
}

impl Mode {
    /// How the log marks its exchanges, for version 4.
    fn mark(self) -> &'static str {
        match self {
            Self::Basic => "4B",
            Self::Interleaved => "4I",
        }
    }
}

/// Lets it ask these servers for so long, as often as it can.
///
/// # Errors
/// It is not installed, or wrote no log.
pub(super) fn ask(
    servers: &[SocketAddr],
    mode: Mode,
    slice: Duration,
    tools: &Tools,
) -> Result<Offsets, Error> {
    let program = tools.find("chronyd")?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("chrony.conf");
    fs::write(&file, configuration(servers, mode, folder.path()))?;
    let mut command = Command::new(program);
    command.args(["-x", "-d", "-u", "root", "-f"]).arg(file);
    let process = no_clock::guarded(move || Process::start(command))?;
    thread::sleep(START + slice);
    drop(process);
    let log = fs::read_to_string(folder.path().join("measurements.log"))
        .map_err(|error| format!("chronyd wrote no measurements: {error}"))?;
    Ok(Offsets {
        us: log.lines().filter_map(|line| offset(line, mode)).collect(),
        lost: 0,
    })
}

/// It does not ask before that: it looks at its configuration, and resolves names.
const START: Duration = Duration::from_millis(300);

/// Nobody is followed (`noselect`): otherwise its own idea of the time would move to where the offsets are least.
fn configuration(servers: &[SocketAddr], mode: Mode, folder: &Path) -> String {
    let xleave = match mode {
        Mode::Basic => "",
        Mode::Interleaved => " xleave",
    };
    let servers: String = servers
        .iter()
        .map(|server| {
            let (ip, port) = (server.ip(), server.port());
            format!("server {ip} port {port} iburst minpoll -6 maxpoll -6 noselect{xleave}\n")
        })
        .collect();
    let folder = folder.display();
    format!(
        "{servers}port 0\ncmdport 0\nbindcmdaddress /\npidfile {folder}/pid\nlogdir {folder}\nlog rawmeasurements\n"
    )
}

/// The offset of a line about an exchange of this mode that passed the tests of RFC 5905 (columns 123 567).
fn offset(line: &str, mode: Mode) -> Option<f64> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [
        _,
        _,
        _,
        _,
        _,
        basic,
        sane,
        _,
        _,
        _,
        _,
        offset,
        ..,
        mark,
        _,
        _,
    ] = words[..]
    else {
        return None;
    };
    let passed = basic == "111" && sane == "111" && mark == mode.mark();
    let seconds: f64 = offset.parse().ok()?;
    (passed && seconds.is_finite()).then_some(seconds * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "2026-11-21 20:02:09 127.0.0.1       N  8 111 111 1101  -6 -6 0.00 -1.500e-06  \
                        4.792e-06  1.379e-07  0.000e+00  0.000e+00 7F7F0101 4B K K";

    #[test]
    fn log_gives_the_offsets_of_its_mode_in_microseconds() {
        assert_eq!(offset(LINE, Mode::Basic), Some(-1.5));
        assert_eq!(offset(LINE, Mode::Interleaved), None);
        assert_eq!(
            offset(&LINE.replace(" 4B ", " 4I "), Mode::Interleaved),
            Some(-1.5)
        );
    }

    #[test]
    fn failed_exchanges_and_headings_are_no_offsets() {
        assert_eq!(offset(&LINE.replacen("111", "110", 1), Mode::Basic), None);
        for line in [
            "",
            "=====",
            "   Date (UTC) Time     IP Address   L St 123 567",
        ] {
            assert_eq!(offset(line, Mode::Basic), None);
        }
    }

    #[test]
    fn client_follows_nobody_and_serves_nobody() {
        let servers = ["127.0.0.1:1123".parse().unwrap()];
        let text = configuration(&servers, Mode::Interleaved, Path::new("/tmp/x"));
        assert!(text.contains(" noselect xleave\n"), "{text}");
        assert!(text.contains("\nport 0\n"), "{text}");
    }
}
