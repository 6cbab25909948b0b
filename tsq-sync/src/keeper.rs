//! Who else keeps this host's clock.

use std::path::Path;

use tsq_clock::{ClockError, KernelState, SystemClock};
use tsq_host::daemons::steering;

use crate::outcome::Warning;
use crate::unready::Unready;

/// That no daemon keeps the clock that is to be set; a warning if one runs that may begin to.
///
/// Where the kernel says that nobody keeps the clock, a daemon that runs gets no time itself: it is blocked, perhaps,
/// which is what this program is for.
///
/// # Errors
/// [`Unready::Kept`], unless the user wants the clock set `beside` it.
pub fn alone(beside: bool) -> Result<Option<Warning>, Unready> {
    judge(&steering(Path::new("/proc")), SystemClock::state(), beside)
}

fn judge(
    programs: &[&'static str],
    kernel: Result<KernelState, ClockError>,
    beside: bool,
) -> Result<Option<Warning>, Unready> {
    if programs.is_empty() || beside {
        return Ok(None);
    }
    if kernel.is_ok_and(|state| !state.synchronised) {
        return Ok(Some(Warning::Daemon(programs.to_vec())));
    }
    Err(Unready::Kept(programs.to_vec()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tsq_clock::KernelLeap;

    use super::*;
    use crate::advice::{Reason, Spelling};

    fn kernel(synchronised: bool) -> Result<KernelState, ClockError> {
        Ok(KernelState {
            synchronised,
            estimated_error: Duration::ZERO,
            max_error: Duration::ZERO,
            frequency_ppb: 0,
            tai_offset: None,
            leap: KernelLeap::None,
        })
    }

    const CHRONY: &[&str] = &["chronyd"];

    #[test]
    fn clock_that_a_daemon_keeps_is_not_set() {
        for kernel in [kernel(true), Err(ClockError::NoPermission)] {
            let error = judge(CHRONY, kernel, false).unwrap_err();
            assert!(matches!(&error, Unready::Kept(by) if by == CHRONY));
            let line = error.told(Spelling::PLAIN);
            assert!(line.contains("beside-daemon"), "{line}");
            assert!(line.contains("systemctl stop chronyd"), "{line}");
            assert!(judge(CHRONY, kernel, true).unwrap().is_none());
            assert!(judge(&[], kernel, false).unwrap().is_none());
        }
    }

    #[test]
    fn daemon_that_gets_no_time_itself_is_only_named() {
        let warning = judge(CHRONY, kernel(false), false).unwrap();
        assert!(warning.is_some_and(|line| line.to_string().starts_with("chronyd runs here")));
    }
}
