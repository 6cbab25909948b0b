//! A hotel's network: its login page answers in every server's place, by TCP and by UDP.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tsq_interop::{Adjtime, Certs, Peer, Report, Server};

const PAGE: &[u8] =
    b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\nContent-Length: 0\r\n\r\n";

const PIN: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Milliseconds for a run that may wait for its end.
const TIMEOUT: &str = "1500";

/// What becomes of UDP packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Udp {
    Dropped,
    /// The login page comes back, which is no QUIC.
    Page,
}

/// Serves the login page over TCP at some port, until the test's process ends.
fn portal(udp: Udp) -> SocketAddr {
    let (socket, listener) = (0..50)
        .find_map(|_| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let listener = TcpListener::bind(socket.local_addr().unwrap()).ok()?;
            Some((socket, listener))
        })
        .expect("some port is free for both");
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut packet = [0; 2048];
        while let Ok((_, peer)) = socket.recv_from(&mut packet) {
            if udp == Udp::Page {
                let _ = socket.send_to(PAGE, peer);
            }
        }
    });
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut stream = stream;
                stream.set_read_timeout(Some(Duration::from_secs(5)))?;
                // Whatever it was, a TLS hello or a request.
                let _ = stream.read(&mut [0; 2048])?;
                stream.write_all(PAGE)
            });
        }
    });
    address
}

/// The finding about a server, with its fix.
#[track_caller]
fn finding(words: &[&str], name: &str) -> (String, String) {
    let outcome = Adjtime::run(&[&["explain", "--json"], words].concat());
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    let json = outcome.json();
    let found = json["findings"].as_array().unwrap();
    let found = found.iter().find(|finding| finding["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no {name} in {json:#}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&found["text"]), text(&found["fix"]))
}

#[track_caller]
fn assert_nothing_is_set(report: &Report, code: i32) {
    assert_eq!(report.outcome.code, Some(code), "{report:#?}");
    assert_eq!(report.json["action"], "refused", "{report:#?}");
    assert_eq!(report.json["offset_ns"], Value::Null, "{report:#?}");
    assert!(report.json["reason"].is_string(), "{report:#?}");
}

#[test]
fn login_page_is_no_time_and_nts_is_not_fooled_by_it_either() {
    for udp in [Udp::Dropped, Udp::Page] {
        let address = portal(udp);
        let (port, server) = (address.port().to_string(), address.to_string());
        let options = ["--pin", PIN, "--timeout", TIMEOUT, "--nts-port", &port];
        let report = Adjtime::dry_run(&[&options[..], &[&server]].concat());
        assert_nothing_is_set(&report, 3);
        let tried = report.source(0, "attempts").as_array().unwrap();
        let nts = tried.iter().find(|attempt| attempt["protocol"] == "nts");
        let problem = nts.unwrap()["problem"].as_str().unwrap();
        assert!(!problem.is_empty(), "{report:#?}");
    }
}

#[test]
fn explain_says_that_quic_is_blocked_where_the_page_is_all_that_comes() {
    for udp in [Udp::Dropped, Udp::Page] {
        let server = portal(udp).to_string();
        let (text, fix) = finding(&["--pin", PIN, &server], "udp_blocked");
        assert!(text.contains("QUIC is blocked"), "{text}");
        assert!(fix.contains("firewall"), "{fix}");
    }
}

#[test]
fn portal_that_speaks_quic_but_not_tsq_is_named_so() {
    let portal = Peer::start("hostile_server.py", &["--mode", "wrong-alpn"]);
    let address = portal.address().to_string();
    let options = ["--pin", portal.pin(), "--timeout", TIMEOUT];
    let fallback = ["--fallback", "none", &address];
    let report = Adjtime::dry_run(&[&options[..], &fallback].concat());
    assert_nothing_is_set(&report, 3);
    assert_eq!(report.source(0, "verdict"), "not_tsq", "{report:#?}");
    let (text, fix) = finding(&["--pin", portal.pin(), &address], "not_tsq");
    assert!(text.contains("not TSQ"), "{text}");
    assert!(fix.contains("hotel"), "{fix}");
}

/// It takes every protocol that is asked for, and its certificate is its own.
#[test]
fn portal_with_a_certificate_of_its_own_is_refused_whatever_the_clock() {
    let portals: Vec<Peer> = (0..3)
        .map(|_| Peer::start("hostile_server.py", &["--mode", "lie:10800000"]))
        .collect();
    let authority = Certs::new();
    let ca = authority.ca();
    let addresses: Vec<String> = portals.iter().map(|p| p.address().to_string()).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let options = ["--ca", &ca, "--max-offset", "none", "--fallback", "none"];
    for (shift, bootstrap) in [
        ("+0s", "auto"),
        ("-61200s", "always"),
        ("+94608000s", "always"),
    ] {
        let words = [&options[..], &["--bootstrap", bootstrap], &addresses].concat();
        let report = Adjtime::dry_run_at(shift, &words);
        assert_nothing_is_set(&report, 7);
        for index in 0..3 {
            let verdict = report.source(index, "verdict");
            assert_eq!(verdict, "certificate_unknown_issuer", "{report:#?}");
            assert_eq!(report.source(index, "answered"), 0, "{report:#?}");
        }
    }
    let (_, fix) = finding(&["--ca", &ca, addresses[0]], "certificate_unknown_issuer");
    assert!(fix.contains("--ca") && fix.contains("hotel"), "{fix}");
}

#[test]
fn honest_server_beside_a_portal_is_used() {
    let server = Server::start(&[]);
    let (portal, address) = (portal(Udp::Page).to_string(), server.address().to_string());
    let options = ["--pin", server.pin(), "--fallback", "none"];
    let report = Adjtime::dry_run(&[&options[..], &[&portal, &address]].concat());
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert_eq!(report.source(0, "answered"), 0, "{report:#?}");
    assert_eq!(report.source(1, "verdict"), "used", "{report:#?}");
}
