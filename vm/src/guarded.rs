//! Child processes that never outlive us.

use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process_group};

use tsq_workbench::process::Failure;

/// A child in a process group of its own, killed with all of it on drop, and by the kernel when we die without a drop.
pub(super) struct Guarded(Child);

impl Guarded {
    /// Starts `program`, prepared by `prepare`. To be called by the main thread: the kernel takes the end of the
    /// calling thread for our death.
    pub(super) fn start(
        program: &str,
        prepare: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Result<Self, Failure> {
        use std::os::unix::process::CommandExt;

        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", program]);
        let child = prepare(&mut command).process_group(0).spawn();
        child
            .map(Self)
            .map_err(|error| Failure::new(format!("cannot run {program} by setpriv: {error}")))
    }

    pub(super) fn child(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone after this.
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::Stdio;
    use std::time::Instant;

    use super::*;

    #[test]
    fn drop_ends_the_child_and_its_children() {
        let start = Instant::now();
        let mut child = Guarded::start("sh", |command| {
            command
                .args(["-c", "sleep 20 & echo; wait"])
                .stdout(Stdio::piped())
        })
        .unwrap();
        let mut output = child.child().stdout.take().unwrap();
        output.read_exact(&mut [0]).unwrap();
        drop(child);
        // Both hold the pipe; its end comes when the last one is gone.
        assert_eq!(output.read(&mut [0]).unwrap(), 0);
        assert!(start.elapsed().as_secs() < 10);
    }
}
