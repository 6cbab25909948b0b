//! What a running server tells of itself.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tsq_interop::{Adjtime, Server};

const METRICS: &[&str] = &["--metrics", "127.0.0.1:0"];
/// Far beyond what any machine needs.
const LIMIT: Duration = Duration::from_secs(30);

fn sync(server: &Server, more: &[&str]) {
    let address = server.address().to_string();
    let args = [&["--pin", server.pin(), "--queries", "5", &address], more].concat();
    let report = Adjtime::dry_run(&args);
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
}

#[test]
fn a_sync_is_in_the_metrics() {
    let server = Server::start(METRICS);
    sync(&server, &[]);
    let answered = r#"tsq_requests_total{transport="datagram",outcome="answered"}"#;
    // A request sent twice is answered twice.
    assert!(server.metric(answered) >= 5.0);
    assert!(server.metric("tsq_handshakes_total") >= 1.0);
    assert_eq!(
        server.metric("tsq_answer_lag_seconds_count"),
        server.metric(r#"tsq_timestamps_total{source="kernel"}"#)
            + server.metric(r#"tsq_timestamps_total{source="user"}"#),
    );
    assert!(server.metric("tsq_answer_lag_seconds_sum") > 0.0);
    assert!(server.metric("process_resident_memory_bytes") > 1e6);
    assert_eq!(server.metric("tsq_clock_vouched"), 1.0);
    assert_eq!(server.metric("tsq_clock_stratum"), 10.0);
    assert!(server.get("/healthz").ends_with("\r\n\r\nok\n"));
    // The client's farewell may come after its report.
    let begun = Instant::now();
    while server.metric(r#"tsq_connections_closed_total{reason="client"}"#) < 1.0 {
        assert!(begun.elapsed() < LIMIT, "its end is not counted");
    }
}

#[test]
fn streams_are_told_apart_from_datagrams() {
    let server = Server::start(METRICS);
    sync(&server, &["--transport", "stream"]);
    let answered = |transport: &str| {
        server.metric(&format!(
            r#"tsq_requests_total{{transport="{transport}",outcome="answered"}}"#
        ))
    };
    assert!(answered("stream") >= 5.0);
    assert_eq!(answered("datagram"), 0.0);
}

#[test]
fn summary_is_logged_on_sigusr1() {
    let server = Server::start(&[]);
    sync(&server, &[]);
    let id = i32::try_from(server.process().id()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), Signal::USR1).unwrap();
    let line = server.process().wait_for(LIMIT, |line| {
        line.contains("\"summary\"").then(|| line.to_string())
    });
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    let fields = &event["fields"];
    assert!(fields["datagrams"].as_u64() >= Some(5), "{line}");
    assert!(fields["handshakes"].as_u64() >= Some(1), "{line}");
    assert!(fields["resident_kib"].as_u64() > Some(1000), "{line}");
    // It serves on.
    sync(&server, &[]);
}

/// A client's address is in no log, however much is logged, and in no metric.
#[test]
fn clients_remain_unnamed() {
    let server = Server::start(&[METRICS, &["--log-level", "trace"]].concat());
    let source = "127.77.66.55";
    let client = std::net::UdpSocket::bind((source, 0)).unwrap();
    // Refused before it is a connection, and while it seems to become one.
    for packet in [[0xff; 1200], [0xc0; 1200], [0x40; 1200]] {
        client.send_to(&packet, server.address()).unwrap();
    }
    sync(&server, &[]);
    let text = server.get("/metrics");
    assert!(!text.contains("127."), "{text}");
    for line in server.process().lines() {
        assert!(!line.contains(source), "{line}");
    }
}

#[test]
fn taken_metrics_address_exits_4_and_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let state = tempfile::tempdir().unwrap();
    let state = state.path().to_str().unwrap();
    let listen = ["--listen", "127.0.0.1:0", "--state-dir", state];
    let outcome = Server::run(&[&listen, &["--metrics", &address][..]].concat());
    assert_eq!(outcome.code, Some(4), "{outcome:#?}");
    assert!(outcome.stderr.contains(&address), "{outcome:#?}");
}

#[test]
fn metrics_for_the_whole_network_are_warned_of() {
    let server = Server::start(&["--metrics", "0.0.0.0:0"]);
    let warned = |line: &str| (line.contains("WARN") && line.contains("--metrics")).then_some(());
    server.process().wait_for(LIMIT, warned);
}
