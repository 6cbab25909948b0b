//! A program that runs to its end, with what it took.

use std::process::Command;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use tsq_interop::run_at_most;

use crate::Error;

/// What a program that ended left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// From just before its start to its end.
    pub wall: Duration,
    /// Processor time of it and its children, user and kernel mode together.
    pub cpu: Duration,
    /// The exit code; None when a signal ended it.
    pub code: Option<i32>,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

/// Runs a command to its end, which is forced at the limit.
///
/// The processor time is right only while no other child of this process ends.
///
/// # Errors
/// It cannot be started, or was still running at the limit.
pub(super) fn run(mut command: Command, limit: Duration) -> Result<Finished, Error> {
    let used_before = used_by_children()?;
    let outcome = run_at_most(&mut command, limit)
        .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    let cpu = used_by_children()?.saturating_sub(used_before);
    if outcome.killed {
        let last = outcome.stderr.lines().last().unwrap_or("nothing");
        return Err(format!("{STILL_RUNNING} {limit:?}; its last word: {last}").into());
    }
    Ok(Finished {
        wall: outcome.elapsed,
        cpu,
        code: outcome.code,
        stdout: outcome.stdout,
        stderr: outcome.stderr,
    })
}

/// What the error says first when a program was stopped at the limit.
pub(crate) const STILL_RUNNING: &str = "still running after";

/// By all children that have ended and were waited for.
fn used_by_children() -> Result<Duration, Error> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = |value: TimeVal| {
        let (seconds, micros) = (value.tv_sec().try_into(), value.tv_usec().try_into());
        Ok::<_, Error>(Duration::from_secs(seconds?) + Duration::from_micros(micros?))
    };
    Ok(time(usage.user_time())? + time(usage.system_time())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn run_gives_code_outputs_and_processor_time() {
        let script =
            "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo out; echo err >&2; exit 3";
        let finished = run(shell(script), Duration::from_secs(60)).unwrap();
        assert_eq!(finished.code, Some(3));
        assert_eq!((&*finished.stdout, &*finished.stderr), ("out\n", "err\n"));
        assert!(finished.cpu > Duration::from_millis(1), "{finished:?}");
    }

    #[test]
    fn endless_run_ends_at_the_limit_as_an_error() {
        let script = "echo waiting >&2; exec sleep 60";
        let error = run(shell(script), Duration::from_millis(300)).unwrap_err();
        assert!(error.to_string().contains("still running"), "{error}");
    }

    #[test]
    fn program_that_is_not_there_is_an_error() {
        let error = run(Command::new("/no/such"), Duration::from_secs(1)).unwrap_err();
        assert!(error.to_string().contains("/no/such"), "{error}");
    }
}
