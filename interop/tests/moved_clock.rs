//! A clock that others move as well, that does not take what it is told, and that may be moved far only once a boot.
//!
//! The programs see a clock of their own (`fake_clock.c`, preloaded) and have no right to set the machine's.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::geteuid;
use tsq_interop::{Outcome, Process, Server, bin, run, silent_port};

/// Time enough on the busiest machine.
const LONG: Duration = Duration::from_secs(60);

const SECOND: i64 = 1_000_000_000;

/// What a clock may be off after a step, on a machine that is busy.
const RIGHT: i64 = SECOND / 20;

struct Host {
    folder: tempfile::TempDir,
    library: PathBuf,
}

impl Host {
    /// A host whose clock is `ahead` of the machine's.
    fn new(ahead: i64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("fake_clock.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_clock.c");
        let mut compiler = Command::new("cc");
        compiler
            .args(["-O1", "-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(source);
        let compiled = run(compiler, LONG);
        assert_eq!(compiled.code, Some(0), "{compiled:#?}");
        fs::write(folder.path().join("clock"), ahead.to_ne_bytes()).unwrap();
        fs::write(folder.path().join("log"), "").unwrap();
        Self { folder, library }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The client on this host.
    fn client(&self, words: &[&str]) -> Command {
        let mut command = if geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--bounding-set=-sys_time", "--inh-caps=-sys_time"]);
            command.arg(bin("tsq-adjtime"));
            command
        } else {
            Command::new(bin("tsq-adjtime"))
        };
        command
            .arg("--state-dir")
            .arg(self.path("state"))
            .args(words)
            .env("LD_PRELOAD", &self.library)
            .env("FAKE_CLOCK", self.path("clock"))
            .env("FAKE_LOG", self.path("log"));
        command
    }

    fn ahead(&self) -> i64 {
        let bytes = fs::read(self.path("clock")).unwrap();
        i64::from_ne_bytes(bytes.try_into().unwrap())
    }

    /// Somebody sets the clock.
    fn put(&self, ahead: i64) {
        let file = fs::OpenOptions::new().write(true).open(self.path("clock"));
        file.unwrap().write_all_at(&ahead.to_ne_bytes(), 0).unwrap();
    }

    /// The steps that programs have made, in nanoseconds.
    fn steps(&self) -> Vec<i64> {
        let log = fs::read_to_string(self.path("log")).unwrap();
        let steps = log.lines().filter_map(|line| line.strip_prefix("step "));
        steps.map(|nanos| nanos.parse().unwrap()).collect()
    }

    /// The process that holds the state folder.
    fn holder(&self) -> Option<String> {
        let id = fs::read_to_string(self.path("state/lock")).ok()?;
        id.ends_with('\n').then(|| id.trim().to_owned())
    }
}

#[track_caller]
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < end, "still not: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn words<'a>(server: &'a Server, address: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [
        &[
            "--max-offset",
            "5000",
            "--fallback",
            "none",
            "--pin",
            server.pin(),
            address,
        ],
        more,
    ]
    .concat()
}

fn report(outcome: &Outcome) -> String {
    format!("{:?} {}{}", outcome.code, outcome.stdout, outcome.stderr)
}

/// A silent server beside a good one: the run measures at once, and sets the clock when the time is up.
#[test]
fn clock_that_others_put_right_while_it_was_measured_is_not_set_again() {
    let (server, host) = (Server::start(&[]), Host::new(-2 * SECOND));
    let address = server.address().to_string();
    let (silent, nobody) = silent_port();
    silent.set_read_timeout(Some(LONG)).unwrap();
    let run =
        Process::start(host.client(&words(&server, &address, &["--timeout", "5000", &nobody])));
    // Its first packets come before the good server has answered; those repeated come after.
    for _ in 0..4 {
        silent.recv(&mut [0; 2048]).unwrap();
    }
    host.put(0);
    let mut run = run;
    let status = run.wait_for_end(LONG);
    assert_eq!(status.code(), Some(0), "{:#?}", run.lines());
    assert_eq!(host.steps(), [0; 0], "{:#?}", run.lines());
    assert_eq!(host.ahead(), 0);
}

#[test]
fn second_of_two_runs_measures_what_the_first_has_left() {
    let (server, host) = (Server::start(&[]), Host::new(-2 * SECOND));
    let address = server.address().to_string();
    let (_silent, nobody) = silent_port();
    let budget = ["--max-step-total", "2500"];
    let slow = [&budget[..], &["--timeout", "3000", &nobody]].concat();
    let mut first = Process::start(host.client(&words(&server, &address, &slow)));
    wait_until("the first run has the lock", || host.holder().is_some());
    let patient = [&budget[..], &["--timeout", "30000"]].concat();
    let second = run(host.client(&words(&server, &address, &patient)), LONG);
    assert_eq!(second.code, Some(0), "{}", report(&second));
    assert_eq!(
        first.wait_for_end(LONG).code(),
        Some(0),
        "{:#?}",
        first.lines()
    );
    assert_eq!(host.steps().len(), 1, "{}", report(&second));
    assert!(host.ahead().abs() < RIGHT, "{}", host.ahead());
    let account = fs::read_to_string(host.path("state/steps")).unwrap();
    assert_eq!(account.lines().count(), 2, "{account}");
}

