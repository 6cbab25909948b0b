//! Certificates and keys that change under a running server; which certificate whom is shown.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tsq_interop::{Adjtime, Certs, Impairment, Peer, Relay, Report, Server, ServerCert, bin, run};

/// A running server whose certificate and key are files that can be replaced.
struct Site {
    folder: TempDir,
    certs: Certs,
    server: Server,
    /// Made so far, so that labels differ.
    made: usize,
}

impl Site {
    fn new(options: &[&str]) -> Self {
        let certs = Certs::new();
        let folder = tempfile::tempdir().unwrap();
        let first = certs.server("first", "127.0.0.1", &[]);
        put(&first.cert, &folder.path().join("cert.pem"));
        put(&first.key, &folder.path().join("key.pem"));
        let (cert, key) = (path(&folder, "cert.pem"), path(&folder, "key.pem"));
        let files = ["--cert", cert.as_str(), "--key", key.as_str()];
        let server = Server::start(&[&files[..], options].concat());
        Self {
            folder,
            certs,
            server,
            made: 0,
        }
    }

    fn fresh(&mut self, options: &[&str]) -> ServerCert {
        self.made += 1;
        let label = format!("made-{}", self.made);
        self.certs.server(&label, "127.0.0.1", options)
    }

    fn put(&self, from: &str, to: &str) {
        put(from, &self.folder.path().join(to));
    }

    fn hangup(&self) {
        hangup(&self.server);
    }

    #[track_caller]
    fn assert_serves(&self, certificate: &ServerCert) {
        let pin = pin(certificate);
        let report = ask(&self.server, &["--pin", &pin]);
        assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    }
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().into()
}

/// As careful programs do: written beside, then renamed.
fn put(from: &str, to: &Path) {
    let beside = to.with_extension("new");
    fs::copy(from, &beside).unwrap();
    fs::rename(beside, to).unwrap();
}

