//! Every program that waits for something ends by SIGTERM and SIGINT where it is the first process of a container, which the kernel keeps
//! from signals that it has no handler for.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tsq_interop::{Process, Server, bin, silent_port};

const PIN: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Starts `program` as the first process of a namespace of its own, and waits until it has a handler for `signal`.
fn start(program: &str, words: &[&str], signal: Signal) -> (Process, Pid) {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child"]);
    command.arg(bin(program)).args(words);
    let outer = Process::start(command);
    let id = outer.id();
    let children = format!("/proc/{id}/task/{id}/children");
    let inner = wait_for(|| {
        let text = fs::read_to_string(&children).ok()?;
        Pid::from_raw(text.split_whitespace().next()?.parse().ok()?)
    });
    let status = format!("/proc/{}/status", inner.as_raw_pid());
    wait_for(|| {
        let text = fs::read_to_string(&status).ok()?;
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
        (caught >> (signal.as_raw() - 1) & 1 == 1).then_some(())
    });
    (outer, inner)
}

fn wait_for<T>(mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < deadline, "never came about");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn signals_end_every_program_that_waits_as_process_1() {
    if !geteuid().is_root() {
        eprintln!("not root: no namespace of processes to be had");
        return;
    }
    let (_socket, silent) = silent_port();
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().to_str().unwrap();
    let served = Server::start(&[]);
    let address = served.address().to_string();
    let wait = ["wait", "--timeout", "1h", "--pin", PIN, &silent];
    let dry = ["--dry-run", "--timeout", "1h", "--pin", PIN, &silent];
    let load = [
        "--pin",
        served.pin(),
        "-d",
        "1h",
        "-c",
        "1",
        "--rate",
        "1",
        &address,
    ];
    let serve = [
        "--listen",
        "127.0.0.1:0",
        "--state-dir",
        kept,
        "--no-sandbox",
    ];
    for (program, words, by_signal) in [
        ("tsq-adjtime", &wait[..], true),
        ("tsq-adjtime", &dry, true),
        ("tsq-perf", &load, false),
        ("tsq-server", &serve, false),
    ] {
        for signal in [Signal::TERM, Signal::INT] {
            let (mut outer, inner) = start(program, words, signal);
            kill_process(inner, signal).unwrap();
            let code = outer.wait_for_end(Duration::from_secs(60)).code();
            if by_signal {
                assert_eq!(code, Some(128 + signal.as_raw()), "{program} {words:?}");
            }
        }
    }
}
