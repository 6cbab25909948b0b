use std::collections::BTreeMap;
use std::io;

use libc::c_long;
use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
};

/// Leaves to every thread of the process only the calls of a server.
pub(super) fn confine() -> io::Result<()> {
    let arch = std::env::consts::ARCH
        .try_into()
        .map_err(|_| io::Error::other("no filter is known for this processor"))?;
    for program in [missing(arch), allowed(arch)] {
        let program = program.map_err(io::Error::other)?;
        apply_filter_all_threads(&program).map_err(io::Error::other)?;
    }
    Ok(())
}

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// `clone3` hides its flags in memory, where no filter sees them. The C library takes to `clone` where it
/// seems not to exist.
fn missing(arch: TargetArch) -> Result<BpfProgram, seccompiler::BackendError> {
    let rules = Rules::from([(libc::SYS_clone3, Vec::new())]);
    let enosys = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, enosys, arch)?.try_into()
}

fn allowed(arch: TargetArch) -> Result<BpfProgram, seccompiler::BackendError> {
    let plain = [MEMORY, THREADS, TIME, DESCRIPTORS, FILES, SOCKETS, ARCH];
    let mut rules: Rules = plain
        .into_iter()
        .flatten()
        .map(|call| (*call, Vec::new()))
        .collect();
    for (call, conditions) in NARROWED {
        let alternatives: Result<_, _> = conditions.iter().map(Condition::rule).collect();
        rules.insert(*call, alternatives?);
    }
    // Of all processes, this one: the C library's abort().
    let ourselves = Condition(0, Dword, Eq, u64::from(std::process::id()));
    rules.insert(libc::SYS_tgkill, vec![ourselves.rule()?]);
    let eperm = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, eperm, SeccompAction::Allow, arch)?.try_into()
}

/// Argument, its width, and what must hold of it.
struct Condition(u8, SeccompCmpArgLen, SeccompCmpOp, u64);

impl Condition {
    fn rule(&self) -> Result<SeccompRule, seccompiler::BackendError> {
        let Self(argument, width, comparison, value) = self;
        let condition =
            SeccompCondition::new(*argument, width.clone(), comparison.clone(), *value)?;
        SeccompRule::new(vec![condition])
    }
}

const MEMORY: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
];

const THREADS: &[c_long] = &[
    // Allowed here, and missing by the other filter.
    libc::SYS_clone3,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_membarrier,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
];

/// Without CAP_SYS_TIME, `adjtimex` and `clock_adjtime` only tell.
const TIME: &[c_long] = &[
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
];

const DESCRIPTORS: &[c_long] = &[
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_eventfd2,
    libc::SYS_fcntl,
    libc::SYS_getrandom,
    libc::SYS_lseek,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Which files is landlock's business.
const FILES: &[c_long] = &[
    libc::SYS_faccessat,
    libc::SYS_fchmodat,
    libc::SYS_fstat,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_readlinkat,
    libc::SYS_statx,
    libc::SYS_unlinkat,
];

const SOCKETS: &[c_long] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_listen,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_socketpair,
];

/// What only this processor's C library calls.
#[cfg(target_arch = "x86_64")]
const ARCH: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_chmod,
    libc::SYS_lstat,
    libc::SYS_open,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_stat,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const ARCH: &[c_long] = &[];

/// Calls that may do what a server does, and nothing more: one of the conditions must hold.
const NARROWED: &[(c_long, &[Condition])] = &[
    // Threads, not processes.
    (
        libc::SYS_clone,
        &[Condition(0, Dword, MaskedEq(THREAD), THREAD)],
    ),
    // No memory to run code from.
    (libc::SYS_mmap, &[Condition(2, Dword, MaskedEq(EXECUTE), 0)]),
    (
        libc::SYS_mprotect,
        &[Condition(2, Dword, MaskedEq(EXECUTE), 0)],
    ),
    (
        libc::SYS_socket,
        &[
            Condition(0, Dword, Eq, libc::AF_INET as u64),
            Condition(0, Dword, Eq, libc::AF_INET6 as u64),
            Condition(0, Dword, Eq, libc::AF_UNIX as u64),
        ],
    ),
    // Sockets that do not block; whether standard error is a terminal.
    (
        libc::SYS_ioctl,
        &[
            Condition(1, Dword, Eq, libc::FIONBIO),
            Condition(1, Dword, Eq, libc::TCGETS),
        ],
    ),
    // The names of threads, and of the C library's memory.
    (
        libc::SYS_prctl,
        &[
            Condition(0, Dword, Eq, libc::PR_SET_NAME as u64),
            Condition(0, Dword, Eq, libc::PR_SET_VMA as u64),
        ],
    ),
    // Limits may be asked, not set.
    (libc::SYS_prlimit64, &[Condition(2, Qword, Eq, 0)]),
];

const THREAD: u64 = libc::CLONE_THREAD as u64;
const EXECUTE: u64 = libc::PROT_EXEC as u64;
