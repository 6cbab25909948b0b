//! What is used where TSQ does not get through, against a real chronyd: never silently, and never by guess.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tsq_interop::{Adjtime, Certs, Chronyd, Report, Server, closed_port, silent_port};

/// An authority, a chronyd with its certificate, and the options that lead to it.
struct Setting {
    certs: Certs,
    chronyd: Chronyd,
}

impl Setting {
    fn new() -> Self {
        let certs = Certs::new();
        let chronyd = Chronyd::start(&certs.server("chronyd", "127.0.0.1", &[]));
        Self { certs, chronyd }
    }

    /// A dry run that asks `server` for TSQ.
    fn ask(&self, server: &str, options: &[&str]) -> Report {
        self.ask_at(server, self.chronyd.nts(), self.chronyd.ntp(), options)
    }

    fn ask_at(&self, server: &str, nts: SocketAddr, ntp: SocketAddr, options: &[&str]) -> Report {
        let (nts, ntp) = (nts.port().to_string(), ntp.port().to_string());
        let ca = self.certs.ca();
        let words = ["--ca", &ca, "--nts-port", &nts, "--ntp-port", &ntp];
        Adjtime::dry_run(&[&words[..], options, &[server]].concat())
    }
}

#[track_caller]
fn assert_used(report: &Report, code: i32, protocol: &str, authenticated: bool) {
    assert_eq!(report.outcome.code, Some(code), "{report:#?}");
    assert_eq!(report.source(0, "protocol"), protocol, "{report:#?}");
    assert_eq!(report.source(0, "verdict"), "used", "{report:#?}");
    assert_eq!(report.json["authenticated"], authenticated, "{report:#?}");
    // chronyd reads our clock, so the true offset is 0.
    let [offset, bound] = ["offset_ns", "bound_ns"].map(|f| report.json[f].as_i64().unwrap());
    assert!(offset.abs() <= bound, "{report:#?}");
    let tried = report.source(0, "attempts").as_array().unwrap();
    assert_eq!(tried[0]["protocol"], "tsq", "{report:#?}");
}

#[track_caller]
fn assert_problem(report: &Report, attempt: usize, words: &str) {
    let tried = &report.source(0, "attempts")[attempt]["problem"];
    assert!(tried.as_str().unwrap().contains(words), "{report:#?}");
}

#[test]
fn blocked_port_leads_to_nts_and_the_output_says_so() {
    let setting = Setting::new();
    let ((_closed, closed), (_silent, silent)) = (closed_port(), silent_port());
    for (server, words) in [(&closed, "nothing listens"), (&silent, "no answer")] {
        let report = setting.ask(server, &[]);
        assert_used(&report, 0, "nts", true);
        assert_eq!(report.source(0, "trust"), "ca", "{report:#?}");
        assert_eq!(report.source(0, "answered"), 5, "{report:#?}");
        assert_problem(&report, 0, words);
    }
    let (nts, ca) = (setting.chronyd.nts().port().to_string(), setting.certs.ca());
    let words = ["--dry-run", "--ca", &ca, "--nts-port", &nts, &closed];
    let shown = Adjtime::run(&words).stdout;
    assert!(shown.contains("[by NTS]; TSQ: nothing listens"), "{shown}");
}

#[test]
fn nts_is_held_to_the_same_certificates() {
    let (setting, foreign) = (Setting::new(), Certs::new());
    let (_closed, closed) = closed_port();
    let port = setting.chronyd.nts().port().to_string();
    let pin = "00".repeat(32);
    let ca = foreign.ca();
    for (trust, words) in [
        (["--ca", &ca], "signed by nobody we trust"),
        (["--pin", &pin], "pin"),
    ] {
        let words_of_run = [&trust[..], &["--nts-port", &port, &closed]].concat();
        let report = Adjtime::dry_run(&words_of_run);
        assert_eq!(report.outcome.code, Some(7), "{report:#?}");
        assert_eq!(report.source(0, "verdict"), "port_closed", "{report:#?}");
        assert_problem(&report, 0, words);
        // The line tells what the code is about.
        let told = &report.outcome.stderr;
        assert!(told.contains("by NTS") && told.contains(words), "{told}");
    }
    let other = setting.ask(&closed, &["--server-name", "other.example"]);
    assert_eq!(other.outcome.code, Some(7), "{other:#?}");
    assert_problem(&other, 0, "127.0.0.1");
}

