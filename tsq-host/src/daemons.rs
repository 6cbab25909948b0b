//! Programs on this host that steer a clock.

use std::fs;
use std::path::Path;

/// Programs that steer a clock, by the names the kernel cuts at 15 bytes.
const DAEMONS: [(&str, &str); 8] = [
    ("chronyd", "chronyd"),
    // OpenNTPD's, too.
    ("ntpd", "ntpd"),
    ("ntp-daemon", "ntpd-rs"),
    ("systemd-timesyn", "systemd-timesyncd"),
    ("ptp4l", "ptp4l"),
    ("phc2sys", "phc2sys"),
    ("timemaster", "timemaster"),
    ("tsqd", "tsqd"),
];

/// Those that run, by what `proc` tells of its processes.
pub fn running(proc: &Path) -> Vec<&'static str> {
    found(proc, |_, _| true)
}

/// Those of them that may set this host's clock.
pub fn steering(proc: &Path) -> Vec<&'static str> {
    let ours = fs::read_link(proc.join("self/ns/user")).ok();
    found(proc, |program, process| {
        // In a container with users of its own nobody may set the clock.
        let theirs = fs::read_link(process.join("ns/user")).ok();
        let elsewhere = ours.is_some() && theirs.is_some() && ours != theirs;
        !elsewhere && may_set(process) && !only_looks(program, process)
    })
}

fn found(proc: &Path, counts: impl Fn(&str, &Path) -> bool) -> Vec<&'static str> {
    let mut found: Vec<&'static str> = fs::read_dir(proc)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let process = entry.path();
            let name = fs::read_to_string(process.join("comm")).ok()?;
            let (_, program) = DAEMONS.iter().find(|(comm, _)| *comm == name.trim_end())?;
            counts(program, &process).then_some(*program)
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Whether it runs, with CAP_SYS_TIME. What cannot be read is taken for it.
fn may_set(process: &Path) -> bool {
    let Ok(status) = fs::read_to_string(process.join("status")) else {
        return true;
    };
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.map(str::trim)
    };
    if value("State:").is_some_and(|state| state.starts_with('Z')) {
        return false;
    }
    let effective = value("CapEff:").and_then(|caps| u64::from_str_radix(caps, 16).ok());
    effective.is_none_or(|caps| caps & CAP_SYS_TIME != 0)
}

/// chronyd with `-x` serves, with `-Q` measures, and leaves the clock to others.
fn only_looks(program: &str, process: &Path) -> bool {
    let words = fs::read(process.join("cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&words).into_owned();
    let mut options = words.split('\0').filter_map(|word| word.strip_prefix('-'));
    program == "chronyd"
        && options.any(|letters| {
            // What follows a letter that takes a value is the value.
            let alone = letters.split(['f', 'F', 'l', 'L', 't', 'u']).next();
            alone.is_some_and(|letters| letters.contains(['x', 'Q']))
        })
}

const CAP_SYS_TIME: u64 = 1 << 25;

#[cfg(test)]
mod tests {
    use super::*;

    struct Proc(tempfile::TempDir);

    impl Proc {
        fn with(processes: &[(&str, &str, &str, &str)]) -> Self {
            let proc = tempfile::tempdir().unwrap();
            for (id, comm, caps, words) in processes {
                let folder = proc.path().join(id);
                fs::create_dir(&folder).unwrap();
                fs::write(folder.join("comm"), format!("{comm}\n")).unwrap();
                let status = format!("Name:\t{comm}\nState:\tS (sleeping)\nCapEff:\t{caps}\n");
                fs::write(folder.join("status"), status).unwrap();
                fs::write(folder.join("cmdline"), words.replace(' ', "\0")).unwrap();
            }
            Self(proc)
        }

        fn steering(&self) -> Vec<&'static str> {
            steering(self.0.path())
        }
    }

    const ALL: &str = "000001ffffffffff";
    const TIME: &str = "0000000002000400";
    const NO_TIME: &str = "0000000000000400";

    #[test]
    fn daemons_that_may_set_the_clock_are_known_by_their_names() {
        let proc = Proc::with(&[
            ("1", "init", ALL, "/sbin/init"),
            ("20", "chronyd", TIME, "/usr/sbin/chronyd -F 1"),
            ("21", "chronyd", TIME, "/usr/sbin/chronyd -F 1"),
            (
                "30",
                "systemd-timesyn",
                TIME,
                "/lib/systemd/systemd-timesyncd",
            ),
            ("40", "ntpdate", ALL, "ntpdate"),
        ]);
        assert_eq!(proc.steering(), ["chronyd", "systemd-timesyncd"]);
        fs::remove_file(proc.0.path().join("20/status")).unwrap();
        assert_eq!(proc.steering(), ["chronyd", "systemd-timesyncd"]);
    }

    /// They run beside a daemon of the host, in tests and in containers.
    #[test]
    fn daemons_that_cannot_or_do_not_set_the_clock_are_left_out() {
        let proc = Proc::with(&[
            ("20", "chronyd", NO_TIME, "/usr/sbin/chronyd -F 1"),
            ("21", "chronyd", ALL, "/usr/sbin/chronyd -d -x -f /tmp/c"),
            ("22", "chronyd", ALL, "/usr/sbin/chronyd -dx"),
            ("23", "chronyd", ALL, "/usr/sbin/chronyd -Q"),
        ]);
        assert_eq!(proc.steering(), [""; 0]);
        assert_eq!(running(proc.0.path()), ["chronyd"]);
        let proc = Proc::with(&[("24", "chronyd", ALL, "/usr/sbin/chronyd -d -f/etc/x.conf")]);
        assert_eq!(proc.steering(), ["chronyd"]);
        let zombie = "State:\tZ (zombie)\n";
        fs::write(proc.0.path().join("24/status"), zombie).unwrap();
        assert_eq!(proc.steering(), [""; 0]);
    }
}
