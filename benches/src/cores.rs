//! A core for the server, another one for who loads it.

use std::fs;
use std::thread;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Error;

/// Who runs on a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Generator,
}

/// Does `work` in a thread that keeps to the core of its role; so do the threads and programs it starts, until they
/// are pinned to another.
///
/// # Errors
/// The kernel refuses.
///
/// # Panics
/// When `work` does.
pub(crate) fn alone<T: Send>(role: Role, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    let cores = of(role)?;
    let done = thread::scope(|scope| {
        let thread = scope.spawn(|| {
            sched_setaffinity(None, &cores)?;
            Ok::<T, rustix::io::Errno>(work())
        });
        match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    Ok(done?)
}

/// Keeps every thread of a process to the core of this role: of [`Role::Server`] to see what it can do alone, of
/// [`Role::Generator`] to see what it costs. Two cores may be threads of one, and then each slows the other by what
/// it does; two programs that take turns on one do not.
///
/// # Errors
/// It is gone, or is not ours.
pub(crate) fn pin(process: u32, role: Role) -> Result<(), Error> {
    let cores = of(role)?;
    for entry in fs::read_dir(format!("/proc/{process}/task"))? {
        let name = entry?.file_name();
        let id = name.to_str().and_then(|name| name.parse().ok());
        let thread = id.and_then(Pid::from_raw).ok_or("no thread number")?;
        sched_setaffinity(Some(thread), &cores)?;
    }
    Ok(())
}

/// The first core that we may use is the server's, the second the generator's; with one core, both share it.
fn of(role: Role) -> Result<CpuSet, Error> {
    // Of the whole process: a thread may be kept to less.
    let process = Pid::from_raw(i32::try_from(std::process::id())?);
    let allowed = sched_getaffinity(process)?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    let server = cores.next().ok_or("no core at all")?;
    let generator = cores.next().unwrap_or(server);
    let mut set = CpuSet::new();
    set.set(match role {
        Role::Server => server,
        Role::Generator => generator,
    });
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_keeps_to_one_core_and_its_caller_does_not() {
        let before = sched_getaffinity(None).unwrap();
        let inside = alone(Role::Generator, || sched_getaffinity(None).unwrap()).unwrap();
        assert_eq!(inside.count(), 1);
        assert_eq!(sched_getaffinity(None).unwrap(), before);
    }
}
