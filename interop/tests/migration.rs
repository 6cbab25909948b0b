//! The client's address changes, as behind a NAT that forgets it: at every moment of a run, by datagrams and streams.

use tsq_interop::{Adjtime, Impairment, Relay, Report, Server};

/// Asks through a relay whose port changes after so many packets of ours; and how many left from the second port.
fn ask_where_the_port_changes_after(packets: u64, options: &[&str]) -> (Report, u64) {
    let server = Server::start(&[]);
    let impairment = Impairment {
        rebind_after: Some(packets),
        ..Impairment::default()
    };
    let relay = Relay::start(server.address(), impairment).expect("loopback has a free port");
    let address = relay.address().to_string();
    let asked = [
        "--fallback",
        "none",
        "--timeout",
        "10000",
        "--pin",
        server.pin(),
        &address,
    ];
    let report = Adjtime::dry_run(&[&asked, options].concat());
    (report, relay.counters().from_second_port)
}

/// A server's QUIC takes packets from another address only once its handshake is complete (RFC 9000, section 9): until then
/// nothing but a new connection helps.
// tsq: C6
#[test]
fn change_at_any_packet_of_the_handshake_costs_no_answer() {
    for transport in ["datagram", "stream"] {
        for packets in 1..=4 {
            let options = ["--transport", transport];
            let (report, moved) = ask_where_the_port_changes_after(packets, &options);
            let moment = format!("{transport}, after {packets}: {report:#?}");
            assert_ne!(moved, 0, "{moment}");
            assert_eq!(report.outcome.code, Some(0), "{moment}");
            assert_eq!(report.source(0, "answered"), 5, "{moment}");
        }
    }
}

// tsq: C6
#[test]
fn change_between_queries_costs_no_answer() {
    for transport in ["datagram", "stream"] {
        for packets in [8, 15, 30] {
            let options = ["--transport", transport, "--queries", "50"];
            let (report, moved) = ask_where_the_port_changes_after(packets, &options);
            let moment = format!("{transport}, after {packets}: {report:#?}");
            assert_ne!(moved, 0, "{moment}");
            assert_eq!(report.outcome.code, Some(0), "{moment}");
            assert_eq!(report.source(0, "answered"), 50, "{moment}");
        }
    }
}