#[test]
fn run_that_cannot_wait_says_who_sets_the_clock() {
    let (server, host) = (Server::start(&[]), Host::new(-2 * SECOND));
    let address = server.address().to_string();
    let (_silent, nobody) = silent_port();
    let slow = ["--timeout", "30000", &nobody];
    let first = Process::start(host.client(&words(&server, &address, &slow)));
    wait_until("the first run has the lock", || host.holder().is_some());
    let hasty = words(&server, &address, &["--timeout", "200"]);
    let second = run(host.client(&hasty), LONG);
    assert_eq!(second.code, Some(1), "{}", report(&second));
    let named = format!("process {} has it", first.id());
    assert!(
        second.stderr.contains(&named),
        "{named}: {}",
        report(&second)
    );
    // Whoever only looks need not wait.
    let look = words(&server, &address, &["--dry-run"]);
    let look = run(host.client(&look), LONG);
    assert_eq!(look.code, Some(0), "{}", report(&look));
    assert_eq!(host.steps(), [0; 0]);
}

#[test]
fn step_that_has_no_effect_or_is_undone_is_a_failure_and_nothing_is_kept_as_verified() {
    let server = Server::start(&[]);
    let address = server.address().to_string();
    for (steps, said) in [
        ("ignored", "its clock moved by"),
        (
            "undone",
            "and then something else stepped this clock by -2.000 s",
        ),
    ] {
        let host = Host::new(-2 * SECOND);
        let mut client = host.client(&words(&server, &address, &["--json"]));
        client.env("FAKE_STEPS", steps);
        let outcome = run(client, LONG);
        assert_eq!(outcome.code, Some(1), "{}", report(&outcome));
        let json = outcome.json();
        assert_eq!(json["exit_code"], 1, "{json}");
        let reason = json["reason"].as_str().unwrap_or_default();
        assert!(
            format!("{reason}{}", outcome.stderr).contains(said),
            "{}",
            report(&outcome)
        );
        let kept = fs::read_to_string(host.path("state/clock")).unwrap();
        let agreed = json["trust"]["agreed_ns"].to_string();
        assert!(!kept.contains(&agreed), "{kept}");
        assert_eq!((host.steps().len(), host.ahead()), (1, -2 * SECOND));
    }
    // That a good run does keep it.
    let host = Host::new(-2 * SECOND);
    let outcome = run(host.client(&words(&server, &address, &["--json"])), LONG);
    assert_eq!(outcome.code, Some(0), "{}", report(&outcome));
    let kept = fs::read_to_string(host.path("state/clock")).unwrap();
    assert!(
        kept.contains(&outcome.json()["trust"]["agreed_ns"].to_string()),
        "{kept}"
    );
}

/// An NTP server that is `ahead` by so many seconds, until the test ends.
fn ntp_server(ahead: Arc<AtomicU64>) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut request = [0; 512];
        while let Ok((_, from)) = socket.recv_from(&mut request) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let seconds = now.as_secs() + 2_208_988_800 + ahead.load(Ordering::SeqCst);
            let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
            let stamp = ((seconds << 32) | fraction).to_be_bytes();
            let mut answer = [0; 48];
            // Version 4, server, stratum 1, precision 2^-20.
            answer[..4].copy_from_slice(&[0x24, 1, 0, 0xec]);
            answer[12..16].copy_from_slice(b"GPS\0");
            answer[16..24].copy_from_slice(&stamp);
            answer[24..32].copy_from_slice(&request[40..48]);
            answer[32..40].copy_from_slice(&stamp);
            answer[40..48].copy_from_slice(&stamp);
            let _ = socket.send_to(&answer, from);
        }
    });
    port.to_string()
}

/// Also where plain NTP decided, which proves nothing that could be kept.
#[test]
fn first_correction_of_a_boot_is_one_only_however_it_ends() {
    let ahead = Arc::new(AtomicU64::new(5_000));
    let ntp = ntp_server(Arc::clone(&ahead));
    let host = Host::new(0);
    let (_closed, address) = tsq_interop::closed_port();
    let pin = "0".repeat(64);
    let correct = || {
        let words = [
            "--max-start-offset",
            "none",
            "--max-step-total",
            "1000",
            "--bootstrap",
            "never",
            "--pin",
            &pin,
            "--fallback",
            "ntp",
            "--allow-ntp",
            "--ntp-port",
            &ntp,
            &address,
        ];
        run(host.client(&words), LONG)
    };
    let first = correct();
    assert_eq!(first.code, Some(8), "{}", report(&first));
    assert_eq!(host.steps().len(), 1, "{}", report(&first));
    ahead.store(10_000, Ordering::SeqCst);
    let second = correct();
    assert_eq!(second.code, Some(5), "{}", report(&second));
    assert_eq!(host.steps().len(), 1, "{}", report(&second));
}

/// What limits the next run is on the disk before the clock is moved, or the clock is not moved.
#[test]
fn clock_is_left_alone_where_its_correction_cannot_be_noted() {
    let (server, host) = (Server::start(&[]), Host::new(-2 * SECOND));
    let address = server.address().to_string();
    // In place of the file that is written first there is a folder: full disks differ in how they fail.
    fs::create_dir_all(host.path("state/clock.part")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(host.path("state"), mode).unwrap();
    let outcome = run(host.client(&words(&server, &address, &["--json"])), LONG);
    assert_eq!(outcome.code, Some(1), "{}", report(&outcome));
    let json = outcome.json();
    assert!(
        json["reason"].as_str().unwrap().contains("cannot be noted"),
        "{json}"
    );
    assert_eq!((host.steps(), host.ahead()), (vec![], -2 * SECOND));
}
