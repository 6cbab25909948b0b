//! The permission probe, asked of the real kernel with and without CAP_SYS_TIME. It cannot change
//! the clock: see `SystemClock::may_set`.
#![cfg(target_os = "linux")]

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use tsq_clock::{Clock, ClockError, Limits, SystemClock};

#[test]
fn process_without_the_capability_is_told_no_permission() {
    // Where it is allowed, ask again as a user who is not: run this very test as `nobody`.
    if probe().is_ok() && std::env::var_os(AGAIN).is_none() {
        as_nobody("process_without_the_capability_is_told_no_permission");
    } else {
        assert_eq!(probe(), Err(ClockError::NoPermission));
    }
}

const NOBODY: u32 = 65_534;

/// Set in the second run, which must not start a third.
const AGAIN: &str = "TSQ_CLOCK_TEST_AS_NOBODY";

fn probe() -> Result<(), ClockError> {
    SystemClock::open(Limits {
        max_step: Duration::ZERO,
        max_slew: Duration::ZERO,
    })
    .may_set()
}

fn as_nobody(test: &str) {
    let this = std::env::current_exe().expect("a running test has a file");
    match Command::new(this)
        .args(["--exact", test])
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
    {
        Ok(output) => {
            let told = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && told.contains("1 passed"),
                "{told}"
            );
        }
        Err(error) => eprintln!("skipped: cannot run a test as another user here: {error}"),
    }
}
