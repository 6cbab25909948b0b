//! Programs whose clock is wrong, without touching the machine's.

use std::path::Path;
use std::process::Command;

/// Makes a program see a clock that is off by `shift`, in the words of `faketime -f`: `-1.444208s`,
/// `+30s`. Its pace is right, and it reads the true time plus the shift.
///
/// Only what the program itself reads is shifted: the kernel's packet timestamps are not.
///
/// This sets the environment that `faketime` would: that program stays between its child and us,
/// and does not pass a SIGTERM on.
#[must_use]
pub fn faketime(mut command: Command, shift: &str) -> Command {
    command.env("LD_PRELOAD", LIBRARY).env("FAKETIME", shift);
    command
}

/// As [`faketime`], by what the file holds; it is read again at every look at the clock, so the clock is
/// stepped by writing another shift into it.
#[must_use]
pub fn faketime_by(mut command: Command, file: &Path) -> Command {
    command
        .env("LD_PRELOAD", LIBRARY)
        .env("FAKETIME_TIMESTAMP_FILE", file)
        .env("FAKETIME_NO_CACHE", "1");
    command
}

/// Where Debian and its relatives keep it; the dynamic linker fills in `$LIB`.
const LIBRARY: &str = "/usr/$LIB/faketime/libfaketime.so.1";

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use super::*;
    use crate::run;

    /// If the library were not found, the linker would only print a warning, and each test with a
    /// wrong clock would test a right one.
    #[test]
    fn shift_reaches_the_program() {
        let mut date = Command::new("date");
        date.arg("+%s");
        let outcome = run(faketime(date, "-1000000s"), Duration::from_secs(10));
        let shown: u64 = outcome.stdout.trim().parse().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let behind = now.as_secs() - shown;
        assert!((1_000_000..1_000_010).contains(&behind), "{outcome:#?}");
    }
}
