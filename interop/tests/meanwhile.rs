//! What programs use changes while they use it: each is one row of docs/design/meanwhile.md.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tsq_interop::{Adjtime, Outcome, Process, Report, Server, bin, run, silent_port};

const LIMIT: Duration = Duration::from_secs(30);

fn signal(process: &Process, signal: Signal) {
    let id = Pid::from_raw(process.id().cast_signed()).expect("a process has an id");
    kill_process(id, signal).expect("an own child takes signals");
}

/// A guest that its host stopped for a while: requests wait in the socket, and T2 is the kernel's.
#[test]
fn server_that_was_stopped_answers_with_the_times_at_which_requests_came() {
    let server = Server::start(&[]);
    signal(server.process(), Signal::STOP);
    let address = server.address().to_string();
    let report = thread::scope(|scope| {
        let client = scope
            .spawn(|| Adjtime::dry_run(&["--pin", server.pin(), "--timeout", "20000", &address]));
        // Long enough for the first packets to wait, whatever else the machine does.
        thread::sleep(Duration::from_millis(700));
        signal(server.process(), Signal::CONT);
        client.join().expect("it does not panic")
    });
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    let (offset, bound) = (
        report.json["offset_ns"].as_i64().expect("an offset"),
        report.json["bound_ns"].as_i64().expect("a bound"),
    );
    assert!(offset.abs() <= bound, "{report:#?}");
}

#[test]
fn client_that_is_told_to_end_while_it_measures_ends_at_once() {
    let (_socket, silent) = silent_port();
    let mut command = Command::new(bin("tsq-adjtime"));
    command.args(["--dry-run", "--timeout", "60000", "--fallback", "none"]);
    command.args(["--verbose", "--pin", &"0".repeat(64), &silent]);
    for end in [Signal::TERM, Signal::INT] {
        let mut client = Process::start(copy(&command));
        // Nothing tells when it measures; too early is as good.
        thread::sleep(Duration::from_millis(200));
        signal(&client, end);
        let status = client.wait_for_end(LIMIT);
        let by = status.signal().or(status.code().map(|code| code - 128));
        assert_eq!(by, Some(end.as_raw()), "{status:?} {:#?}", client.lines());
    }
}

fn copy(command: &Command) -> Command {
    let mut copy = Command::new(command.get_program());
    copy.args(command.get_args());
    copy
}

/// `wait` asks in rounds, and the name service may have come up, or the name moved, in between.
#[test]
fn name_that_leads_elsewhere_meanwhile_is_followed() {
    let server = Server::start(&["--listen", "127.0.3.1:0"]);
    let port = server.address().port();
    let _silent = UdpSocket::bind(("127.0.3.2", port)).expect("127/8 is all ours");
    let folder = tempfile::tempdir().expect("the folder for temporary files is writable");
    let hosts = folder.path().join("hosts");
    fs::write(&hosts, "127.0.3.2 moves.example\n").expect("an own folder is writable");
    let mut command = Command::new("unshare");
    let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    command
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .arg(&hosts)
        .arg(bin("tsq-adjtime"))
        .args(["wait", "--fallback", "none", "--max-error", "10s"])
        .args(["--timeout", "60s", "--pin", server.pin()])
        .arg(format!("moves.example:{port}"));
    let client = thread::spawn(move || run(command, Duration::from_secs(90)));
    // A round asks the silent address for some seconds.
    thread::sleep(Duration::from_secs(1));
    // In place: a mount shows the file, not the name.
    fs::write(&hosts, "127.0.3.1 moves.example\n").expect("an own folder is writable");
    let outcome = client.join().expect("it does not panic");
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
}

