//! Keeps programs from setting this machine's clock, whatever they try.
//!
//! A thread gives up every capability but the one for ports below 1024, for good, and the system calls that set the
//! clock do nothing for it from then on, and say that they have. Its children inherit both. Success is told rather
//! than a failure so that programs which end when they cannot set the clock are measured to their end.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use crate::Error;

/// Confines the calling thread, and all that it starts from now on.
///
/// # Errors
/// The kernel refuses, as it does for who is not root and yet has capabilities, or knows no filters.
pub fn confine() -> Result<(), Error> {
    // Who has no capabilities to begin with cannot drop them, and cannot get them back by starting a program.
    if rustix::process::geteuid().is_root() {
        for capability in CapabilitySet::all().difference(KEPT).iter() {
            match remove_capability_from_bounding_set(capability) {
                // A capability that is newer than the kernel.
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        clear_ambient_capability_set()?;
    }
    set_no_new_privs(true)?;
    apply_filter(&filter()?)?;
    if rustix::process::geteuid().is_root() {
        set_capabilities(
            None,
            CapabilitySets {
                effective: KEPT,
                permitted: KEPT,
                inheritable: CapabilitySet::empty(),
            },
        )?;
    }
    Ok(())
}

/// Does `work` in a confined thread: what it starts is confined, the caller is not.
///
/// # Errors
/// As [`confine`].
///
/// # Panics
/// When `work` does.
pub fn guarded<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    let done = thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // An error of this kind does not cross threads; its text does.
            confine().map_err(|error| error.to_string())?;
            Ok::<T, String>(work())
        });
        match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    done.map_err(|error| format!("a program cannot be kept from the clock: {error}").into())
}

/// Turns this process into the program, confined.
///
/// # Errors
/// As [`confine`], or the program cannot be started.
pub fn run(program: &[OsString]) -> Result<Infallible, Error> {
    let (name, args) = program.split_first().ok_or("no program named")?;
    confine()?;
    let error = Command::new(name).args(args).exec();
    Err(format!("{}: {error}", name.display()).into())
}

/// NTP's port is 123.
const KEPT: CapabilitySet = CapabilitySet::NET_BIND_SERVICE;

fn filter() -> Result<BpfProgram, Error> {
    let arch = std::env::consts::ARCH.try_into()?;
    let rules: BTreeMap<_, _> = SETTING.into_iter().map(|call| (call, Vec::new())).collect();
    // Error number 0: the call is done, says the kernel.
    let done = SeccompAction::Errno(0);
    Ok(SeccompFilter::new(rules, SeccompAction::Allow, done, arch)?.try_into()?)
}

/// Those that read only, as `adjtimex` with no modes does, look the same to a filter: they read nothing. No processor
/// of 64 bits has `stime`.
const SETTING: [i64; 4] = [
    libc::SYS_clock_settime,
    libc::SYS_settimeofday,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
];

#[cfg(test)]
mod tests {
    use std::process::Output;
    use std::time::{Duration, Instant, SystemTime};

    use super::*;

    /// Tries every call there is to set the clock to the year 2001, and says what each gave; not even the test may rely
    /// on the filter alone, so nothing is tried with the capability that would let it work.
    const ATTEMPTS: &str = r#"
import ctypes, sys
CAP_SYS_TIME = 25
with open("/proc/self/status") as status:
    effective = next(line for line in status if line.startswith("CapEff")).split()[1]
print(effective)
if int(effective, 16) >> CAP_SYS_TIME & 1:
    sys.exit("not tried: it would work")
libc = ctypes.CDLL(None, use_errno=True)
spec = (ctypes.c_long * 2)(1000000000, 0)
timex = (ctypes.c_ubyte * 512)()
timex[1] = 0x01 # modes: ADJ_SETOFFSET
timex[72] = 200 # seconds
attempts = {
    "clock_settime": lambda: libc.clock_settime(0, spec),
    "settimeofday": lambda: libc.settimeofday(spec, None),
    "adjtimex": lambda: libc.adjtimex(timex),
    "clock_adjtime": lambda: libc.clock_adjtime(0, timex),
}
for name, attempt in attempts.items():
    print(name, attempt())
"#;

    fn attempt() -> Output {
        let mut command = Command::new("python3");
        command.args(["-c", ATTEMPTS]);
        guarded(move || command.output().unwrap()).unwrap()
    }

    #[test]
    fn clock_stays_where_it_is_whatever_a_program_tries() {
        let (clock, monotonic) = (SystemTime::now(), Instant::now());
        let output = attempt();
        let moved = SystemTime::now().duration_since(clock).unwrap();
        let passed = monotonic.elapsed();
        assert!(moved.abs_diff(passed) < Duration::from_secs(1), "{moved:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines = text.lines();
        let left = u64::from_str_radix(lines.next().unwrap(), 16).unwrap();
        assert_eq!(left & !KEPT.bits(), 0, "{left:x}");
        for call in ["clock_settime", "settimeofday", "adjtimex", "clock_adjtime"] {
            assert_eq!(lines.next(), Some(format!("{call} 0").as_str()), "{text}");
        }
    }

    #[test]
    fn caller_of_guarded_is_not_confined_itself() {
        let status = || std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = |text: &str, name: &str| {
            let found = text.lines().find(|line| line.starts_with(name));
            found.map(str::to_owned).unwrap()
        };
        let before = line(&status(), "NoNewPrivs");
        let inside = guarded(status).unwrap();
        assert!(line(&inside, "NoNewPrivs").ends_with('1'));
        assert_eq!(line(&inside, "Seccomp:"), "Seccomp:\t2");
        assert_eq!(line(&status(), "NoNewPrivs"), before);
    }
}
