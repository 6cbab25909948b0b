//! Ways to reach a server: transports, address families, names, and a network that loses packets.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use tsq_interop::{Adjtime, Impairment, Relay, Report, Server};

fn ask(pin: &str, address: &str, options: &[&str]) -> Report {
    Adjtime::dry_run(&[&["--pin", pin, address], options].concat())
}

#[track_caller]
fn assert_synced(report: &Report) {
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert_eq!(report.source(0, "answered"), 5, "{report:#?}");
    let offset = report.offset_ms().unwrap();
    assert!(offset.abs() < 50.0, "offset {offset} ms in {report:#?}");
}

/// It was `address` that was used in the end.
#[track_caller]
fn assert_synced_with(address: SocketAddr, report: &Report) {
    assert_synced(report);
    assert_eq!(report.source(0, "address"), &address.to_string());
}

// tsq: C4 C5
#[test]
fn transport_is_the_one_asked_for_and_datagrams_when_none_is() {
    let server = Server::start(&[]);
    let address = server.address().to_string();
    for (asked, used) in [
        ("datagram", "datagram"),
        ("stream", "stream"),
        ("auto", "datagram"),
    ] {
        let report = ask(server.pin(), &address, &["--transport", asked]);
        assert_synced(&report);
        assert_eq!(report.source(0, "transport"), used, "{report:#?}");
        // A handshake and one exchange: all queries are sent at once.
        assert_eq!(report.json["round_trips"], 2, "{report:#?}");
        assert_eq!(report.source(0, "handshake"), "full", "{report:#?}");
    }
}

#[test]
fn many_queries_on_streams_are_all_answered() {
    let server = Server::start(&[]);
    let address = server.address().to_string();
    let options = ["--transport", "stream", "--queries", "300"];
    let report = ask(server.pin(), &address, &options);
    assert_eq!(report.source(0, "answered"), 300, "{report:#?}");
}

#[test]
fn ipv6_server_is_reached_by_its_address() {
    let server = Server::start(&["--listen", "[::1]:0"]);
    let address = server.address();
    assert!(address.is_ipv6());
    assert_synced_with(address, &ask(server.pin(), &address.to_string(), &[]));
    let port = address.port().to_string();
    assert_synced_with(address, &ask(server.pin(), "::1", &["--port", &port]));
}

#[test]
fn unspecified_address_serves_both_families() {
    let server = Server::start(&["--listen", "[::]:0"]);
    let port = server.address().port();
    for host in ["127.0.0.1", "[::1]"] {
        for transport in ["datagram", "stream"] {
            let address: SocketAddr = format!("{host}:{port}").parse().unwrap();
            let options = ["--transport", transport];
            assert_synced_with(address, &ask(server.pin(), &address.to_string(), &options));
        }
    }
}

#[test]
fn two_addresses_are_served_under_one_certificate() {
    let server = Server::start(&["--listen", "127.0.0.1:0", "--listen", "[::1]:0"]);
    for address in [server.address(), server.second_address()] {
        assert_synced_with(address, &ask(server.pin(), &address.to_string(), &[]));
    }
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn name_with_two_families_finds_the_one_that_is_served() {
    let server = Server::start(&[]);
    let address = server.address();
    let name = format!("localhost:{}", address.port());
    let report = ask(server.pin(), &name, &[]);
    assert_synced_with(address, &report);
    assert_eq!(report.source(0, "server"), &name);
}

#[test]
fn silent_address_of_a_name_is_overtaken_by_the_other() {
    let server = Server::start(&[]);
    let address = server.address();
    // IPv6 is tried first and never answers: worse than a refusal.
    let _silent = UdpSocket::bind(("::1", address.port())).unwrap();
    let report = ask(server.pin(), &format!("localhost:{}", address.port()), &[]);
    assert_synced_with(address, &report);
    assert!(
        report.outcome.elapsed < Duration::from_secs(1),
        "{report:#?}"
    );
}

const RUNS: u64 = 20;
const AT_ONCE: u64 = 4;

/// Every fifth packet is lost on the way there, and every fifth on the way back.
#[test]
fn every_run_gets_an_answer_over_a_path_that_loses_every_fifth_packet() {
    let server = Server::start(&[]);
    let run = |seed: u64| {
        let lossy = Impairment {
            loss_percent_each_way: 20.0,
            seed,
            ..Impairment::round_trip(Duration::from_millis(10))
        };
        let relay = Relay::start(server.address(), lossy).unwrap();
        let transport = ["auto", "stream"][usize::try_from(seed % 2).unwrap()];
        let options = ["--transport", transport];
        let report = ask(server.pin(), &relay.address().to_string(), &options);
        (report, relay.counters().dropped)
    };
    let dropped: u64 = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|worker| {
                let seeds = (worker..RUNS).step_by(usize::try_from(AT_ONCE).unwrap());
                scope.spawn(move || seeds.map(run).collect::<Vec<_>>())
            })
            .collect();
        let runs = workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap());
        runs.map(|(report, dropped)| {
            assert_eq!(report.outcome.code, Some(0), "{report:#?}");
            dropped
        })
        .sum()
    });
    assert!(
        dropped > RUNS,
        "{dropped} packets lost: the path was too good"
    );
}