#[test]
fn whoever_shows_a_foreign_key_is_not_believed_by_plain_ntp() {
    let setting = Setting::new();
    let files = setting.certs.server("tsq", "127.0.0.1", &[]);
    let server = Server::start(&["--cert", &files.cert, "--key", &files.key]);
    let address = server.address().to_string();
    let (_closed, closed) = closed_port();
    let pin = "00".repeat(32);
    for server in [&address, &closed] {
        let report = setting.ask(server, &["--pin", &pin, "--allow-ntp"]);
        assert_eq!(report.outcome.code, Some(7), "{report:#?}");
        assert_eq!(report.json["offset_ns"], Value::Null, "{report:#?}");
        assert_problem(&report, 0, "pin");
        assert_problem(&report, 1, "not believed");
    }
}

// The machine may be so busy that a bound is large: what is asked is whether ten seconds are met.
#[test]
fn check_wait_and_explain_find_what_a_run_finds() {
    let setting = Setting::new();
    let (_closed, closed) = closed_port();
    let (nts, ca) = (setting.chronyd.nts().port().to_string(), setting.certs.ca());
    let words = |command: &[&'static str]| {
        let options = ["--json", "--ca", &ca, "--nts-port", &nts, &closed];
        Adjtime::run(&[command, &options[..]].concat())
    };
    let run = words(&["--dry-run"]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    let wait = words(&["wait", "--max-error", "10s"]);
    assert_eq!(wait.code, Some(0), "{wait:#?}");
    assert_eq!(wait.json()["sources"][0]["protocol"], "nts", "{wait:#?}");
    for command in ["check", "explain"] {
        let outcome = words(&[command]);
        assert_eq!(outcome.code, Some(0), "{outcome:#?}");
        let json = outcome.json();
        let finding = |name: &str| {
            let mut found = json["findings"].as_array().unwrap().iter();
            found.find(|one| one["name"] == name).cloned()
        };
        let used = finding("used").unwrap();
        assert!(used["text"].to_string().contains("by NTS"), "{json:#}");
        // That TSQ is closed there is told, with what to do, and is no problem.
        assert_eq!(finding("port_closed").unwrap()["level"], "note", "{json:#}");
        assert_eq!(finding("no_result"), None, "{json:#}");
    }
}

#[test]
fn silent_server_is_silent_for_all_of_a_long_timeout() {
    let certs = Certs::new();
    let (_silent, silent) = silent_port();
    let ca = certs.ca();
    // QUIC's own idle timeout is 10 s.
    let words = ["--ca", &ca, "--timeout", "12000", "--fallback", "none"];
    let report = Adjtime::dry_run(&[&words[..], &[&silent]].concat());
    assert_eq!(report.outcome.code, Some(3), "{report:#?}");
    assert_eq!(report.source(0, "verdict"), "silent", "{report:#?}");
    assert!(
        report.outcome.elapsed >= Duration::from_secs(12),
        "{report:#?}"
    );
}

#[test]
fn plain_ntp_decides_only_if_allowed() {
    let setting = Setting::new();
    let (_closed, closed) = closed_port();
    let (_silent, no_nts) = silent_port();
    let no_nts = no_nts.parse().unwrap();
    let ntp = setting.chronyd.ntp();
    let ask = |options: &[&str]| setting.ask_at(&closed, no_nts, ntp, options);

    // Not asked at all by default.
    let report = ask(&[]);
    assert_eq!(report.outcome.code, Some(3), "{report:#?}");
    assert_eq!(report.source(0, "protocol"), "tsq", "{report:#?}");

    let report = ask(&["--fallback", "nts,ntp"]);
    assert_eq!(report.outcome.code, Some(3), "{report:#?}");
    assert_eq!(
        report.source(0, "verdict"),
        "unauthenticated",
        "{report:#?}"
    );
    assert_eq!(report.source(0, "trust"), "none", "{report:#?}");
    let reason = report.json["reason"].as_str().unwrap();
    assert!(reason.contains("--allow-ntp"), "{reason}");

    let report = ask(&["--allow-ntp"]);
    assert_used(&report, 8, "ntp", false);
    assert_problem(&report, 1, "TCP port");
}

#[test]
fn plain_ntp_only_refines_what_a_tsq_server_says() {
    let setting = Setting::new();
    let files = setting.certs.server("tsq", "127.0.0.1", &[]);
    let server = Server::start(&["--cert", &files.cert, "--key", &files.key]);
    let address = server.address().to_string();
    let (_closed, closed) = closed_port();
    let words = ["--allow-ntp", &address];
    let report = setting.ask_at(
        &closed,
        setting.chronyd.nts(),
        setting.chronyd.ntp(),
        &words,
    );
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    let report = setting.ask_at(
        &closed,
        "127.0.0.1:9".parse().unwrap(),
        setting.chronyd.ntp(),
        &words,
    );
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert_eq!(report.json["authenticated"], true, "{report:#?}");
    assert_eq!(report.source(0, "verdict"), "used", "{report:#?}");
    assert_eq!(report.source(1, "protocol"), "ntp", "{report:#?}");
    let verdict = report.source(1, "verdict").as_str().unwrap();
    assert!(["refines", "outlier"].contains(&verdict), "{report:#?}");
}

/// Answers whatever comes over TCP and UDP with a page for browsers.
struct Portal {
    udp: SocketAddr,
    tcp: SocketAddr,
}

impl Portal {
    fn start() -> Self {
        const PAGE: &[u8] = b"HTTP/1.1 302 Found\r\nLocation: http://hotel.example/login\r\n\r\n";
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let portal = Self {
            udp: udp.local_addr().unwrap(),
            tcp: tcp.local_addr().unwrap(),
        };
        let udp = Arc::new(udp);
        thread::spawn(move || {
            let mut packet = [0; 2048];
            while let Ok((_, from)) = udp.recv_from(&mut packet) {
                let _ = udp.send_to(PAGE, from);
            }
        });
        thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                let mut stream = stream;
                let _ = stream.read(&mut [0; 2048]);
                let _ = stream.write_all(PAGE);
            }
        });
        portal
    }
}

