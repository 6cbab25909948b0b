//! Departures of answers, told in later ones, with the real programs.
//!
//! Client and server read one clock, so the true offset is 0, and the interval of every sample, offset ± delay / 2,
//! must hold it however slow the machine is. A departure paired with the wrong answer would move it away.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tsq_interop::{Adjtime, Impairment, Relay, Report, Server};

fn ask(pin: &str, address: SocketAddr, options: &[&str]) -> Report {
    let address = address.to_string();
    Adjtime::dry_run(&[&["--pin", pin, &address, "--queries", "20"], options].concat())
}

fn corrected(report: &Report) -> Vec<&Value> {
    let samples = report.source(0, "samples").as_array().unwrap();
    let corrected = samples
        .iter()
        .filter(|sample| sample["timestamps"] == "kernel+follow-up");
    corrected.collect()
}

/// Some samples were corrected, none wrongly, and nothing was told that cannot be.
///
/// How many, a busy machine decides: a query that is repeated may come too late for the closing one.
#[track_caller]
fn assert_corrected(report: &Report) {
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert_eq!(report.source(0, "answered"), 20, "{report:#?}");
    let corrected = corrected(report);
    assert!(!corrected.is_empty(), "{report:#?}");
    let expected = json!({ "used": corrected.len(), "refused": {} });
    assert_eq!(report.source(0, "follow_ups"), &expected, "{report:#?}");
    for sample in corrected {
        let offset = sample["offset_ns"].as_i64().unwrap();
        let delay = sample["delay_ns"].as_i64().unwrap();
        assert!(2 * offset.abs() <= delay + 2, "{sample} in {report:#?}");
    }
}

// tsq: M10
#[test]
fn samples_are_corrected_by_either_transport_and_family() {
    let server = Server::start(&["--listen", "[::]:0"]);
    let port = server.address().port();
    for host in ["127.0.0.1", "[::1]"] {
        let address: SocketAddr = format!("{host}:{port}").parse().unwrap();
        for transport in ["datagram", "stream"] {
            assert_corrected(&ask(server.pin(), address, &["--transport", transport]));
        }
    }
}

// tsq: M9
#[test]
fn without_metadata_nothing_is_asked_nor_told() {
    let server = Server::start(&[]);
    let report = ask(server.pin(), server.address(), &["--no-metadata"]);
    assert_eq!(report.source(0, "timestamps"), "kernel", "{report:#?}");
    let expected = json!({ "used": 0, "refused": {} });
    assert_eq!(report.source(0, "follow_ups"), &expected, "{report:#?}");
}

#[test]
fn loss_and_reordering_pair_no_departure_with_another_answer() {
    let server = Server::start(&[]);
    for seed in 1..=4 {
        let impairment = Impairment {
            loss_percent_each_way: 20.0,
            reorder_percent: 20.0,
            seed,
            ..Impairment::round_trip(Duration::from_millis(4))
        };
        let relay = Relay::start(server.address(), impairment).unwrap();
        for transport in ["datagram", "stream"] {
            let options = ["--transport", transport, "--timeout", "20000"];
            assert_corrected(&ask(server.pin(), relay.address(), &options));
        }
    }
}