fn hangup(server: &Server) {
    let pid = Pid::from_raw(server.process().id().cast_signed()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
}

fn pin(certificate: &ServerCert) -> String {
    let mut command = Command::new(bin("tsq-certs"));
    command.args(["pin", &certificate.cert]);
    run(command, LIMIT).stdout.trim().into()
}

fn ask(server: &Server, options: &[&str]) -> Report {
    let address = server.address().to_string();
    Adjtime::dry_run(&[&["--timeout", "10000", &address], options].concat())
}

/// Waits until the server's log has `words` in `count` lines.
#[track_caller]
fn wait_for_lines(server: &Server, words: &str, count: usize) {
    let begun = Instant::now();
    loop {
        let lines = server.process().lines();
        if lines.iter().filter(|line| line.contains(words)).count() >= count {
            return;
        }
        assert!(
            begun.elapsed() < LIMIT,
            "no {count} times {words:?} in {lines:#?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

const LIMIT: Duration = Duration::from_secs(60);
const READ: &str = "certificates read again";
const KEPT: &str = "certificates not read again, the old ones stay";

#[test]
fn sighup_gives_new_connections_the_new_certificate_and_keeps_the_old_connections() {
    let mut site = Site::new(&[]);
    let direct = Impairment::round_trip(Duration::ZERO);
    let relay = Relay::start(site.server.address(), direct).unwrap();
    let client = std::thread::scope(|scope| {
        let address = relay.address();
        let options = ["--insecure", "--count", "1000000", "--timeout", "0.5"];
        let client = scope.spawn(move || Peer::run("stream_client.py", address, &options));
        wait_for_packets(&relay, 40);
        let second = site.fresh(&[]);
        site.put(&second.cert, "cert.pem");
        site.put(&second.key, "key.pem");
        site.hangup();
        wait_for_lines(&site.server, READ, 1);
        site.assert_serves(&second);
        let refused = ask(&site.server, &["--pin", site.server.pin()]);
        assert_eq!(refused.outcome.code, Some(7), "{refused:#?}");
        // The old connection still asks and is answered.
        wait_for_packets(&relay, relay.counters().forwarded + 40);
        let Site { server, .. } = site;
        assert_eq!(server.terminate().code(), Some(0));
        client.join().unwrap()
    });
    let closed = client.json()["closed"].to_string();
    assert!(closed.contains("shutting down"), "{client:#?}");
}

#[track_caller]
fn wait_for_packets(relay: &Relay, count: u64) {
    let begun = Instant::now();
    while relay.counters().forwarded < count {
        assert!(begun.elapsed() < LIMIT, "no packets");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn replaced_files_are_found_without_a_signal() {
    let mut site = Site::new(&[]);
    let second = site.fresh(&[]);
    site.put(&second.cert, "cert.pem");
    site.put(&second.key, "key.pem");
    wait_for_lines(&site.server, READ, 1);
    site.assert_serves(&second);
}

/// `live/NAME/fullchain.pem` is a link to `../../archive/NAME/fullchain1.pem`; a renewal writes
/// `fullchain2.pem` and turns the links.
#[test]
fn certbots_links_may_turn() {
    let certs = Certs::new();
    let folder = tempfile::tempdir().unwrap();
    let (live, archive) = (
        folder.path().join("live/t"),
        folder.path().join("archive/t"),
    );
    fs::create_dir_all(&live).unwrap();
    fs::create_dir_all(&archive).unwrap();
    let issue = |number: u32| {
        let made = certs.server(&number.to_string(), "127.0.0.1", &[]);
        for (from, name) in [(&made.cert, "fullchain"), (&made.key, "privkey")] {
            let file = format!("{name}{number}.pem");
            fs::copy(from, archive.join(&file)).unwrap();
            let link = live.join(format!("{name}.pem"));
            let _ = fs::remove_file(&link);
            symlink(Path::new("../../archive/t").join(file), link).unwrap();
        }
        made
    };
    issue(1);
    let (cert, key) = (live.join("fullchain.pem"), live.join("privkey.pem"));
    let text = |path: &PathBuf| path.to_str().unwrap().to_string();
    let server = Server::start(&["--cert", &text(&cert), "--key", &text(&key)]);
    let second = issue(2);
    wait_for_lines(&server, READ, 1);
    let report = ask(&server, &["--pin", &pin(&second)]);
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
}

/// `certificates/NAME.crt` holds the whole chain and `NAME.key` the key; a renewal writes over both, which takes a
/// moment in which they are cut off, and in which they do not belong together.
#[test]
fn legos_files_may_be_written_over() {
    let names = [
        "certificates/time.example.crt",
        "certificates/time.example.key",
    ];
    files_may_be_written_over(names, Some("certificates/time.example.issuer.crt"));
}

/// `--install-cert --fullchain-file … --key-file …` copies into files that are there.
#[test]
fn acme_shs_files_may_be_written_over() {
    files_may_be_written_over(["fullchain.pem", "key.pem"], None);
}

fn files_may_be_written_over([cert, key]: [&str; 2], beside: Option<&str>) {
    let certs = Certs::new();
    let folder = tempfile::tempdir().unwrap();
    let [cert, key] = [cert, key].map(|name| folder.path().join(name));
    fs::create_dir_all(cert.parent().unwrap()).unwrap();
    if let Some(issuer) = beside {
        fs::copy(certs.ca(), folder.path().join(issuer)).unwrap();
    }
    let first = certs.server("1", "127.0.0.1", &[]);
    fs::copy(&first.cert, &cert).unwrap();
    fs::copy(&first.key, &key).unwrap();
    let [cert_text, key_text] = [&cert, &key].map(|path| path.to_str().unwrap());
    let server = Server::start(&["--cert", cert_text, "--key", key_text]);
    let second = certs.server("2", "127.0.0.1", &[]);
    let whole = fs::read(&second.cert).unwrap();
    // A renewal that is stopped in the middle: what is there is not served, and said to be wrong.
    fs::write(&cert, &whole[..whole.len() / 2]).unwrap();
    wait_for_lines(&server, "the file ends in the middle", 1);
    fs::write(&cert, &whole).unwrap();
    wait_for_lines(&server, "is not the key of the certificate", 1);
    let report = ask(&server, &["--pin", &pin(&first)]);
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    fs::copy(&second.key, &key).unwrap();
    wait_for_lines(&server, READ, 1);
    // By name and authority, as clients do who know no pin.
    let ca = certs.ca();
    let report = ask(&server, &["--ca", &ca, "--pin", &pin(&second)]);
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn certificate_that_is_no_servers_is_warned_of() {
    let certs = Certs::new();
    let (client, good) = (certs.client("c"), certs.server("s", "127.0.0.1", &[]));
    for (made, warned) in [(client, true), (good, false)] {
        let server = Server::start(&["--cert", &made.cert, "--key", &made.key]);
        let warning = |line: &String| line.contains("extended key usage is not serverAuth");
        assert_eq!(server.process().lines().iter().any(warning), warned);
    }
}

#[test]
fn unusable_files_keep_the_old_certificate_and_are_told_of() {
    let mut site = Site::new(&[]);
    let first = ServerCert {
        cert: path(&site.folder, "first.pem"),
        key: String::new(),
    };
    fs::copy(path(&site.folder, "cert.pem"), &first.cert).unwrap();
    let second = site.fresh(&[]);
    let expired = site.fresh(&["--not-before", "2020-01-01", "--not-after", "2021-01-01"]);

    // A certificate without its key.
    site.put(&second.cert, "cert.pem");
    site.hangup();
    wait_for_lines(&site.server, "is not the key of the certificate", 1);
    site.assert_serves(&first);
    // Half a file.
    let half = &fs::read(&second.cert).unwrap()[..200];
    fs::write(site.folder.path().join("cert.pem"), half).unwrap();
    site.hangup();
    wait_for_lines(&site.server, KEPT, 2);
    site.assert_serves(&first);
    // Nothing at all.
    fs::remove_file(site.folder.path().join("cert.pem")).unwrap();
    site.hangup();
    wait_for_lines(&site.server, "No such file", 1);
    site.assert_serves(&first);
    // One that clients would refuse.
    site.put(&expired.cert, "cert.pem");
    site.put(&expired.key, "key.pem");
    site.hangup();
    wait_for_lines(&site.server, "expired on", 1);
    site.assert_serves(&first);
    // And a good one again, which is seen without a signal.
    site.put(&second.cert, "cert.pem");
    site.put(&second.key, "key.pem");
    wait_for_lines(&site.server, READ, 1);
    site.assert_serves(&second);
}

#[test]
fn folder_that_took_anothers_place_is_told_with_the_sandbox_and_the_remedy() {
    let (certs, folder) = (Certs::new(), tempfile::tempdir().unwrap());
    let live = folder.path().join("live");
    let made = certs.server("made", "127.0.0.1", &[]);
    let fill = || {
        fs::create_dir(&live).unwrap();
        put(&made.cert, &live.join("cert.pem"));
        put(&made.key, &live.join("key.pem"));
    };
    fill();
    let (cert, key) = (
        path(&folder, "live/cert.pem"),
        path(&folder, "live/key.pem"),
    );
    let metrics = ["--metrics", "127.0.0.1:0"];
    let server = Server::start(&[&["--cert", &cert, "--key", &key][..], &metrics].concat());
    let failures = "tsq_reload_failures_total{files=\"certificates\"}";
    assert_eq!(server.metric(failures), 0.0);
    fs::rename(&live, folder.path().join("before")).unwrap();
    fill();
    hangup(&server);
    let lines = server.process().lines();
    if lines
        .iter()
        .any(|line| line.contains("confined (landlock)"))
    {
        wait_for_lines(
            &server,
            "sandbox opened the folders that were there at its start",
            1,
        );
        assert!(server.metric(failures) >= 1.0);
        hangup(&server);
        wait_for_lines(&server, "restart the server", 2);
    } else {
        wait_for_lines(&server, READ, 1);
    }
}

#[test]
fn certificate_that_expires_soon_is_warned_of_at_the_start() {
    let certs = Certs::new();
    for (days, warned) in [("5", true), ("20", false)] {
        let made = certs.server(days, "127.0.0.1", &["--days", days]);
        let server = Server::start(&["--cert", &made.cert, "--key", &made.key]);
        let warning = |line: &String| line.contains("the certificate expires in");
        assert_eq!(server.process().lines().iter().any(warning), warned);
    }
}

#[test]
fn client_is_shown_the_certificate_with_the_name_it_asks_for() {
    let certs = Certs::new();
    let (a, b) = (
        certs.server("a", "a.example", &[]),
        certs.server("b", "b.example", &[]),
    );
    let server = Server::start(&[
        "--cert", &a.cert, "--key", &a.key, "--cert", &b.cert, "--key", &b.key,
    ]);
    let ca = certs.ca();
    for (name, code) in [("a.example", 0), ("b.example", 0), ("c.example", 7)] {
        let report = ask(&server, &["--ca", &ca, "--server-name", name]);
        assert_eq!(report.outcome.code, Some(code), "{name}: {report:#?}");
    }
    // Without a name: the first.
    let report = ask(&server, &["--pin", &pin(&a)]);
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
}

fn signing_key(folder: &TempDir, id: &str) -> String {
    let out = path(folder, &format!("signing-{id}"));
    let mut command = Command::new(bin("tsq-certs"));
    command.args(["signing-key", "--out", &out, "--id", id]);
    assert_eq!(run(command, LIMIT).code, Some(0));
    out
}

#[test]
fn signing_keys_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (signing_key(&folder, "1"), signing_key(&folder, "2"));
    let key = path(&folder, "key");
    fs::copy(&first, &key).unwrap();
    let server = Server::start(&["--signing-key", &key]);
    let verified_by = |file: &str| {
        let public = format!("{file}.pub");
        ask(&server, &["--pin", server.pin(), "--verify-key", &public])
            .outcome
            .code
    };
    assert_eq!(verified_by(&first), Some(0));
    fs::write(&key, "nonsense").unwrap();
    hangup(&server);
    wait_for_lines(&server, "signing keys not read again, the old ones stay", 1);
    assert_eq!(verified_by(&first), Some(0));
    fs::copy(&second, &key).unwrap();
    wait_for_lines(&server, "signing keys read again", 1);
    assert_eq!(verified_by(&second), Some(0));
    assert_ne!(verified_by(&first), Some(0));
}

#[test]
fn server_for_some_clients_serves_those_with_a_certificate() {
    let (ours, theirs) = (Certs::new(), Certs::new());
    let folder = tempfile::tempdir().unwrap();
    let authority = path(&folder, "clients.pem");
    fs::copy(ours.ca(), &authority).unwrap();
    let server = Server::start(&["--client-ca", &authority]);
    let (good, bad) = (ours.client("c"), theirs.client("c"));
    let of_a_server = ours.server("s", "127.0.0.1", &[]);
    let with = |cert: &ServerCert| {
        let identity = ["--client-cert", &cert.cert, "--client-key", &cert.key];
        ask(&server, &[&["--pin", server.pin()][..], &identity].concat())
    };
    assert_eq!(with(&good).outcome.code, Some(0));
    let address = server.address().to_string();
    let wait = ["wait", "--max-error", "10s", "--pin", server.pin()];
    let identity = ["--client-cert", &good.cert, "--client-key", &good.key];
    let waited = Adjtime::run(&[&wait[..], &identity, &[&address]].concat());
    assert_eq!(waited.code, Some(0), "{waited:#?}");
    assert_eq!(with(&bad).outcome.code, Some(3));
    assert_eq!(
        with(&of_a_server).outcome.code,
        Some(3),
        "it is no client's"
    );
    let without = ask(&server, &["--pin", server.pin()]);
    assert_eq!(without.outcome.code, Some(3));
    let told = without.source(0, "reason").to_string();
    assert!(
        told.contains("only clients with a certificate"),
        "{without:#?}"
    );

    fs::copy(theirs.ca(), &authority).unwrap();
    hangup(&server);
    wait_for_lines(&server, "client authorities read again", 1);
    assert_eq!(with(&bad).outcome.code, Some(0));
    assert_eq!(with(&good).outcome.code, Some(3));
}

#[test]
fn unusable_client_authority_exits_3_and_is_named() {
    for file in ["/nonexistent/ca.pem", "/dev/null"] {
        let outcome = Server::run(&["--client-ca", file, "--check"]);
        assert_eq!(outcome.code, Some(3), "{outcome:#?}");
        assert!(outcome.stderr.contains(file), "{outcome:#?}");
    }
}

#[test]
fn kept_certificate_without_an_asked_for_name_is_warned_of() {
    let state = tempfile::tempdir().unwrap();
    drop(Server::start_in(state.path(), &["--name", "a.example"]));
    let again = Server::start_in(state.path(), &["--name", "a.example"]);
    let warning = |line: &String| line.contains("--name is not in the certificate");
    assert!(!again.process().lines().iter().any(warning));
    drop(again);
    let other = Server::start_in(state.path(), &["--name", "b.example"]);
    assert!(other.process().lines().iter().any(warning));
}