#[test]
fn captive_portal_is_nobodys_time_and_nts_behind_it_is_used() {
    let (setting, portal) = (Setting::new(), Portal::start());
    let server = portal.udp.to_string();
    let report = setting.ask_at(&server, portal.tcp, portal.udp, &["--allow-ntp"]);
    assert_eq!(report.outcome.code, Some(3), "{report:#?}");
    assert_eq!(report.json["offset_ns"], Value::Null);
    assert_problem(&report, 0, "TLS failed");
    let report = setting.ask(&server, &[]);
    assert_used(&report, 0, "nts", true);
}

#[test]
fn unsynchronised_ntp_server_is_not_believed() {
    let certs = Certs::new();
    let chronyd = Chronyd::start_unsynchronised(&certs.server("chronyd", "127.0.0.1", &[]));
    let setting = Setting { certs, chronyd };
    let (_closed, closed) = closed_port();
    let report = setting.ask(&closed, &["--allow-ntp"]);
    assert_eq!(report.outcome.code, Some(3), "{report:#?}");
    for attempt in 0..2 {
        assert_problem(&report, attempt, "not synchronised");
    }
}

#[test]
fn fallback_keeps_to_the_timeout() {
    let certs = Certs::new();
    let (_silent, silent) = silent_port();
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let nts = hole.local_addr().unwrap().port().to_string();
    let ca = certs.ca();
    let words = ["--ca", &ca, "--timeout", "900", "--nts-port", &nts, &silent];
    let report = Adjtime::dry_run(&words);
    assert_eq!(report.outcome.code, Some(3), "{report:#?}");
    assert!(
        report.outcome.elapsed < Duration::from_millis(2900),
        "{report:#?}"
    );
    assert_problem(&report, 0, "no answer");
}