#[test]
fn time_zone_changes_no_word_and_no_number() {
    let server = Server::start(&[]);
    let address = server.address().to_string();
    let ask = |zone: &str| -> Outcome {
        let mut command = Command::new(bin("tsq-adjtime"));
        command
            .env("TZ", zone)
            .args(["check", "--fallback", "none"]);
        // Its own refusal, with dates in it: a certificate's and the floor's.
        command.args(["--timeout", "10s", "--pin", server.pin(), &address]);
        run(command, LIMIT)
    };
    let dates = |outcome: &Outcome| -> Vec<String> {
        let words = outcome.stdout.split_whitespace();
        words
            .filter(|word| word.starts_with("20") && word.contains('-'))
            .map(|word| word[..word.len().min(10)].to_owned())
            .collect()
    };
    let here = ask("UTC0");
    // A day apart, so that a date in local time would be another one.
    for zone in ["<A>14", "<B>-14", ":/no/such/zone"] {
        let there = ask(zone);
        assert_eq!(there.code, here.code, "{zone}: {there:#?}");
        assert_eq!(dates(&there), dates(&here), "{zone}");
    }
}

/// With too few it says so; it never panics, and never finds less than it asked for in silence.
#[test]
fn client_with_any_number_of_descriptors_measures_or_says_what_it_lacks() {
    let server = Server::start(&[]);
    let address = server.address().to_string();
    let (mut refused, mut measured) = (0, 0);
    for limit in 3..=24 {
        let mut command = Command::new("sh");
        command
            .args(["-c", "ulimit -n $0 && exec \"$@\"", &limit.to_string()])
            .arg(bin("tsq-adjtime"))
            .args(["--dry-run", "--fallback", "none", "--timeout", "10000"])
            .args(["--pin", server.pin(), &address]);
        let outcome = run(command, LIMIT);
        match outcome.code {
            Some(0) => measured += 1,
            // The dynamic linker's own: no program ran yet.
            Some(127) => {}
            Some(1..=7) => {
                let told = format!("{}{}", outcome.stdout, outcome.stderr);
                assert!(
                    told.contains("Too many open files"),
                    "{limit}: {outcome:#?}"
                );
                refused += 1;
            }
            _ => panic!("{limit}: {outcome:#?}"),
        }
    }
    assert!(
        refused > 0 && measured > 0,
        "{refused} refused, {measured} measured"
    );
}

/// Tells [`in_namespace`] that it is.
const INSIDE: &str = "TSQ_TEST_INSIDE";

#[test]
fn address_that_goes_away_and_comes_back_is_served_again() {
    let mut child = Command::new("unshare");
    child
        .arg("-rn")
        .arg(std::env::current_exe().expect("a test has a file"))
        .args(["--exact", "in_namespace", "--ignored", "--nocapture"])
        .env(INSIDE, "1");
    let possible = Command::new("unshare")
        .args(["-rn", "ip", "address"])
        .output();
    if !possible.is_ok_and(|outcome| outcome.status.success()) {
        eprintln!("skipped: unshare and ip make no network namespace here");
        return;
    }
    // The programs may have to be built first, where this test runs alone.
    let _ = (bin("tsq-server"), bin("tsq-adjtime"));
    let outcome = run(child, Duration::from_secs(90));
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    assert!(outcome.stdout.contains("1 passed"), "{outcome:#?}");
}

#[test]
#[ignore = "runs in a namespace that address_that_goes_away_and_comes_back_is_served_again makes"]
fn in_namespace() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let ip = |words: &str| {
        let mut command = Command::new("ip");
        command.args(words.split(' '));
        let outcome = run(command, LIMIT);
        assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    };
    ip("link set lo up");
    ip("addr add 10.44.0.2/32 dev lo");
    let server = Server::start(&["--listen", "10.44.0.2:4433"]);
    let ask = |timeout: &str| -> Report {
        let pin = ["--pin", server.pin(), "--fallback", "none"];
        Adjtime::dry_run(&[&pin[..], &["--timeout", timeout, "10.44.0.2:4433"]].concat())
    };
    assert_eq!(ask("20000").outcome.code, Some(0));
    ip("addr del 10.44.0.2/32 dev lo");
    assert_eq!(ask("500").outcome.code, Some(3));
    ip("addr add 10.44.0.2/32 dev lo");
    let again = ask("20000");
    assert_eq!(again.outcome.code, Some(0), "{again:#?}");
}
